"""Duplicate work: who is found second, who only looks alike, and that the order of reading is none.

Each case is told as openings and ends with their append times, in several audit partitions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.detectors import duplicate_work
from mesh.core.detectors.duplicate_work import MAX_TOLD, SWEEP_MS, Twins
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.effects import Incident, Position
from mesh.core.values import NOTHING, Ancestor, Holder, Outcome, TaskPartition
from mesh.wire.canonical import body_of
from tests.detection.story import SMALL, shared, terms

BOSS = Holder("boss-1", 1)
LATE_MS = 100_000
ORDER = {"order": 7}
SECOND = LimitTable(mesh=Limits(duplicate_ms=1_000))


class Line(NamedTuple):
    """A record in its partition."""

    partition: int
    record: f.Record


class Logs:
    """Mutable: what is written to several audit partitions."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def _add(self, partition: int, at_ms: int, fact: f.Fact) -> None:
        offset = sum(own.partition == partition for own in self.lines)
        self.lines.append(Line(partition, f.Record(offset, at_ms, 0, fact)))

    def opens(
        self,
        task: str,
        at_ms: int,
        given: object = ORDER,
        *,
        workflow: str = "",
        capability: str = "tax.check",
        until_ms: int = LATE_MS,
        ancestors: tuple[Ancestor, ...] = (),
    ) -> None:
        fact = f.TaskOpened(
            **{**shared(body_of(given), until_ms), "source": TaskPartition(capability, 0)},
            workflow=workflow or task,
            task=task,
            by=BOSS,
            authority=0,
            offset=0,
            parent=workflow,
            step="",
            capability=capability,
            ancestors=ancestors,
            grant=SMALL,
            award=terms("clerk", SMALL) if workflow else None,
        )
        self._add(int(task[0]), at_ms, fact)

    def finishes(
        self, task: str, at_ms: int, *, workflow: str = "", outcome: Outcome = Outcome.COMPLETED
    ) -> None:
        fact = f.WorkFinished(
            workflow=workflow or task,
            task=task,
            by=BOSS,
            authority=0,
            outcome=outcome,
            spent=ZERO,
            confidence_permille=0,
            sources=(),
            error="",
            field="",
            result=NOTHING,
        )
        self._add(int(task[0]), at_ms, fact)

    def fails(self, task: str, at_ms: int) -> None:
        fact = f.TaskFailed(workflow=task, task=task, by=BOSS, authority=0, reason="no")
        self._add(int(task[0]), at_ms, fact)

    def renews(self, partition: int, at_ms: int) -> None:
        source = TaskPartition("tax.check", 0)
        self._add(partition, at_ms, f.SupervisionRenewed(source=source, by=BOSS, authority=0))

    def found(self, through_ms: int = LATE_MS, limits: LimitTable | None = None) -> list[Incident]:
        """Return what is found by whoever reads all of it, and then goes on to a time."""
        twins = Twins(limits or SECOND)
        for partition, record in self.lines:
            twins.take(partition, record)
        return [*twins.advance(0), *twins.advance(through_ms)]


# --- found --------------------------------------------------------------------------------------


def test_the_second_of_two_is_found_with_both_openings() -> None:
    logs = Logs()
    above = (Ancestor("1-root", "tax.year", "lead", b"h"),)
    logs.opens("0-first", 1_000)
    logs.opens("1-second", 4_200, workflow="1-root", ancestors=above)
    (incident,) = logs.found()
    assert (incident.kind, incident.detector) == ("duplicate-work", "duplicate-work")
    assert (incident.workflow, incident.task) == ("1-root", "1-second")
    assert (incident.seen, incident.limit) == (2, 1)
    assert incident.evidence == (Position("audit", 0, 0), Position("audit", 1, 0))
    assert [own.agent for own in incident.chain] == ["lead", "clerk"]
    assert incident.text == (
        "tax.check was asked for here, while workflow 0-first, which had asked for it with the "
        "same input 3.2 s before, was still at it (1 workflow allowed); 1 s later nobody had a "
        "result: the same work is paid for 2 times."
    )


def test_of_several_each_that_comes_later_is_found_once() -> None:
    logs = Logs()
    for number in range(4):
        logs.opens(f"{number}-w", 1_000 + number)
    found = logs.found()
    assert [own.workflow for own in found] == ["1-w", "2-w", "3-w"]
    assert [own.seen for own in found] == [2, 3, 4]
    assert len({own.id for own in found}) == 3
    assert "while workflow 0-w and 2 others, which had asked for it" in found[-1].text


def test_the_order_in_which_partitions_are_read_changes_nothing() -> None:
    logs = Logs()
    logs.opens("0-a", 1_000)
    logs.opens("1-b", 1_500)
    logs.opens("2-c", 1_200)
    logs.finishes("0-a", 2_400)
    logs.opens("1-d", 5_000, {"order": 8})
    logs.opens("0-e", 5_900, {"order": 8})
    logs.finishes("1-d", 6_899)
    expected = sorted(own.id for own in logs.found())
    assert len(expected) == 2
    for order in itertools.permutations(range(3)):
        twins = Twins(SECOND)
        for partition in order:
            for line in logs.lines:
                if line.partition == partition:
                    twins.take(*line)
        found = [*twins.advance(0), *twins.advance(LATE_MS)]
        assert sorted(own.id for own in found) == expected


def test_an_attempt_that_failed_does_not_end_a_task() -> None:
    logs = Logs()
    logs.opens("0-first", 1_000)
    logs.finishes("0-first", 1_100, outcome=Outcome.FAILED)
    logs.opens("1-second", 1_200)
    assert [own.workflow for own in logs.found()] == ["1-second"]


def test_it_is_found_while_both_are_at_it() -> None:
    logs, twins = Logs(), Twins(SECOND)
    logs.opens("0-first", 1_000)
    logs.opens("1-second", 1_200)
    for line in logs.lines:
        twins.take(*line)
    assert twins.advance(2_199) == []
    assert [own.workflow for own in twins.advance(2_200)] == ["1-second"]
    assert twins.is_open("1-second")
    assert not twins.is_open("1-third")
    assert twins.advance(LATE_MS) == []
    assert not twins.is_open("1-second")
    assert repr(twins) == f"Twins(2 tasks, through {LATE_MS})"
    assert "tax.check in 0-first" in repr(next(iter(twins._spans.values())))


def test_of_many_only_so_many_are_told() -> None:
    logs = Logs()
    for number in range(MAX_TOLD + 10):
        logs.opens(f"0-{number}", 1_000 + number)
    assert len(logs.found()) == MAX_TOLD


def test_how_many_may_is_a_limit_of_the_capability() -> None:
    logs = Logs()
    for number in range(4):
        logs.opens(f"{number}-w", 1_000 + number)
    three = LimitTable(mesh=SECOND.mesh, capabilities={"tax.check": {"duplicates": 3}})
    assert [(own.workflow, own.seen) for own in logs.found(limits=three)] == [("3-w", 4)]


# --- what only looks alike ----------------------------------------------------------------------


def _same_workflow(logs: Logs) -> None:
    """One workflow that asks twice, beside nobody."""
    logs.opens("0-a", 1_000, workflow="0-root")
    logs.opens("0-b", 1_100, workflow="0-root")


def _repeated(logs: Logs) -> None:
    """A submission with the same ce-id, and an opening that is written again."""
    logs.opens("0-a", 1_000)
    logs.opens("0-a", 1_100)


def _one_after_the_other(logs: Logs) -> None:
    """Polls that run one after the other."""
    for turn in range(5):
        logs.opens(f"{turn % 2}-{turn}", 1_000 + turn * 3_000)
        logs.finishes(f"{turn % 2}-{turn}", 3_500 + turn * 3_000)


def _short(logs: Logs) -> None:
    """Two that were together for less than a second, by either's end."""
    logs.opens("0-a", 1_000)
    logs.opens("1-b", 1_500)
    logs.finishes("1-b", 2_400)
    logs.finishes("0-a", 3_900)
    logs.opens("0-c", 4_000)
    logs.opens("1-d", 5_500)
    logs.finishes("0-c", 6_400)


def _other_input(logs: Logs) -> None:
    logs.opens("0-a", 1_000, {"order": 7})
    logs.opens("1-b", 1_100, {"order": 8})


def _other_capability(logs: Logs) -> None:
    logs.opens("0-a", 1_000)
    logs.opens("1-b", 1_100, capability="tax.pay")


def _nothing_said(logs: Logs) -> None:
    """Inputs that say nothing of what is to be done."""
    nothing: tuple[object, ...] = ({}, None, "", [])
    for number, given in enumerate(nothing):
        logs.opens(f"0-a{number}", 1_000, given)
        logs.opens(f"1-b{number}", 1_100, given)


def _past_its_deadline(logs: Logs) -> None:
    """The first was never ended by anybody, and its time was over."""
    logs.opens("0-a", 1_000, until_ms=1_500)
    logs.opens("1-b", 2_000)


def _ended_with_its_root(logs: Logs) -> None:
    """A child whose workflow ended is ended, too."""
    logs.opens("0-root", 900, {"year": 1}, capability="tax.year")
    logs.opens("0-a", 1_000, workflow="0-root")
    logs.fails("0-root", 1_500)
    logs.opens("1-b", 1_800)


def _opened_again_after_its_end(logs: Logs) -> None:
    """A replaced supervisor's opening comes when all is over."""
    logs.opens("0-a", 1_000)
    logs.finishes("0-a", 1_100)
    logs.opens("0-a", 1_200)
    logs.opens("1-b", 1_300)


HEALTHY = [
    _same_workflow,
    _repeated,
    _one_after_the_other,
    _short,
    _other_input,
    _other_capability,
    _nothing_said,
    _past_its_deadline,
    _ended_with_its_root,
    _opened_again_after_its_end,
]


@pytest.mark.parametrize("tell", HEALTHY, ids=lambda tell: tell.__name__[1:])
def test_what_only_looks_alike_is_not_found(tell) -> None:  # type: ignore[no-untyped-def] # a case
    logs = Logs()
    tell(logs)
    logs.renews(0, 50_000)
    assert logs.found() == []


def test_the_second_task_of_a_workflow_is_not_told_again() -> None:
    logs = Logs()
    logs.opens("0-first", 1_000)
    logs.opens("1-a", 1_100, workflow="1-root")
    logs.opens("1-b", 1_200, workflow="1-root")
    assert [own.task for own in logs.found()] == ["1-a"]


def test_a_clock_that_jumps_makes_no_moment_a_second() -> None:
    logs, twins = Logs(), Twins(SECOND)
    logs.opens("0-first", 1_000)
    logs.opens("1-second", 1_100)
    for line in logs.lines:
        twins.take(*line)
    assert twins.advance(3_600_000) == []  # another partition's clock
    before = len(logs.lines)
    logs.finishes("1-second", 1_300)
    twins.take(*logs.lines[before])
    assert twins.advance(3_600_000) == []


def test_how_long_they_may_be_together_is_a_limit() -> None:
    logs = Logs()
    logs.opens("0-first", 1_000)
    logs.opens("1-second", 1_200)
    logs.finishes("1-second", 6_100)
    assert logs.found(limits=LimitTable()) == []
    assert len(logs.found(limits=LimitTable(mesh=Limits(duplicate_ms=4_900)))) == 1


# --- what is kept -------------------------------------------------------------------------------


def kept(twins: Twins) -> Sequence[object]:
    return [own for own in (twins._spans, twins._members, twins._kin, twins._due) if own]


def test_what_is_over_is_forgotten() -> None:
    logs, twins = Logs(), Twins(SECOND)
    for number in range(3):
        logs.opens(f"{number}-w", 1_000 + number)
        logs.finishes(f"{number}-w", 2_500)
    for line in logs.lines:
        twins.take(*line)
    assert [twins.begin(number, 9) for number in range(4)] == [0, 0, 0, 9]
    twins.advance(0)
    twins.advance(2_600)
    assert kept(twins) == []
    assert twins.begin(0, 9) == 9


def test_what_passed_its_deadline_is_forgotten() -> None:
    logs, twins = Logs(), Twins(SECOND)
    logs.opens("0-w", 1_000, until_ms=5_000)
    twins.take(*logs.lines[0])
    twins.advance(1)
    twins.advance(SWEEP_MS - 1)
    assert len(twins) == 1
    twins.advance(SWEEP_MS)
    assert kept(twins) == []


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_work, "MAX_SPANS", 2)
    monkeypatch.setattr(duplicate_work, "MAX_ENDED", 1)
    logs, twins = Logs(), Twins(SECOND)
    for number in range(4):
        logs.opens(f"{number}-w", 1_000 + number)
    logs.finishes("0-w", 2_000)
    logs.finishes("3-w", 2_000)
    logs.finishes("2-w", 2_000)
    logs.finishes("2-w", 2_100)
    for line in logs.lines:
        twins.take(*line)
    assert list(twins._spans) == ["2-w", "3-w"]
    assert list(twins._ended) == ["2-w"]
    twins.advance(0)
    logs.opens("0-x", 2_000)
    logs.opens("1-x", 2_000)
    for line in logs.lines[-2:]:
        twins.take(*line)
    twins.advance(5_000)  # the ends of those that made room pass by
    assert set(twins._spans) == {"0-x", "1-x"}
