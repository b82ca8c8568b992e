"""Missed dependency: a task that builds on others did not have what they had made.

`TaskOpened.after` names the tasks that one builds on: they were finished before it was asked for.
That is its caller's word, and nobody enforces it. So it is held against the log: a task that was
awarded while one of them had not ended had begun too early. And one of them may have written shared
state, itself or by what it delegated: a task that finishes, having read such a key last at a lower
version than that, was answered by a replica that lagged, and does not know what it builds on.

A task builds on what those above it build on. Who reads again, until the version is there (a watch
does), has it in the end, and is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Seen, Sight, above, agent_of, make_room
from mesh.core.detectors.recorded import judged_of, reads
from mesh.core.tasks import TaskState
from mesh.core.values import Outcome, StepKind, Terms

MAX_MADE = 2_048
"""Versions that are remembered of one workflow, for each task and key; the oldest are forgotten."""


class _Made(NamedTuple):
    """The last version of a key that a task made, itself or by what it delegated."""

    task: str
    key: str
    version: int
    offset: int
    by: str


class MissedDependency:
    """Mutable: what the tasks of each workflow have made of shared state."""

    name = "missed-dependency"
    kinds: frozenset[type] = frozenset(
        {f.TaskOpened, f.TaskAwarded, f.StepFinished, f.WorkFinished}
    )

    def __init__(self) -> None:
        self._made: dict[str, dict[str, _Made]] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        match sight.fact:
            case f.StepFinished(kind=StepKind.WRITE):
                self._note(sight)
                return ()
            case f.StepFinished():
                return ()
            case f.WorkFinished(outcome=Outcome.COMPLETED):
                return [own.of(self.name, sight.task) for own in self._unseen(sight)]
            case f.TaskOpened(award=Terms()) | f.TaskAwarded() if sight.task.epoch == 1:
                return [own.of(self.name, sight.task) for own in _early(sight)]
        return ()

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._made.pop(workflow, None)

    def _note(self, sight: Sight) -> None:
        """Remember a version for the task that made it, and for those it worked for."""
        fact, opened = sight.fact, sight.opened
        assert isinstance(fact, f.StepFinished)
        judged = judged_of(fact.result)
        if judged is None or not judged.in_force:
            return
        made = self._made.setdefault(opened.workflow, {})
        # nobody comes after the root: all are below it
        for task in [opened.task, *(own.task for own in opened.ancestors[1:])]:
            for entry in judged.entries:
                name = f"{task} {entry.key}"
                made.pop(name, None)
                make_room(made, MAX_MADE)
                by = agent_of(sight.task)
                made[name] = _Made(task, entry.key, entry.version, sight.record.offset, by)

    def _unseen(self, sight: Sight) -> Iterator[Seen]:
        """Yield each key that a task read too old, of those that it builds on."""
        made = self._made.get(sight.opened.workflow)
        names = made and set(_builds_on(sight))
        if not made or not names:
            return
        known: dict[str, tuple[int, int]] = {}
        for found, step in reads(sight.task, sight.record.offset):
            known.setdefault(found.key, (found.version, step.offset))
        for own in made.values():
            version, read_at = known.get(own.key, (own.version, -1))
            if own.task in names and version < own.version:
                yield _stale(sight, own, version, read_at)


def _builds_on(sight: Sight) -> Iterator[str]:
    """Yield the names that a task comes after, and those that the tasks above it do."""
    yield from sight.opened.after
    for task in above(sight.ledger, sight.task):
        yield from task.opened.after


def _early(sight: Sight) -> Iterator[Seen]:
    """Yield what a task comes after, and that had not ended when it was awarded.

    What it is part of cannot end before it.
    """
    over = {own.task for own in sight.opened.ancestors}
    for name in dict.fromkeys(sight.opened.after):
        first = sight.ledger.tasks.get(name)
        if first is not None and name not in over and first is not sight.task:
            yield _begun(sight, first)


def _begun(sight: Sight, first: TaskState) -> Seen:
    own, before = sight.opened, first.opened
    return Seen(
        thing=f"{own.task} {before.task}",
        measure="tasks that it comes after, and that had not ended when it was awarded",
        seen=1,
        limit=0,
        evidence=(first.offset, sight.task.offset, sight.record.offset),
        text=(
            f"{own.capability} comes after {before.capability} and was begun before that ended: "
            f"{agent_of(sight.task)} was awarded task {own.task} while task {before.task} of "
            f"{agent_of(first) or 'nobody yet'} was {first.phase}. What it builds on may not be "
            "there."
        ),
    )


def _stale(sight: Sight, made: _Made, version: int, read_at: int) -> Seen:
    own = sight.opened
    found = f"version {version}" if version else "nothing"
    return Seen(
        thing=f"{own.task} {made.key}",
        measure=f"versions of {made.key} that it had not seen",
        seen=made.version - version,
        limit=0,
        evidence=(made.offset, read_at, sight.record.offset),
        text=(
            f"{own.capability} builds on task {made.task}, for which {made.by} wrote version "
            f"{made.version} of {made.key}; but task {own.task} of {agent_of(sight.task)} found "
            f"{found} when it last read that, and finished. Its result does not know of what it "
            "builds on: do it again, or hand the version on and read with at_least."
        ),
    )
