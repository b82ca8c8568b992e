"""Standing of any simulated log: who begins again in the middle comes to what all others do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.accounts import Accounts
from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.standing import Latest, Standing, Standings, Tally, permille
from mesh.core.tasks import Header
from mesh.processor import beat
from mesh.processor.beat import Beat
from mesh.testing.sim_run import Simulation

BEGINNING = Header(0, 0, ())
SEEDS = (3, 5, 8, 21)
Told = tuple[Standing, ...]


@cache
def log(seed: int) -> Sequence[Record]:
    """Return the longest partition of a stormy run."""
    simulation = Simulation(seed)
    simulation.run()
    return max((own.records for own in simulation.partitions), key=len)


@cache
def whole(seed: int) -> tuple[list[Told], list[tuple[str, ...]]]:
    """Return what a fold from the beginning tells after each record, and who changed with it."""
    accounts, ledger = Accounts(0), Ledger()
    told: list[Told] = [()]
    changed: list[tuple[str, ...]] = []
    for record in log(seed):
        changed.append(tuple(accounts.see(record, ledger, ledger.add(record))))
        told.append(tuple(accounts.standing(agent) for agent in sorted(accounts.agents)))
    return told, changed


@cache
def headers(seed: int) -> list[Header]:
    """Return where a successor begins, after each record."""
    keeper = Beat(BEGINNING)
    found = [BEGINNING]
    for record in log(seed):
        keeper.add(record)
        found.append(keeper.begin())
    return found


def test_the_logs_have_something_to_tell() -> None:
    figures = [own for seed in SEEDS for one in whole(seed)[0][-1] for own in one.tallies]
    for name in ("offered", "won", "finished", "failed", "lapsed", "declined"):
        assert sum(getattr(own, name) for own in figures), name


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_who_begins_again_comes_to_the_same(seed: int, data: st.DataObject) -> None:
    """What was written when the place was noted is known; of each agent perhaps more."""
    records, (told, _) = log(seed), whole(seed)
    noted = data.draw(st.integers(0, len(records)), label="noted at")
    written: list[Standing] = []
    for own in told[noted]:
        at = data.draw(st.integers(noted, len(records)), label=own.agent)
        written += [one for one in told[at] if one.agent == own.agent]
    header = headers(seed)[noted]
    second, accounts = Beat(header), Accounts(0)
    accounts.restore(written)
    for record in records[max(0, header.offset - beat.RECALLED) : header.offset]:
        second.recall(record)
    for record in records[header.offset :]:
        void, _ = second.add(record)
        accounts.see(record, second.ledger, void)
    assert tuple(accounts.standing(agent) for agent in sorted(accounts.agents)) == told[-1]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_a_version_names_one_set_of_figures(seed: int, data: st.DataObject) -> None:
    """A figure changes with its version, and a version only grows."""
    told, changed = whole(seed)
    place = data.draw(st.integers(1, len(changed)))
    before = {own.agent: own for own in told[place - 1]}
    for own in told[place]:
        known = before.get(own.agent)
        if own.agent in changed[place - 1]:
            assert own.version == place
        else:
            assert own == known


weights = st.integers(0, 16 << 16)
tallies = st.builds(
    Tally, st.just("a.b"), st.integers(0, 50), good=weights, bad=weights, won=st.integers(0, 9)
)
standings = st.builds(
    Standing,
    agent=st.sampled_from("ab"),
    partition=st.integers(0, 3),
    since=st.just(0),
    tallies=st.tuples(tallies),
)


@given(
    st.lists(standings, unique_by=lambda own: (own.agent, own.partition, own.version)), st.data()
)
def test_in_which_order_entries_are_read_does_not_matter(
    read: list[Standing], data: st.DataObject
) -> None:
    found = []
    for order in (read, data.draw(st.permutations(read)), [*read, *read]):
        one, other = Standings(lambda _: True), Latest()
        for own in order:
            one.see(own)
            other.see(own)
        found.append([(one.of(name, "a.b"), other.of(name)) for name in "ab"])
        for (good, bad, _), counted in found[-1]:
            assert 100 <= permille(good, bad) <= 1_000
            assert sum(own.good for own in counted) == good
    assert found[0] == found[1] == found[2]
