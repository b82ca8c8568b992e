"""Contradiction: two tasks decided differently about one key, and neither had seen the other's.

Three verdicts of shared state say so. One that comes late and serves what is more important is
*preferred*, and overrules what another had decided; a *conflict* under a rule that arbitrates is
overruled; of two that serve the same both are kept, the key is *contested*, and a person chooses.
That the rule decides is as it should be. What it decided between are two parts of the enterprise
that want different things, and somebody should know.

Within one workflow there is a fourth case: a write that is accepted, because it names the current
version, though its task cannot have seen that version, which another task made: it was guessed.

A merge keeps both, equal values agree, and a conflict under `reject` is a late write (see
`lost_update`): these contradict nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Seen, Sight, agent_of, make_room, quote
from mesh.core.detectors.recorded import Judged, Version, judged_of, other, side, told
from mesh.core.keys import Resolution
from mesh.core.messages import Rival
from mesh.core.shared import Verdict
from mesh.core.values import StepKind

MAX_KEYS = 1_024
"""Keys of one workflow whose last writer is remembered."""
WAYS_TO_KNOW = frozenset({StepKind.TOOL, StepKind.DELEGATE, StepKind.ARTIFACT})
"""Steps whose results may tell a task of a version that it has not read."""


class _Last(NamedTuple):
    """Who wrote a key last in a workflow, and what: the value by its digest, for it may be long."""

    task: str
    agent: str
    version: int
    digest: bytes
    offset: int


class Contradiction:
    """Mutable: the last writer of each key, in each workflow."""

    name = "contradiction"
    kinds: frozenset[type] = frozenset({f.StepFinished})

    def __init__(self) -> None:
        self._last: dict[str, dict[str, _Last]] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        fact = sight.fact
        if not isinstance(fact, f.StepFinished) or fact.kind is not StepKind.WRITE:
            return ()
        judged = judged_of(fact.result)
        if judged is None:
            return ()
        seen = [*_decided(sight, judged), *self._guessed(sight, judged)]
        return [own.of(self.name, sight.task) for own in seen]

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._last.pop(workflow, None)

    def _guessed(self, sight: Sight, judged: Judged) -> Iterator[Seen]:
        """Yield where a task wrote over what another of the workflow wrote, and it cannot know."""
        if not judged.in_force:
            return
        last = self._last.setdefault(sight.opened.workflow, {})
        for entry in judged.entries:
            before = last.pop(entry.key, None)
            if before is not None and _is_guess(sight, judged, entry, before):
                yield _overwritten(sight, entry, before)
            make_room(last, MAX_KEYS)
            own = (sight.opened.task, agent_of(sight.task), entry.version, _digest(entry))
            last[entry.key] = _Last(*own, sight.record.offset)


# --- what a rule decided --------------------------------------------------------------------------


def _decided(sight: Sight, judged: Judged) -> Iterator[Seen]:
    """Yield each key on which a rule had to decide between two that want different values."""
    decided = (Verdict.PREFERRED, Verdict.CONTESTED, Verdict.CONFLICT)
    if judged.verdict not in decided or judged.forgotten:
        return
    against: dict[str, list[Rival]] = {}
    for rival in judged.rivals:
        own = rival.task == sight.opened.task
        if rival.resolution is Resolution.ARBITRATE and not rival.same and not own:
            against.setdefault(rival.key, []).append(rival)
    for key, rivals in against.items():
        yield _disputed(sight, judged, key, rivals)


def _disputed(sight: Sight, judged: Judged, key: str, rivals: list[Rival]) -> Seen:
    opened = sight.opened
    own = side(agent_of(sight.task), opened.task, judged.objective, judged.because)
    others = " and ".join(other(rival, opened.workflow) for rival in rivals)
    contested = judged.verdict is Verdict.CONTESTED
    return Seen(
        thing=f"{key} contested" if contested else key,
        measure=f"values for {key} that exclude each other",
        seen=1 + len(rivals),
        limit=1,
        evidence=_evidence(sight, key, sight.record.offset),
        text=(
            f"Two sides want different values for {key}: {own}; and {others}. Neither had seen "
            f"what the other decided. {_outcome(sight, judged, rivals[0])}"
        ),
    )


def _outcome(sight: Sight, judged: Judged, rival: Rival) -> str:
    """Say which side is in force, by which rule, or that a person has to say."""
    agent = agent_of(sight.task)
    them = rival.person or rival.agent
    why = quote(judged.reason.rpartition("; ")[2])
    rule = f"by the rule for {rival.prefix} ({rival.resolution}): {why}"
    match judged.verdict:
        case Verdict.PREFERRED:
            return f"{agent} won {rule}. Version {rival.version} of {them} is replaced."
        case Verdict.CONTESTED:
            return (
                f"The rule for {rival.prefix} ({rival.resolution}) does not decide between equal "
                f"objectives. The value of {them} stays until a person chooses: "
                f"mesh state settle {rival.key}"
            )
        case _:
            return f"{them} won {rule}. Version {rival.version} stays, and {agent} was told."


def _evidence(sight: Sight, key: str, before: int) -> tuple[int, ...]:
    """Return the write, from its beginning, and where its task was told of the key before."""
    fact = sight.fact
    assert isinstance(fact, f.StepFinished)
    begun = sight.task.steps[fact.step].offset
    seen = [offset for _, offset in told(sight.task, key, begun)]
    return (*seen[:1], begun, before, sight.record.offset)


# --- what a workflow contradicts itself in --------------------------------------------------------


def _is_guess(sight: Sight, judged: Judged, entry: Version, before: _Last) -> bool:
    """Tell whether a write replaced another task's version that its task cannot have known."""
    if judged.verdict is not Verdict.ACCEPTED or judged.expects(entry.key) != before.version:
        return False
    if before.task == sight.opened.task or before.digest == _digest(entry):
        return False
    if before.offset < sight.task.offset:
        return False  # it was asked for after that write: its input may tell
    fact = sight.fact
    assert isinstance(fact, f.StepFinished)
    begun = sight.task.steps[fact.step].offset
    if any(version >= before.version for version, _ in told(sight.task, entry.key, begun)):
        return False
    return not any(
        step.kind in WAYS_TO_KNOW and before.offset < step.result.offset < begun
        for step in sight.task.steps.values()
        if step.result is not None
    )


def _digest(entry: Version) -> bytes:
    return sha256(json.dumps(entry.value, sort_keys=True).encode()).digest()


def _overwritten(sight: Sight, entry: Version, before: _Last) -> Seen:
    agent, task = agent_of(sight.task), sight.opened.task
    return Seen(
        thing=entry.key,
        measure=f"values for {entry.key} that exclude each other",
        seen=2,
        limit=1,
        evidence=_evidence(sight, entry.key, before.offset),
        text=(
            f"Two tasks of this workflow decided differently about {entry.key}, and neither had "
            f"seen what the other decided: {before.agent} wrote version {before.version} in task "
            f"{before.task}, and {agent} replaced it by version {entry.version} "
            f"in task {task}, without having read it. The last one is in force."
        ),
    )
