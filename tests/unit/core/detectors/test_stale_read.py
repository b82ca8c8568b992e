"""Stale reads: what a task asks when it delivers, and what is answered from the versions."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.detectors import stale_read
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.stale_read import Inquiry, Reads, Versions
from mesh.core.effects import Incident, Position
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Entry, Past, RulesEntry, Verdict
from mesh.core.values import NOTHING, Effect, StepKind
from tests.detection.story import Part, Story, body

RULES = Rules(1, (), (Rule("*", Resolution.REJECT), Rule("count/", Resolution.MERGE, "set-union")))
KEY = "plan/x"


def told(key: str, version: int, value: object) -> dict[str, object]:
    names = {"key": key, "version": version, "value": value}
    return {**names, "agent": "a", "task": "t", "contested": False}


class Desk:
    """Mutable: a workflow that reads, and the log of what is written meanwhile."""

    def __init__(self, *, limits: Limits | None = None, rules: Rules | None = RULES) -> None:
        table = LimitTable(mesh=limits) if limits else None
        self.story = Story({"x": 1}, detectors=[Reads()], limits=table)
        self.versions = Versions()
        self._written = 0
        if rules is not None:
            adopted = RulesEntry(rules=rules, person="p", because="", source=0)
            self.versions.take(adopted, Position("state", 1, 0), 0)

    def step(
        self,
        part: Part,
        name: str,
        said: object,
        kind: StepKind = StepKind.READ,
        *,
        step: str = "",
        error: str = "",
    ) -> None:
        """Let a task do a step of shared state; a write is begun before."""
        signed: dict[str, Any] = {
            **part.says(),
            "step": step or part.next_step(),
            "kind": kind,
            "name": name,
            "input_hash": b"",
        }
        if kind is StepKind.WRITE:
            begun = f.StepBegun(**signed, effect=Effect.KEYED, reserve=ZERO, until_ms=0)
            self.story.add(begun)
        result = NOTHING if error else body(said)
        self.story.add(f.StepFinished(**signed, spent=ZERO, error=error, result=result))

    def reads(
        self, part: Part, version: int, value: object, key: str = KEY, *, step: str = ""
    ) -> None:
        self.step(part, key, told(key, version, value), step=step)

    def writes(self, part: Part, verdict: str, version: int, value: object) -> None:
        """Let a task propose a write, and be told the entry as it stands then."""
        said = {"entries": [told(KEY, version, value)], "verdict": verdict, "versions": [version]}
        self.step(part, KEY, said, StepKind.WRITE)

    def written(
        self,
        version: int,
        value: object,
        *,
        by: str = "other",
        task: str = "1-other",
        key: str = KEY,
        late_ms: int = 0,
    ) -> None:
        """Let an entry stand on `M.state`, now or at another time."""
        self._written += 1
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        entry = Entry(
            key=key,
            version=version,
            value=None if value is None else raw,
            agent=by,
            writer=f"{by}-1",
            workflow="0-root" if task.startswith("0-") else "1-other",
            task=task,
            step="0",
            objective="",
            because="",
            source=version,
            append_ms=self.story.now_ms,
            candidates=(),
            recent=(Past(version, "c", Verdict.ACCEPTED, ""),),
        )
        where = Position("state", 1, self._written)
        self.versions.take(entry, where, self.story.now_ms + late_ms)

    def asked(self) -> list[Inquiry]:
        return list(self.story.watch.asked())

    def found(self) -> list[Incident]:
        """Answer what was asked."""
        answers = [self.versions.judge(inquiry, 0) for inquiry in self.asked()]
        return [answer for answer in answers if answer is not None]


class Case(NamedTuple):
    desk: Desk
    root: Part


@pytest.fixture
def case() -> Case:
    desk = Desk()
    return Case(desk, desk.story.root)


# --- found --------------------------------------------------------------------------------------


def test_a_result_on_a_version_that_was_replaced_is_found(case: Case) -> None:
    desk, root = case
    desk.written(3, "old")
    desk.reads(root, 3, "old")
    read_at = desk.story.records[-1].offset
    desk.story.wait(5_000)
    desk.written(4, "new", task="1-other")
    desk.story.wait(5_000)
    root.finishes("done")
    (incident,) = desk.found()
    assert (incident.kind, incident.workflow, incident.task) == ("stale-read", "0-root", "0-root")
    assert (incident.seen, incident.limit) == (5_005, 1_000)
    assert [own.agent for own in incident.chain] == ["lead"]
    end = desk.story.records[-1].offset
    assert incident.evidence == (
        Position("audit", 0, read_at),
        Position("audit", 0, end),
        Position("state", 1, 2),
    )
    assert incident.text == (
        f"The result rests on plan/x, of which version 3 was read (0/{read_at}); other in task "
        "1-other had written version 4, 5.0 s before the result (1 s allowed)."
    )
    assert desk.asked() == []


def test_a_replica_that_lags_is_told(case: Case) -> None:
    desk, root = case
    desk.written(1, "a")
    desk.written(2, "b", by="person", task="")
    desk.story.wait(2_000)
    desk.reads(root, 1, "a")
    root.finishes("done")
    (incident,) = desk.found()
    assert "person had written version 2, 2.0 s before it was read, 2.0 s before" in incident.text


def test_what_was_not_there_and_is_by_now_is_found(case: Case) -> None:
    desk, root = case
    desk.reads(root, 0, None)
    desk.reads(root, 0, None, "plan/y")
    desk.story.wait(1_000)
    desk.written(1, "first", key="plan/y")
    desk.story.wait(10)
    desk.written(1, "first")
    desk.story.wait(2_000)
    root.finishes("done")
    (incident,) = desk.found()
    assert "rests on plan/y, of which there was nothing" in incident.text
    assert incident.text.endswith("; so it is with 1 other keys.")


def test_what_was_deleted_is_found(case: Case) -> None:
    desk, root = case
    desk.reads(root, 1, "here")
    desk.written(2, None)
    desk.story.wait(2_000)
    root.finishes("done")
    assert len(desk.found()) == 1


def test_a_value_that_is_no_json_differs_from_what_was_read(case: Case) -> None:
    desk, root = case
    desk.reads(root, 1, "here")
    desk.written(2, b"\xff{")
    desk.story.wait(2_000)
    root.finishes("done")
    assert len(desk.found()) == 1


def test_a_conflict_tells_the_version_that_counts_from_then_on(case: Case) -> None:
    desk, root = case
    desk.reads(root, 1, "a")
    desk.written(2, "b")
    desk.story.wait(2_000)
    desk.writes(root, "conflict", 2, "b")
    root.finishes("done")
    assert desk.found() == []


def test_what_came_after_a_conflict_is_found(case: Case) -> None:
    desk, root = case
    desk.reads(root, 1, "a")
    desk.written(2, "b")
    desk.writes(root, "conflict", 2, None)  # the verdict had no room for the value
    desk.written(3, "c")
    desk.story.wait(2_000)
    root.finishes("done")
    (incident,) = desk.found()
    assert "version 2 was read" in incident.text


def test_a_later_attempt_goes_on_from_the_same_reads(case: Case) -> None:
    desk, root = case
    part = root.asks("demo.part", {"n": 1})
    desk.reads(part, 1, "a")
    part.fails("no")
    desk.written(2, "b")
    desk.story.wait(2_000)
    part.tries_again()
    part.finishes("done")
    assert [own.task for own in desk.found()] == [part.task]


def test_a_sibling_that_wrote_is_somebody_else(case: Case) -> None:
    desk, root = case
    part, sibling = root.asks("demo.part", {"n": 1}), root.asks("demo.part", {"n": 2})
    desk.reads(part, 1, "a")
    desk.written(2, "b", task=sibling.task)
    desk.story.wait(2_000)
    part.finishes("done")
    assert len(desk.found()) == 1


# --- what only looks alike ----------------------------------------------------------------------


def _current(desk: Desk, root: Part) -> None:
    desk.written(3, "old")
    desk.reads(root, 3, "old")


def _read_again(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, "a")
    desk.written(2, "b")
    desk.reads(root, 2, "b")


def _own_write(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, "a")
    desk.written(2, "b", task="0-root")


def _read_and_written(desk: Desk, root: Part) -> None:
    """It decided on what was current then, and others went on."""
    desk.reads(root, 1, "a")
    desk.writes(root, "accepted", 2, "b")
    desk.written(2, "b", task="0-root")
    desk.written(3, "c")


def _by_a_child(desk: Desk, root: Part) -> None:
    part = root.asks("demo.part", {"n": 1})
    desk.reads(root, 1, "a")
    desk.written(2, "b", task=part.task)
    part.finishes("done")


def _equal(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, {"a": 1, "b": 2})
    desk.written(2, b'{"b":2, "a":1}')


def _back_again(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, "a")
    desk.written(2, "b")
    desk.story.wait(5_000)
    desk.written(3, "a")


def _back_at_the_last_moment(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, "a")
    desk.written(2, "b")
    desk.written(3, "a", late_ms=1_500)


def _merged(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, [1], "count/x")
    desk.written(2, [1, 2], key="count/x")


def _watched(desk: Desk, root: Part) -> None:
    desk.step(root, "plan/*", told(KEY, 1, "a"))
    desk.written(2, "b")


def _restarted(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, "a")
    desk.written(2, "b")
    desk.reads(root, 1, "z", "plan/z", step="r1/0")


def _replaced_just_now(desk: Desk, root: Part) -> None:
    desk.reads(root, 1, "a")
    desk.written(2, "b", late_ms=1_500)


def _failed(desk: Desk, root: Part) -> None:
    part = root.asks("demo.part", {"n": 1})
    desk.reads(part, 1, "a")
    desk.written(2, "b")
    part.fails("no")
    part.ends("no more")


def _not_known(desk: Desk, root: Part) -> None:
    """Somebody's steps that are no reads of ours, whatever they are."""
    for said in (None, [1], {"key": 1, "version": 2}, {"key": KEY, "version": "2"}):
        desk.step(root, KEY, said)
    desk.step(root, KEY, None, error="no")
    desk.step(root, KEY, {"entries": 7, "verdict": "accepted"}, StepKind.WRITE)
    desk.step(root, KEY, {"entries": [7], "verdict": "refused"}, StepKind.WRITE)
    desk.step(root, KEY, body("x")._replace(content=b"{"))
    root.calls(KEY, KEY, told(KEY, 1, "a"))  # a tool
    desk.writes(root, "conflict", 1, "a")  # what it never read
    desk.written(2, "b")


def _value_not_recorded(desk: Desk, root: Part) -> None:
    """The verdict had no room for the value, and the version is not kept: nobody can tell."""
    desk.reads(root, 1, "a")
    desk.writes(root, "conflict", 2, None)
    desk.written(3, "c")


HEALTHY: list[Any] = [
    _current,
    _read_again,
    _own_write,
    _read_and_written,
    _by_a_child,
    _equal,
    _back_again,
    _back_at_the_last_moment,
    _merged,
    _watched,
    _restarted,
    _replaced_just_now,
    _failed,
    _not_known,
    _value_not_recorded,
]


@pytest.mark.parametrize("tell", HEALTHY, ids=lambda tell: tell.__name__[1:])
def test_what_only_looks_alike_is_not_found(case: Case, tell: Any) -> None:
    tell(*case)
    case.desk.story.wait(2_000)
    case.root.finishes("done")
    assert case.desk.found() == []


def test_without_a_rule_nothing_is_said() -> None:
    desk = Desk(rules=None)
    desk.reads(desk.story.root, 1, "a")
    desk.written(2, "b")
    desk.story.wait(2_000)
    desk.story.root.finishes("done")
    assert desk.found() == []


def test_how_old_a_version_may_be_is_a_limit() -> None:
    desk = Desk(limits=Limits(stale_read_ms=5_000))
    desk.reads(desk.story.root, 1, "a")
    desk.written(2, "b")
    desk.story.wait(4_000)
    desk.story.root.finishes("done")
    assert desk.found() == []


# --- what is kept -------------------------------------------------------------------------------


def test_an_older_version_changes_nothing(case: Case) -> None:
    desk, _ = case
    for version in (2, 3, 1, 3):
        desk.written(version, version)
    assert [own.version for own in desk.versions._kept[KEY]] == [2, 3]
    assert repr(desk.versions) == "Versions(1 keys)"


def test_what_was_written_first_makes_room(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_read, "MAX_KEYS", 2)
    desk, _ = case
    desk.written(1, 1, key="a/1")
    desk.written(1, 1, key="a/2")
    desk.written(2, 2, key="a/1")
    desk.written(1, 1, key="a/3")
    assert list(desk.versions._kept) == ["a/1", "a/3"]
    for version in range(3, 30):
        desk.written(version, version, key="a/1")
    assert len(desk.versions._kept["a/1"]) == stale_read.KEPT
    desk.versions.forget("a/1")
    desk.versions.forget("a/1")
    assert len(desk.versions) == 1


def test_of_a_hot_key_that_is_not_kept_far_enough_nothing_is_said(case: Case) -> None:
    desk, root = case
    desk.reads(root, 1, "a")
    desk.story.wait(2_000)
    root.finishes("done")
    for version in range(2, 30):
        desk.written(version, version, late_ms=1)
    assert desk.found() == []


def test_a_result_that_is_refused_is_asked_for_again(case: Case) -> None:
    desk, root = case
    part = root.asks("demo.part", {"n": 1}, acceptance="reviewed")
    desk.reads(part, 1, "a")
    part.finishes("one")
    part.is_refused("no")
    part.tries_again()
    part.finishes("two")
    assert len(desk.asked()) == 2
    part.is_accepted()
    root.finishes("done")
    assert desk.story.watch._reads[0]._parents == {}


def test_who_asked_whom_may_not_go_round(case: Case) -> None:
    desk, root = case
    desk.reads(root, 1, "a")
    desk.written(2, "b", task="0-x")
    desk.story.wait(2_000)
    root.finishes("done")
    (inquiry,) = desk.asked()
    circle = inquiry._replace(parents={"0-x": "0-y", "0-y": "0-x"})
    assert desk.versions.judge(circle, 0) is not None
