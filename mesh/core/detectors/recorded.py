"""What a step of shared state recorded: which version it read, or what became of its write.

The runtime writes it (`mesh.runtime.state_steps`), and anybody who may write facts could write
something else: what is not understood is None, and nothing follows from it. What an older release
recorded lacks `asked` and `rivals`; then nobody knows what was expected, or who stood against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from mesh.core.detectors.frame import quote
from mesh.core.keys import Resolution
from mesh.core.messages import Rival
from mesh.core.shared import ACCEPTING, Verdict
from mesh.core.tasks import StepState, TaskState
from mesh.core.values import Body, StepKind


class Version(NamedTuple):
    """An entry as a step saw it: `agent` wrote it for `task`; both "" for a person."""

    key: str
    version: int
    agent: str
    task: str
    value: object


class Judged(NamedTuple):
    """What became of a write. `expected` has a version for each entry, or is empty.

    What is `forgotten` may have been accepted before: nobody can tell.
    """

    verdict: Verdict
    reason: str
    entries: tuple[Version, ...]
    expected: tuple[int, ...]
    objective: str
    because: str
    rivals: tuple[Rival, ...]
    forgotten: bool

    @property
    def in_force(self) -> bool:
        """Whether what was wanted is in force."""
        return self.verdict in ACCEPTING

    def expects(self, key: str) -> int | None:
        """Return the version of a key that the write expected, None if that is not recorded."""
        keys = [entry.key for entry in self.entries]
        return self.expected[keys.index(key)] if self.expected and key in keys else None


def read_of(body: Body) -> Version | None:
    """Return what a read found."""
    return _version(_parsed(body.content))


def judged_of(body: Body) -> Judged | None:
    """Return what became of a write."""
    found: Any = _parsed(body.content)
    try:
        asked = found.get("asked") or {"expected": [], "objective": "", "because": ""}
        entries = tuple(_version(own) for own in found["entries"])
        if None in entries:
            return None
        expected = tuple(int(own) for own in asked["expected"])
        return Judged(
            verdict=Verdict(found["verdict"]),
            reason=str(found["reason"]),
            entries=tuple(own for own in entries if own is not None),
            expected=expected if len(expected) == len(entries) else (),
            objective=str(asked["objective"]),
            because=str(asked["because"]),
            rivals=tuple(_rival(own) for own in found.get("rivals", ())),
            forgotten=found.get("forgotten") is True,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def reads(task: TaskState, before: int) -> Iterator[tuple[Version, StepState]]:
    """Yield what a task read of shared state before an offset, the latest first."""
    for step in reversed(task.steps.values()):
        if step.kind is StepKind.READ and step.result is not None and step.result.offset < before:
            found = read_of(step.result.body)
            if found is not None:
                yield found, step


def told(task: TaskState, key: str, before: int) -> Iterator[tuple[int, int]]:
    """Yield the versions of a key that a task had seen before an offset, and where it was told.

    By a read, or by the verdict on a write of its own.
    """
    for found, step in reads(task, before):
        if found.key == key and step.result is not None:
            yield found.version, step.result.offset
    for step in task.steps.values():
        if step.kind is StepKind.WRITE and step.result is not None and step.result.offset < before:
            judged = judged_of(step.result.body)
            for entry in judged.entries if judged is not None else ():
                if entry.key == key:
                    yield entry.version, step.result.offset


def side(agent: str, task: str, objective: str, because: str) -> str:
    """Return one side of a conflict in words."""
    serves = f" for {quote(objective)}" if objective else ""
    why = f' because "{quote(because)}"' if because else ""
    return f"{agent or 'somebody'} in task {task or 'unknown'}{serves}{why}"


def other(rival: Rival, workflow: str) -> str:
    """Return the other side in words, seen from a workflow."""
    if rival.person:
        return f'{rival.person} (a person) because "{quote(rival.because)}"'
    where = "" if rival.workflow in ("", workflow) else f" of workflow {rival.workflow}"
    return side(rival.agent, f"{rival.task}{where}", rival.objective, rival.because)


@lru_cache(maxsize=8)
def _parsed(content: bytes | None) -> object:
    """Return a record; several detectors look at one, one after the other."""
    if content is None:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _version(found: object) -> Version | None:
    if not isinstance(found, dict):
        return None
    key, version = found.get("key"), found.get("version")
    if not isinstance(key, str) or not isinstance(version, int):
        return None
    agent, task = (str(found.get(name, "")) for name in ("agent", "task"))
    return Version(key, version, agent, task, found.get("value"))


def _rival(record: object) -> Rival:
    found: Any = record
    texts = {name: str(found[name]) for name in _TEXTS}
    return Rival(
        **texts,
        version=int(found["version"]),
        same=found["same"] is True,
        resolution=Resolution(found["resolution"]),
    )


_TEXTS = ("key", "agent", "person", "workflow", "task", "objective", "because", "prefix")
