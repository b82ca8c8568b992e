"""Lost update, prevented: a write came too late, and nobody made it good.

A write names the version that it builds on. If another came first it is refused, and what the
other wrote stays: nothing is lost, whatever the writer does. That is the rule at work, and who
reads again and comes through (as `ctx.shared.update` does) is no news. A person wants to know of
two things: that a task ended with a write refused that it never made good, for then something that
it meant to say is missing; and that a key is so contended that its writers hinder each other.

What a rule arbitrates is a contradiction, and told there. Who wanted what is there lost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.detectors.frame import ENDS, Finding, Seen, Sight, agent_of, make_room
from mesh.core.detectors.recorded import Judged, judged_of, other, reads
from mesh.core.keys import Resolution
from mesh.core.shared import Verdict
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import StepKind

MAX_LATE = 256
"""Writes of one workflow that wait to be made good; the oldest are forgotten."""
MAX_KEYS = 1_024
"""Keys of one workflow whose conflicts are counted."""
MAX_OFFSETS = 31
"""Conflicts of one key that prove a finding: the last."""
DECIDED = (Resolution.REJECT, Resolution.MERGE)
"""Rules under which a conflict is a late write and no quarrel."""


class _Late(NamedTuple):
    """A write that came too late, and was not made good."""

    task: TaskState
    key: str
    text: str
    evidence: tuple[int, ...]


class _Workflow:
    """Mutable: what waits to be made good in one workflow, and how often each key conflicted."""

    def __init__(self) -> None:
        self.late: dict[str, _Late] = {}
        self.conflicts: dict[str, list[int]] = {}


class LostUpdate:
    """Mutable: the writes that came too late, in each workflow."""

    name = "lost-update"
    kinds: frozenset[type] = frozenset({f.StepFinished, *ENDS})

    def __init__(self) -> None:
        self._workflows: dict[str, _Workflow] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        fact = sight.fact
        if not isinstance(fact, f.StepFinished):
            return self._ended(sight)
        if fact.kind is not StepKind.WRITE:
            return ()
        known = self._workflows.get(fact.workflow)
        late = fact.error.startswith(Verdict.CONFLICT)
        if known is None and not late:
            return ()
        judged = judged_of(fact.result)
        if judged is None:
            return ()
        if known is None:
            known = self._workflows[fact.workflow] = _Workflow()
        if not late:
            kept = judged.in_force or judged.verdict is Verdict.CONTESTED
            for entry in judged.entries if kept else ():
                known.late.pop(_name(sight.task, entry.key), None)
            return ()
        return [own for key in _late(judged) for own in self._conflict(sight, known, judged, key)]

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._workflows.pop(workflow, None)

    def _conflict(
        self, sight: Sight, known: _Workflow, judged: Judged, key: str
    ) -> Iterable[Finding]:
        """Note a write that came too late; return what is found if there are too many of a key."""
        own = _Late(sight.task, key, _told(sight, judged, key), _evidence(sight, judged, key))
        name = _name(sight.task, key)
        known.late.pop(name, None)
        make_room(known.late, MAX_LATE)
        known.late[name] = own
        if key not in known.conflicts:
            make_room(known.conflicts, MAX_KEYS)
        offsets = known.conflicts.setdefault(key, [])
        offsets.append(sight.record.offset)
        limit = sight.limits.lost_updates
        if len(offsets) <= limit:
            return ()
        seen = Seen(
            thing=key,
            measure=f"writes of {key} in one workflow that came too late",
            seen=len(offsets),
            limit=limit,
            evidence=offsets[-MAX_OFFSETS:],
            text=(
                f"{len(offsets)} writes of {key} in this workflow came too late ({limit} allowed): "
                f"its writers hinder each other. Nothing was lost, and each was told. {own.text} "
                "Keys of their own, or a rule that merges, would end it."
            ),
        )
        return (seen.of(self.name, sight.task),)

    def _ended(self, sight: Sight) -> Sequence[Finding]:
        """Return the writes that can no more be made good, for the task that meant them ended."""
        known = self._workflows.get(sight.opened.workflow)
        if known is None or sight.task.phase is not Phase.ENDED:
            return ()
        over = [own for own in known.late.values() if own.task.phase is Phase.ENDED]
        for own in over:
            del known.late[_name(own.task, own.key)]
        return [_lost(own, sight.record.offset).of(self.name, own.task) for own in over]


def _lost(own: _Late, ended: int) -> Seen:
    return Seen(
        thing=own.key,
        measure=f"writes of {own.key} refused as too late, and never made good",
        seen=1,
        limit=0,
        evidence=(*own.evidence, ended),
        text=f"{own.text} The task ended without having written {own.key} again.",
    )


def _name(task: TaskState, key: str) -> str:
    return f"{task.opened.task} {key}"


def _late(judged: Judged) -> list[str]:
    """Return the keys that came too late, and that no rule arbitrates."""
    if judged.rivals:
        every = [own for own in judged.rivals if own.resolution in DECIDED and not own.same]
        return list(dict.fromkeys(own.key for own in every))
    return [own.key for own in judged.entries if judged.expects(own.key) != own.version]


def _evidence(sight: Sight, judged: Judged, key: str) -> tuple[int, ...]:
    """Return where the version was read that the write built on, and where the write failed."""
    fact = sight.fact
    assert isinstance(fact, f.StepFinished)
    begun = sight.task.steps[fact.step].offset
    expected = judged.expects(key)
    based = (
        step.offset
        for own, step in reads(sight.task, begun)
        if own.key == key and expected in (None, own.version)
    )
    return (begun, sight.record.offset, *islice(based, 1))


def _told(sight: Sight, judged: Judged, key: str) -> str:
    """Return in words who wanted to write what over which version, and who came first."""
    expected = judged.expects(key)
    over = {None: "", 0: " where nothing had been"}.get(expected, f" over version {expected}")
    return (
        f"{agent_of(sight.task)} in task {sight.opened.task} wanted to write {key}{over} and came "
        f"too late: {_first(sight, judged, key)}. Nothing was lost: the write was refused, and its "
        "writer told."
    )


def _first(sight: Sight, judged: Judged, key: str) -> str:
    """Return in words who came first, and which rule refused the other."""
    rival = next((own for own in judged.rivals if own.key == key), None)
    if rival is None:
        entry = next(own for own in judged.entries if own.key == key)
        task = f" in task {entry.task}" if entry.task else ""
        return f"{entry.agent or 'a person'} had written version {entry.version}{task}"
    same = rival.task == sight.opened.task
    who = "another step of the same task" if same else other(rival, sight.opened.workflow)
    rule = f"rule: {rival.resolution} under {rival.prefix}"
    return f"{who} had written version {rival.version} ({rule})"
