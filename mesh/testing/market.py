"""A market of agents that bid for one kind of task: who gets the work, as their standing grows.

Each auction is a workflow of four facts on an audit partition: the ledger judges them, the accounts
fold them, and the supervisor decides by what it has seen of standing, which comes late. All of that
is the core's own; the market adds agents that bid and finish as they are told to, drawn from a
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import NamedTuple, TypedDict

from mesh.core import facts as f
from mesh.core.accounts import Accounts
from mesh.core.budget import ZERO
from mesh.core.facts import Fact, Record
from mesh.core.ids import derive
from mesh.core.ledger import Ledger
from mesh.core.messages import Bid
from mesh.core.negotiation import candidates, decide, explain, means_of, recompute
from mesh.core.registry import Directory, Handler, Offering, Presence
from mesh.core.standing import Standings
from mesh.core.values import (
    NOTHING,
    Acceptance,
    Amount,
    Body,
    Cause,
    Charter,
    Holder,
    Inbox,
    Mode,
    Outcome,
    TaskPartition,
    Terms,
)

CAPABILITY = "market.work"
BUDGET = Amount(micro_usd=1_000, attempts=1)
BOSS = Holder("boss.1", 1)
EVERY_MS = 10
LEASE_MS = 1_000
LATE = 5
"""Auctions after which a result is known to the supervisor: standing is written once a second."""
CANDIDATES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Trader:
    """An agent: what it asks, and how many of a hundred tasks it finishes."""

    name: str
    price_micro_usd: int = 100
    finishes: int = 100


class _Basis(TypedDict):
    workflow: str
    task: str
    by: Holder
    authority: int


class Deal(NamedTuple):
    """Who won an auction, and whether the task was finished."""

    winner: str
    finished: bool


class Place:
    """Mutable: one audit partition."""

    def __init__(self, number: int) -> None:
        self.accounts = Accounts(number)
        self.ledger = Ledger()
        self.records: list[Record] = []
        self.number = number
        self._sequences: dict[Holder, int] = {}

    def write(self, fact: Fact, now_ms: int) -> int:
        """Append a fact, which must count; return its offset."""
        sequence = self._sequences[fact.by] = self._sequences.get(fact.by, -1) + 1
        record = Record(len(self.records), now_ms, sequence, fact)
        self.records.append(record)
        void = self.ledger.add(record)
        assert not void, void
        self.accounts.see(record, self.ledger, void)
        return record.offset


class Market:
    """Mutable: auctions, one after the other.

    Args:
        traders: Who bids; they come and go and change by `enter`.
        seed: Everything that is drawn is drawn from it.
        partitions: Of the audit stream; auctions go round them.
    """

    def __init__(self, traders: Iterable[Trader], *, seed: int, partitions: int = 1) -> None:
        self._random = Random(seed)
        self._places = [Place(number) for number in range(partitions)]
        self._standings = Standings(lambda _: True)
        self._traders: dict[str, Trader] = {}
        self._directory = Directory()
        self._taken: dict[int, int] = {}
        self._count = 0
        self._seed = seed
        self._now_ms = 0
        for trader in traders:
            self.enter(trader)

    def __repr__(self) -> str:
        return f"Market({', '.join(self._traders)}, {self._count} auctions)"

    def enter(self, trader: Trader) -> None:
        """Let an agent bid from now on; one of that name becomes another."""
        self._traders[trader.name] = trader
        handlers = (Handler(CAPABILITY, "d1"),)
        own = Presence(_instance(trader.name), 1, trader.name, Inbox("m", 0), 0, 64, handlers)
        self._directory.see_presence(own.instance, own, 0)

    def standing(self, name: str) -> Iterator[tuple[int, int]]:
        """Yield the weights of an agent, good and bad, in each partition."""
        for place in self._places:
            for tally in place.accounts.standing(name).tallies:
                yield tally.good, tally.bad

    def hold(self, auctions: int) -> list[Deal]:
        """Hold so many auctions; return what came of them."""
        return [self._auction() for _ in range(auctions)]

    def until(self, wanted: Callable[[Deal], bool], most: int) -> int:
        """Hold auctions until one came to what is wanted; return how many, 0 for none of `most`."""
        held = (number for number in range(1, most + 1) if wanted(self._auction()))
        return next(held, 0)

    def _auction(self) -> Deal:
        self._count += 1
        self._now_ms += EVERY_MS
        if self._count % LATE == 0:
            self._publish()
        place = self._places[self._count % len(self._places)]
        opened = self._opened(place)
        place.write(opened, self._now_ms)
        called, call = self._called(place, opened)
        terms = self._decided(opened, called, call)
        assert not recompute(opened, called, terms)
        given = f.TaskAwarded(**_of(opened, BOSS, opened.authority), award=terms)
        award = place.write(given, self._now_ms)
        finished = self._random.randrange(100) < self._traders[terms.agent].finishes
        place.write(_result(opened, terms.worker, award, finished=finished), self._now_ms + 5)
        if not finished:
            failed = f.TaskFailed(**_of(opened, BOSS, opened.authority), reason="no attempt left")
            place.write(failed, self._now_ms + 6)
        return Deal(terms.agent, finished)

    def _publish(self) -> None:
        for place in self._places:
            for agent in place.accounts.agents:
                self._standings.see(place.accounts.standing(agent))

    def _opened(self, place: Place) -> f.TaskOpened:
        source = TaskPartition(CAPABILITY, place.number)
        if place.number not in self._taken:
            taken = f.SupervisionTaken(source=source, by=BOSS, inbox=Inbox("m", 0), lease_ms=10**9)
            self._taken[place.number] = place.write(taken, self._now_ms)
        name = f"{place.number}-{derive('market', self._seed, self._count)}"
        contents = Body(sha256(name.encode()).digest(), "application/json", None)
        return f.TaskOpened(
            workflow=name,
            task=name,
            by=BOSS,
            authority=self._taken[place.number],
            source=source,
            offset=self._count,
            parent="",
            step="",
            capability=CAPABILITY,
            input=contents,
            charter=Charter(goal="work", constraints=(), root_hash=contents.hash),
            ancestors=(),
            after=(),
            grant=BUDGET,
            deadline_ms=self._now_ms + 60_000,
            lease_ms=LEASE_MS,
            max_attempts=1,
            mode=Mode.AUCTION,
            named_agent="",
            acceptance=Acceptance.AUTOMATIC,
            event_id="",
            reply_topic="",
            correlation_id="",
            traceparent="",
            award=None,
        )

    def _called(self, place: Place, opened: f.TaskOpened) -> tuple[f.BidsCalled, int]:
        seed = int(derive("seed", opened.task)[:8], 16)
        instances = (own for own, _ in self._directory.present())
        chosen = candidates(opened.task, Offering(CAPABILITY, instances), CANDIDATES, seed)
        called = f.BidsCalled(
            **_of(opened, BOSS, opened.authority),
            round=0,
            seed=seed,
            candidates=tuple(own.instance for own in chosen),
            bids_until_ms=self._now_ms,
            own_offer=None,
        )
        return called, place.write(called, self._now_ms)

    def _decided(self, opened: f.TaskOpened, called: f.BidsCalled, call: int) -> Terms:
        agents = {own: own.partition(".")[0] for own in called.candidates}
        answers = {
            instance: Bid(
                task=opened.task,
                call=call,
                price_micro_usd=self._traders[agent].price_micro_usd,
                eta_ms=1_000,
                confidence_permille=900,
                slot=True,
            )
            for instance, agent in agents.items()
        }
        known = {agent: self._standings.of(agent, CAPABILITY) for agent in agents.values()}
        means = means_of(opened, called, BUDGET)
        offers = decide(called, answers, self._directory, means, known)
        return Terms(
            epoch=1,
            worker=Holder(offers[0].instance, 1),
            worker_inbox=Inbox("m", 0),
            agent=offers[0].agent,
            digest="d1",
            lease_ms=LEASE_MS,
            free=BUDGET,
            resume_from=-1,
            cause=Cause.FIRST,
            attempt=1,
            reason="",
            mode=Mode.AUCTION,
            call=call,
            offers=offers,
            why=explain(offers),
        )


def _instance(name: str) -> str:
    return f"{name}.1"


def _of(opened: f.TaskOpened, by: Holder, authority: int) -> _Basis:
    return {"workflow": opened.workflow, "task": opened.task, "by": by, "authority": authority}


def _result(opened: f.TaskOpened, worker: Holder, award: int, *, finished: bool) -> f.WorkFinished:
    return f.WorkFinished(
        **_of(opened, worker, award),
        outcome=Outcome.COMPLETED if finished else Outcome.FAILED,
        spent=ZERO,
        confidence_permille=900,
        sources=(),
        error="" if finished else "it went wrong",
        field="",
        result=NOTHING,
    )
