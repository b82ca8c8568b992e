"""Verdicts on histories with labels, and the words of a verdict."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tests.histories.checker import UndecidedError, Verdict, check
from tests.histories.making import explains
from tests.histories.models import Entry, Register, VersionedEntry
from tests.histories.operations import (
    Accepted,
    CompareAndSet,
    Found,
    HistoryError,
    Operation,
    Outcome,
    Read,
    Write,
)
from tests.histories.reading import ETCD_KEY, read_directory, read_etcd_log

SAMPLES = Path(__file__).with_name("samples")
RECORDED = Path(__file__).resolve().parents[3] / "shared/data/histories/etcd"
# How many verdicts RECORDED holds, should it be there: a file that got lost is not to go unnoticed.
RECORDED_COUNT = 52
# The worst of them needs 1,448 pairs, which take 6 ms; 10 s would be more than a million.
MAX_PAIRS = 5_000


class RecordedHistoriesMissing(UserWarning):
    """Says in the summary of the tests that they ran on the samples of this project alone."""


def labelled(directory: Path) -> list[tuple[Path, bool]]:
    labels: dict[str, bool] = json.loads((directory / "labels.json").read_text("utf-8"))
    assert set(labels) == {path.name for path in directory.glob("*.log")}
    return [(directory / name, label) for name, label in labels.items()]


def assert_verdict(path: Path, label: bool) -> None:
    verdict = check(read_etcd_log(path), Register(), max_explored=MAX_PAIRS)[ETCD_KEY]
    assert verdict.linearizable is label, verdict
    assert explains(verdict.order, Register())


@pytest.mark.parametrize(
    ("path", "label"), labelled(SAMPLES / "etcd"), ids=lambda value: getattr(value, "stem", None)
)
def test_sample_of_a_register(path: Path, label: bool) -> None:
    assert_verdict(path, label)


@pytest.mark.filterwarnings(f"default::{__name__}.RecordedHistoriesMissing")
def test_recorded_histories_of_etcd() -> None:
    if not RECORDED.is_dir():
        here = f"no {'/'.join(RECORDED.parts[-4:])}: checked on the samples of this project alone"
        warnings.warn(here, RecordedHistoriesMissing, stacklevel=1)
        return
    histories = labelled(RECORDED)
    assert len(histories) == RECORDED_COUNT
    for path, label in histories:
        assert_verdict(path, label)


def entry_labels() -> dict[str, dict[str, bool]]:
    labels: dict[str, dict[str, bool]] = json.loads((SAMPLES / "entry/labels.json").read_text())
    assert set(labels) == {path.name for path in (SAMPLES / "entry").iterdir() if path.is_dir()}
    return labels


@pytest.mark.parametrize(("name", "label"), entry_labels().items())
def test_sample_of_entries(name: str, label: dict[str, bool]) -> None:
    verdicts = check(read_directory(SAMPLES / "entry" / name), VersionedEntry())
    assert {key: verdict.linearizable for key, verdict in verdicts.items()} == label


# ----------------------------------------------------------------------------------- one by one


def wrote(value: object, invoked: int, answered: int, **how: int) -> Operation:
    over = how.get("over")
    return Operation(
        key="k",
        client=f"w{value}",
        call=Write(value=value, expected_version=over),
        outcome=Outcome.OK,
        invoked=invoked,
        answered=answered,
        answer=Accepted(version=None if over is None else over + 1),
    )


def read(value: object, invoked: int, answered: int) -> Operation:
    return Operation(
        key="k",
        client="r",
        call=Read(),
        outcome=Outcome.OK,
        invoked=invoked,
        answered=answered,
        answer=Found(value=value),
    )


def lost(operation: Operation) -> Operation:
    return replace(operation, outcome=Outcome.UNKNOWN, answered=None, answer=None)


def judge(*operations: Operation) -> Verdict:
    return check(operations, Register())["k"]


def test_nothing_happened() -> None:
    assert check([], Register()) == {}
    failed = replace(wrote(1, 0, 5), outcome=Outcome.FAILED, answer=None)
    assert judge(failed) == Verdict(key="k", order=(), explored=0)


def test_equal_instants_are_concurrent() -> None:
    assert judge(wrote(1, 0, 5), wrote(2, 5, 9), read(1, 10, 11)).linearizable
    assert not judge(wrote(1, 0, 4), wrote(2, 5, 9), read(1, 10, 11)).linearizable
    assert judge(read(1, 5, 5), wrote(1, 5, 5)).linearizable


def test_what_failed_is_not_found() -> None:
    failed = replace(wrote(1, 0, 5), outcome=Outcome.FAILED, answer=None)
    assert not judge(failed, read(1, 6, 7)).linearizable


def test_unknown_is_found_late_or_never_but_not_before() -> None:
    unknown = lost(wrote(1, 10, 20))
    assert judge(unknown, read(None, 500, 600)).linearizable
    assert judge(unknown, read(None, 500, 600), read(1, 601, 700)).linearizable
    assert not judge(unknown, read(1, 1, 9)).linearizable


def test_unknown_happens_after_its_client_gave_up() -> None:
    unknown = replace(lost(wrote(1, 10, 20)), answered=20)
    assert judge(unknown, read(None, 21, 22), read(1, 23, 24)).linearizable


def test_unknown_happens_once() -> None:
    reads = [wrote(2, 20, 21), read(1, 22, 23), wrote(2, 24, 25), read(1, 26, 27)]
    assert not judge(lost(wrote(1, 0, 1)), *reads).linearizable
    assert judge(lost(wrote(1, 0, 1)), lost(wrote(1, 0, 1)), *reads).linearizable
    # Two that are alike, but the second begins only after the last read.
    assert not judge(lost(wrote(1, 0, 1)), lost(wrote(1, 28, 29)), *reads).linearizable


def test_each_key_is_judged_by_itself() -> None:
    other = replace(read(1, 2, 3), key="other")
    verdicts = check([wrote(1, 0, 1), read(1, 2, 3), other], Register())
    assert {key: verdict.linearizable for key, verdict in verdicts.items()} == {
        "k": True,
        "other": False,
    }


def test_an_entry_that_does_not_start_empty() -> None:
    history = [wrote("b", 0, 5, over=7)]
    assert check(history, VersionedEntry(Entry(version=7, value="a")))["k"].linearizable
    assert not check(history, VersionedEntry())["k"].linearizable


def test_a_model_refuses_what_it_does_not_know() -> None:
    with pytest.raises(HistoryError, match="a register knows nothing of this: client w1"):
        judge(wrote(1, 0, 5, over=3))


# ---------------------------------------------------------------------------------- in words


def test_a_good_verdict_in_words() -> None:
    assert str(judge(wrote(1, 0, 5), read(1, 3, 6))) == "k: linearizable, 2 operations placed"


def test_a_bad_verdict_in_words() -> None:
    early = replace(lost(wrote(4, 2, 3)), client="killed")
    history = [wrote(1, 0, 1), early, wrote(2, 5, 20), read(2, 8, 9), read(1, 10, 11)]
    verdict = judge(*history, read(3, 30, 31))
    assert verdict.blocked == history[4]
    assert verdict.order == (history[0], history[2], history[3])
    assert str(verdict).splitlines() == [
        "k: not linearizable. No order has a place for",
        "  client r, 10 to 11: read: found 1",
        "when that answer came, the state could only be: 2 or 4",
        "under way at the same time:",
        "  client w2, 5 to 20: write 2: accepted",
        "  client killed, 2 to …: write 4: unknown",
        "before that answer all is well: 3 operations can be placed,",
        "the last 3 of them for example in this order:",
        "  client w1, 0 to 1: write 1: accepted",
        "  client w2, 5 to 20: write 2: accepted",
        "  client r, 8 to 9: read: found 2",
    ]


def test_a_long_list_is_cut() -> None:
    unknown = [lost(wrote(number, number, 99)) for number in range(20)]
    text = str(judge(*unknown, read("none of them", 30, 31)))
    assert "  client w7, 7 to …: write 7: unknown\n  and 12 more\n" in text
    assert "w8" not in text


# ----------------------------------------------------------------------------- how far it looks


def test_the_limit_is_said_and_not_guessed_over() -> None:
    ring = [
        lost(replace(wrote(0, 0, 1), call=CompareAndSet(expected=place, value=place + 1)))
        for place in range(20)
    ]
    history = [wrote(0, 0, 1), *ring, read("never", 50, 60)]
    with pytest.raises(UndecidedError, match="k: no verdict after 10 pairs"):
        check(history, Register(), max_explored=10)
    assert not check(history, Register(), max_explored=100)["k"].linearizable


def test_unknown_writes_over_old_versions_cost_nothing() -> None:
    """At each version, one of several writers won, and nobody knows which."""
    rounds, rivals = 40, 6
    history = [
        lost(wrote((version, rival), 10 * version, 10 * version + 9, over=version))
        for version in range(rounds)
        for rival in range(rivals)
    ]
    last = read("never", 10 * rounds, 10 * rounds + 9)
    verdict = check([*history, last], VersionedEntry(), max_explored=2_000)["k"]
    assert verdict.blocked == last


def test_unknown_writes_alike_cost_little() -> None:
    """Thirty writes that may have happened, of three values: not 2**30 ways."""
    history = [lost(wrote(number % 3, number, 99)) for number in range(30)]
    turns = [read(number % 3, 100 + 10 * number, 105 + 10 * number) for number in range(30)]
    assert check([*history, *turns], Register(), max_explored=500)["k"].linearizable
    once_more = read(0, 1_000, 1_005)
    verdict = check([*history, *turns, once_more], Register(), max_explored=500)["k"]
    assert verdict.blocked == once_more
