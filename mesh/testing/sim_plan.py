"""What a simulated run is about: its fleet, its settings, and what is submitted to it."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from mesh.core.inputs import Request
from mesh.core.registry import CapabilityCard, Card
from mesh.core.settings import Settings
from mesh.core.values import Acceptance, Amount, Charter, Effect, Inbox, Mode, TaskPartition
from mesh.testing.authoring import Author, Fleet
from mesh.testing.faults import Profile
from mesh.testing.programs import Library, Script, body

CAPABILITIES = ("demo.ask", "demo.check", "demo.make")
NOBODYS = "demo.nobody"
BUDGET = Amount(micro_usd=2_000, tokens=2_000, tool_calls=60, hops=12, attempts=12)
TIMEOUT_MS = 40_000


class Member(NamedTuple):
    """One instance to be."""

    instance: str
    card: Card
    inbox: Inbox


class Order(NamedTuple):
    """A record to be submitted; `request` None is one that cannot be decoded."""

    at_ms: int
    source: TaskPartition
    request: Request | None
    cancel_ms: int
    """A person wants it ended so long after it was submitted; 0 for nobody does."""


class Plan(NamedTuple):
    """Everything that is drawn before a run begins, but its faults."""

    settings: Settings
    audit_partitions: int
    cards: tuple[Card, ...]
    members: tuple[Member, ...]
    sources: tuple[TaskPartition, ...]
    orders: tuple[Order, ...]
    library: Library


def draw(random: Random, profile: Profile) -> Plan:
    """Draw a run."""
    cards = _cards(random)
    sources = tuple(
        TaskPartition(capability, partition)
        for capability in CAPABILITIES
        for partition in range(random.choice((1, 1, 2)))
    )
    library = Library()
    fleet = Fleet((*CAPABILITIES, *CAPABILITIES, NOBODYS), tuple(card.agent for card in cards))
    author = Author(random, fleet)
    orders = _orders(random, author, sources, profile.calm_ms)
    for order in orders:
        if order.request is not None:
            library.add(author.scripts[order.request.input.hash])
    return Plan(
        settings=_settings(random, profile),
        audit_partitions=random.choice((1, 1, 2, 3)),
        cards=cards,
        members=_members(random, cards),
        sources=sources,
        orders=orders,
        library=library,
    )


def _settings(random: Random, profile: Profile) -> Settings:
    return Settings(
        work_lease_ms=2_000,
        supervision_lease_ms=profile.session_ms,
        clock_skew_ms=400,
        suspend_after_ms=random.choice((800, 2_000, 20_000)),
        max_attempts=3,
        bids_wait_ms=random.choice((20, 50, 200)),
        open_tasks=random.choice((3, 8, 1_000)),
        slots=random.choice((2, 4, 64)),
        timeout_ms=TIMEOUT_MS,
        retry_pause_ms=random.choice((20, 200)),
        repeat_ms=random.choice((500, 2_000)),
        open_after_ms=random.choice((600, 2_000, 20_000)),
        budget=BUDGET,
        ceiling=Amount(1_000_000, 1_000_000, 1_000_000, 100_000, 10_000),
    )


def _cards(random: Random) -> tuple[Card, ...]:
    names = ("ann", "bob", "cyd", "dan")[: random.choice((2, 3, 3, 4))]
    offers: dict[str, set[str]] = {
        name: {random.choice(CAPABILITIES) for _ in range(2)} for name in names
    }
    for place, capability in enumerate(CAPABILITIES):
        offers[names[place % len(names)]].add(capability)
    return tuple(
        Card(
            agent=name,
            owner="team",
            version="1",
            purpose="to be simulated",
            calls=("*",) if random.random() < 0.8 else ("demo.ask", "demo.make"),
            capabilities=tuple(_offered(random, offered) for offered in sorted(offers[name])),
        )
        for name in names
    )


def _offered(random: Random, name: str) -> CapabilityCard:
    return CapabilityCard(
        name=name,
        effect=Effect.IDEMPOTENT,
        mode=random.choice((Mode.DIRECT, Mode.DIRECT, Mode.AUCTION)),
        budget=random.choice((None, BUDGET)),
        timeout_ms=TIMEOUT_MS,
        lease_ms=random.choice((1_500, 2_000, 3_000)),
        max_attempts=random.choice((2, 3, 3, 5)),
        has_bid=True,
        input_schema="{}",
        output_schema="{}",
        digest=random.choice(("d1", "d2")),
        acceptance=Acceptance.AUTOMATIC,
    )


def _members(random: Random, cards: tuple[Card, ...]) -> tuple[Member, ...]:
    members: list[Member] = []
    for card in cards:
        for number in range(random.choice((1, 1, 2, 2, 3))):
            partition = number if random.random() < 0.8 else 0
            inbox = Inbox(f"m.inbox.{card.agent}", partition)
            members.append(Member(f"{card.agent}-{number}", card, inbox))
    return tuple(members)


def _orders(
    random: Random, author: Author, sources: tuple[TaskPartition, ...], calm_ms: int
) -> tuple[Order, ...]:
    orders: list[Order] = []
    for number in range(random.randint(4, 11)):
        at_ms = random.randint(0, calm_ms * 3 // 4)
        source = random.choice(sources)
        if random.random() < 0.04:
            orders.append(Order(at_ms, source, None, 0))
            continue
        script = author.write(random.choice((0, 1, 2, 2, 3)))
        request = _request(random, source, script, number)
        cancel_ms = random.choice((100, 1_000, 4_000)) if random.random() < 0.1 else 0
        orders.append(Order(at_ms, source, request, cancel_ms))
        if request.event_id and random.random() < 0.6:
            again = _again(request)
            later_ms = at_ms + random.choice((10, 1_000, 6_000, calm_ms))
            orders.append(Order(later_ms, source, again, 0))
    return tuple(sorted(orders, key=lambda order: order.at_ms))


def _request(random: Random, source: TaskPartition, script: Script, number: int) -> Request:
    odd = random.random() < 0.12
    return Request(
        capability=source.capability,
        input=script.input,
        charter=Charter(goal="to end", constraints=(), root_hash=body("root").hash),
        budget=_odd_budget(random) if odd else random.choice((None, BUDGET)),
        timeout_ms=random.choice((None, None, None, None, 10_000, 3_000, -5 if odd else 5_000)),
        mode=random.choice((None, None, Mode.AUCTION)),
        event_id=f"event-{number}" if random.random() < 0.3 else "",
        reply_topic="m.replies.test" if random.random() < 0.7 else "",
        correlation_id=f"c{number}",
        defect="not what the schema says" if random.random() < 0.05 else "",
        defect_field="/x",
    )


def _odd_budget(random: Random) -> Amount:
    return random.choice(
        (
            Amount(),
            BUDGET._replace(tokens=-1),
            BUDGET._replace(hops=10**9),
            Amount(30, 30, 2, 1, 1),
            Amount(100, 100, 4, 2, 1),
            BUDGET._replace(hops=0),
        )
    )


def _again(request: Request) -> Request:
    return Request(
        capability=request.capability,
        input=request.input,
        charter=request.charter,
        budget=request.budget,
        event_id=request.event_id,
        reply_topic="m.replies.test",
        correlation_id=f"{request.correlation_id}-again",
    )
