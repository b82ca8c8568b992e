"""What an auction makes of figures: trust, trials, and adding up."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from mesh.core.standing import (
    MEMORY,
    PROVEN,
    TRIAL,
    TRIAL_NEW,
    UNIT,
    UNKNOWN,
    Known,
    Latest,
    Standing,
    Standings,
    Tally,
    fade,
    is_known,
    on_trial,
    permille,
    standings_for,
    total,
)
from mesh.core.values import Version

CAPABILITY = "risk.screen"


def standing(version: int, partition: int = 0, agent: str = "ann", **figures: int) -> Standing:
    tally = Tally(CAPABILITY, version, **figures)
    return Standing(agent=agent, partition=partition, since=0, tallies=(tally,))


def after(results: str) -> tuple[int, int]:
    """Return the weights after results, each `+` or `-`."""
    good = bad = 0
    for one in results:
        good, bad = fade(good) + UNIT * (one == "+"), fade(bad) + UNIT * (one == "-")
    return good, bad


# --- what is trusted ----------------------------------------------------------------------------


RESULTS = (
    "",
    "+",
    "-",
    "++++",
    "+-+-+-+-",
    "+" * 100 + "-",
    "+" * 100 + "-----",
    "-" * 99 + "+" * 40,
)


@pytest.mark.parametrize("results", RESULTS)
def test_results_are_trusted_as_the_paper_says(results: str) -> None:
    """By fractions: each result weighs 15/16 of the one after it, and one of each comes before.

    It is told in tenths, rounded up.
    """
    forgotten = Fraction(MEMORY - 1, MEMORY)
    parts = {"+": Fraction(1), "-": Fraction(1)}
    for age, one in enumerate(reversed(results)):
        parts[one] += forgotten**age
    exact = parts["+"] / (parts["+"] + parts["-"])
    assert permille(*after(results)) == 100 * ceil(10 * exact)


def test_who_is_unknown_stands_in_the_middle() -> None:
    assert permille(0, 0) == 500
    assert permille(*after("-")) < 500 < permille(*after("+"))


def test_an_old_sin_fades() -> None:
    (_, before), (_, later) = after("-"), after("-" + "+" * MEMORY)
    assert later < before * 2 // 5


def test_weights_are_bounded() -> None:
    good, bad = after("+" * 10_000)
    assert (good, bad) == (MEMORY * UNIT, 0)


def test_some_results_make_an_agent_known() -> None:
    """By then one that is always good stands at the top, beside those who were so for longer."""
    assert not is_known(*after("+" * 12))
    assert is_known(*after("+" * 13))
    assert permille(*after("+" * 13)) == permille(*after("+" * 1_000)) == 1_000
    assert is_known(PROVEN, 0)
    assert permille(PROVEN, 0) == 1_000
    assert not is_known(PROVEN - 1, 0)


# --- trials -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weight", "one_in"), [(0, TRIAL_NEW), (PROVEN, TRIAL)])
def test_so_many_auctions_are_a_trial(weight: int, one_in: int) -> None:
    count = sum(on_trial(seed, "ann", 0, weight) for seed in range(16_000))
    assert count == pytest.approx(16_000 / one_in, rel=0.1)


def test_agents_are_on_trial_in_different_auctions() -> None:
    seeds = {name: {s for s in range(999) if on_trial(s, name, 0, 0)} for name in ("ann", "bob")}
    assert seeds["ann"] - seeds["bob"]
    assert seeds["bob"] - seeds["ann"]


def test_who_is_on_trial_stands_as_well_as_the_best() -> None:
    trial = next(s for s in range(99) if on_trial(s, "new", 0, 0))
    none = next(s for s in range(99) if not on_trial(s, "new", 0, 0))
    asked = [("old", 16 * UNIT, 0), ("new", 0, 0)]
    assert standings_for(trial, asked) == [1_000, 1_000]
    assert standings_for(none, asked) == [1_000, 500]


def test_where_nobody_is_known_a_trial_changes_nothing() -> None:
    for seed in range(50):
        assert standings_for(seed, [("ann", 0, 0), ("bob", 0, 0)]) == [500, 500]
    assert standings_for(0, []) == []


# --- adding up ----------------------------------------------------------------------------------


def test_tallies_are_added_up_by_capability() -> None:
    one = Tally("a.b", 7, won=2, finished=1, good=5)
    other = Tally("a.b", 3, won=1, lapsed=1, bad=6)
    assert total([Tally("z.z", 1), one, other]) == (
        Tally("a.b", 7, won=3, finished=1, lapsed=1, good=5, bad=6),
        Tally("z.z", 1),
    )


def test_a_standing_s_version_is_its_highest() -> None:
    tallies = (Tally("a.b", 7), Tally("c.d", 9))
    assert Standing(agent="ann", partition=0, since=0, tallies=tallies).version == 9
    assert Standing(agent="ann", partition=0, since=0, tallies=()).version == 0


def test_a_supervisor_adds_partitions_up_and_names_their_versions() -> None:
    known = Standings(lambda name: name == CAPABILITY)
    assert known.of("ann", CAPABILITY) == UNKNOWN
    known.see(standing(9, partition=2, good=5, bad=1))
    known.see(standing(4, good=2))
    known.see(standing(8, agent="bob", bad=3))
    assert known.of("ann", CAPABILITY) == Known(7, 1, (Version(0, 4), Version(2, 9)))
    assert known.of("bob", CAPABILITY) == Known(0, 3, (Version(0, 8),))
    assert "2 of agents" in repr(known)


def test_a_supervisor_keeps_the_highest_version() -> None:
    known = Standings(lambda _: True)
    for version, good in ((5, 50), (3, 30), (5, 51)):
        known.see(standing(version, good=good))
    assert known.of("ann", CAPABILITY).good == 50


def test_a_supervisor_keeps_what_it_may_need() -> None:
    known = Standings(lambda name: name != CAPABILITY)
    known.see(standing(5, good=1))
    assert known.of("ann", CAPABILITY) == UNKNOWN


def test_of_a_topic_the_latest_is_kept() -> None:
    read = Latest()
    for version in (5, 3):
        read.see(standing(version, won=version))
    read.see(standing(5, won=6))
    read.see(standing(2, partition=1, won=10))
    read.see(standing(4, agent="bob", won=7))
    assert len(read.entries) == 3
    assert read.of("ann") == (Tally(CAPABILITY, 5, won=15),)
    assert read.of("cyd") == ()
    assert "3 entries" in repr(read)
