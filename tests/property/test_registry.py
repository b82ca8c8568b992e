"""Whatever comes in whatever order, the directory's indexes say what its cards and presence say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.registry import (
    PRESENCE_MS,
    CapabilityCard,
    Card,
    CardState,
    Directory,
    Handler,
    Presence,
    covers,
    version_key,
)
from mesh.core.values import Acceptance, Effect, Inbox, Mode

AGENTS = ("a", "b", "c")
CAPABILITIES = ("risk.screen", "risk.rate", "legal.read")
names = st.lists(st.sampled_from(CAPABILITIES), unique=True).map(tuple)
versions = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(
    lambda parts: ".".join(map(str, parts))
)


def offered(name: str) -> CapabilityCard:
    return CapabilityCard(
        name=name,
        effect=Effect.PURE,
        mode=Mode.DIRECT,
        budget=None,
        timeout_ms=1,
        lease_ms=1,
        max_attempts=1,
        has_bid=False,
        input_schema="{}",
        output_schema="{}",
        digest="",
        acceptance=Acceptance.AUTOMATIC,
    )


@st.composite
def cards(draw: st.DrawFn) -> Card:
    return Card(
        agent=draw(st.sampled_from(AGENTS)),
        owner=draw(st.sampled_from(("one", "two"))),
        version=draw(versions),
        purpose="",
        state=draw(st.sampled_from(CardState)),
        capabilities=tuple(offered(name) for name in draw(names)),
    )


@st.composite
def presences(draw: st.DrawFn) -> Presence:
    return Presence(
        instance=f"i-{draw(st.integers(0, 5))}",
        incarnation=draw(st.integers(0, 3)),
        agent=draw(st.sampled_from(AGENTS)),
        inbox=Inbox("t", 0),
        load=draw(st.integers(0, 4)),
        slots=4,
        handlers=tuple(Handler(name, "d") for name in draw(names)),
        draining=draw(st.booleans()),
    )


withdrawals = st.sampled_from(AGENTS)
goodbyes = st.integers(0, 5)
steps = st.lists(st.one_of(cards(), presences(), withdrawals, goodbyes), max_size=40)


def fed(inputs: list[Card | Presence | str | int]) -> Directory:
    directory = Directory()
    for now_ms, given_ in enumerate(inputs):
        match given_:
            case Card():
                before = directory.card(given_.agent)
                if directory.see_card(given_.agent, given_):
                    assert directory.card(given_.agent) is before
            case Presence():
                known = directory.presence(given_.instance)
                if directory.see_presence(given_.instance, given_, now_ms):
                    assert directory.presence(given_.instance) is known
            case str():
                directory.see_card(given_, None)
            case int():
                directory.see_presence(f"i-{given_}", None, now_ms)
    return directory


@given(steps)
def test_the_indexes_agree_with_what_is_known(inputs: list[Card | Presence | str | int]) -> None:
    directory = fed(inputs)
    live = [own for n in range(6) if (own := directory.presence(f"i-{n}")) is not None]
    for name in CAPABILITIES:
        offering = {
            agent
            for agent in AGENTS
            if (card := directory.card(agent)) is not None
            and card.state is CardState.ACTIVE
            and card.capability(name) is not None
        }
        assert set(directory.agents_offering(name)) == offering
        assert (directory.capability(name) is not None) is bool(offering)
        expected = [
            own
            for own in live
            if own.agent in offering
            and not own.draining
            and any(handler.capability == name for handler in own.handlers)
        ]
        found = directory.offering(name)
        assert list(found) == expected
        assert list(found.agents) == sorted({own.agent for own in expected})
        assert [own for agent in found.agents for own in found.of(agent)] == sorted(
            expected, key=lambda own: (own.agent, own.instance)
        )


@given(steps)
def test_all_may_be_forgotten(inputs: list[Card | Presence | str | int]) -> None:
    directory = fed(inputs)
    directory.expire(len(inputs) + PRESENCE_MS + 1)
    assert all(directory.presence(f"i-{n}") is None for n in range(6))
    assert not any(directory.offering(name) for name in CAPABILITIES)


@given(st.lists(cards(), max_size=20))
def test_owners_stay_and_versions_only_grow(seen: list[Card]) -> None:
    directory = Directory()
    for card in seen:
        before = directory.card(card.agent)
        directory.see_card(card.agent, card)
        after = directory.card(card.agent)
        assert after is not None
        if before is not None:
            assert after.owner == before.owner
            assert version_key(after.version) >= version_key(before.version)


@given(st.sampled_from(CAPABILITIES), st.lists(st.sampled_from(("*", "risk.*", *CAPABILITIES))))
def test_a_scope_is_the_union_of_its_patterns(capability: str, patterns: list[str]) -> None:
    assert covers(patterns, capability) == any(covers((one,), capability) for one in patterns)
