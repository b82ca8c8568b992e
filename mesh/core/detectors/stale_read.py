"""Stale reads: a result rests on a version of shared state that was no longer current.

Who read what stands on the audit stream (a read is a step), who wrote what on `M.state`. So this
is an inquiry and an answer. `Reads` is a detector as the others: it folds one audit partition, and
when a task delivers a result it *asks* (`Inquiry`). `Versions` knows the latest versions of the
keys that changed lately, and answers (`judge`). It is asked only after `M.state` was read to an end
that was looked up after the result was: everything that had replaced a version by then is known,
and the answer does not depend on which of the two was read first.

**What is stale.** Of each key that the task read the latest version that it read counts. It is
stale if, at the result's append time and already `stale_read_ms` before, another version was
current (by the append times on `M.state`: what is proposed and not judged yet is nobody's version).

**What is not**, for a false word is worse than a missing one:

- a version that the task wrote itself, or a task below it: it knows of that. Nor is a key that it
  read and then wrote: that the version was current when it decided was checked by the write. A
  conflict tells it the version that it met, which counts as read from then on;
- a version with an equal value: whoever had read it would have decided the same. So a key that is
  contested meanwhile is not stale, and one that went back to its old value is not;
- a key whose rule merges: whoever may write there at the same time was declared not to disturb the
  others, and a counter moves on under every reader. Where a decision needs the very value, the
  rule to choose is `reject` or `arbitrate`;
- what a `watch` yielded: it takes what comes, and nobody who watches says that it was the last;
- what a handler read before it was started over (`on_mismatch="restart"`).

What it cannot see: a result of a task that failed; a key that changed so long ago, or that so many
others followed, that it is not kept; what a handler knows from elsewhere than its own reads. A task
that works for long on a key that changes all the time is found each time: that is what it is, and
a limit for its capability says that it is meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from sys import intern
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Sight, chain_of, make_room
from mesh.core.effects import Incident, Position
from mesh.core.ids import derive
from mesh.core.keys import NO_RULES, Resolution, Rules
from mesh.core.shared import ACCEPTING, Entry, RulesEntry
from mesh.core.tasks import StepState, TaskState
from mesh.core.values import Ancestor, Body, Outcome, StepKind

KIND = "stale-read"
MAX_READ = 1_000
"""Keys of one task that are asked for: those that it read last."""
MAX_PARENTS = 20_000
"""Tasks of one workflow of which is known who asked for them."""
MAX_KEYS = 50_000
"""Keys of which versions are kept, some 40 MB; then those that were written first are forgotten."""
KEPT = 8
"""Versions of a key: more come in a row only while nobody reads."""
_OF_STATE = frozenset({StepKind.READ, StepKind.WRITE})
_RESTART = re.compile(r"r(\d+)/")


class Read(NamedTuple):
    """What a task knows of a key; `digest` is that of the value, None if it was not recorded."""

    version: int
    digest: bytes | None
    offset: int
    at_ms: int


class Inquiry(NamedTuple):
    """A task delivered a result: was what it read still current?

    `parents` names who asked for each task of the workflow; it grows with it.
    """

    workflow: str
    task: str
    chain: tuple[Ancestor, ...]
    offset: int
    at_ms: int
    reads: tuple[tuple[str, Read], ...]
    parents: Mapping[str, str]
    limit_ms: int


# --- who asks ----------------------------------------------------------------------------------


class Reads:
    """Mutable: who asked for whom in each open workflow, and the inquiries that nobody took yet."""

    name = KIND
    kinds: frozenset[type] = frozenset({f.TaskOpened, f.WorkFinished})

    def __init__(self) -> None:
        self._parents: dict[str, dict[str, str]] = {}
        self._asked: list[Inquiry] = []

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`. Nothing is found here, it is asked for."""
        fact = sight.fact
        parents = self._parents.setdefault(sight.opened.workflow, {})
        if isinstance(fact, f.TaskOpened):
            make_room(parents, MAX_PARENTS)
            parents[fact.task] = fact.parent
        elif isinstance(fact, f.WorkFinished) and fact.outcome is Outcome.COMPLETED:
            self._ask(parents, sight)
        return ()

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._parents.pop(workflow, None)

    def take(self) -> Sequence[Inquiry]:
        """Return what is asked since the last call."""
        if not self._asked:
            return ()
        asked, self._asked = self._asked, []
        return asked

    def _ask(self, parents: Mapping[str, str], sight: Sight) -> None:
        reads = _reads(sight.task)
        if reads:
            inquiry = Inquiry(
                workflow=sight.opened.workflow,
                task=sight.opened.task,
                chain=chain_of(sight.task),
                offset=sight.record.offset,
                at_ms=sight.record.append_ms,
                reads=tuple(reads.items()),
                parents=parents,
                limit_ms=sight.limits.stale_read_ms,
            )
            self._asked.append(inquiry)


def _reads(task: TaskState) -> dict[str, Read]:
    """Return what a task knows of each key that it read, by its journal."""
    steps = [(name, own) for name, own in task.steps.items() if own.kind in _OF_STATE]
    restarts = max((_restart_of(name) for name, _ in steps), default=0)
    done = [own for name, own in steps if own.result is not None and _restart_of(name) == restarts]
    reads: dict[str, Read] = {}
    for step in sorted(done, key=_offset_of):
        _note(reads, step)
    return dict(list(reads.items())[-MAX_READ:])


def _note(reads: dict[str, Read], step: StepState) -> None:
    """Note what a step told its task."""
    result = step.result
    assert result is not None
    told, at = _told(result.body), (result.offset, result.append_ms)
    if step.kind is StepKind.READ:
        for key, version, value in _entries([told]):
            if key == step.name:  # a watch is named by its prefix
                reads[key] = Read(version, digest_of(value), *at)
        return
    accepted = told.get("verdict") in ACCEPTING
    for key, version, value in _entries(told.get("entries")):
        if accepted:
            reads.pop(key, None)
        elif key in reads:
            # a verdict on many keys leaves values out: none may be one that is not told
            digest = None if value is None and version else digest_of(value)
            reads[key] = Read(version, digest, *at)


def _offset_of(step: StepState) -> int:
    assert step.result is not None
    return step.result.offset


def _restart_of(step: str) -> int:
    found = _RESTART.match(step)
    return int(found[1]) if found else 0


def _told(said: Body) -> Mapping[str, object]:
    """Return what a step recorded, nothing if that is no object."""
    try:
        told = json.loads(said.content or b"null")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _entries(listed: object) -> Iterator[tuple[str, int, object]]:
    """Yield key, version and value of entries as a step records them."""
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            key, version, value = (entry.get(name) for name in ("key", "version", "value"))
            if isinstance(key, str) and isinstance(version, int):
                yield key, version, value


# --- who answers -------------------------------------------------------------------------------


class Version(NamedTuple):
    """One version of a key: what made it current, and when."""

    version: int
    digest: bytes
    agent: str
    workflow: str
    task: str
    where: Position
    at_ms: int


class Versions:
    """Mutable: the latest versions of the keys that were written last.

    What is not kept is not known, and nothing is said of it.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[Version]] = {}
        self._rules: dict[int, Rules] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Versions({len(self)} keys)"

    def take(self, kept: Entry | RulesEntry, where: Position, append_ms: int) -> None:
        """Take a record of `M.state`, each partition in its order; an older version is dropped."""
        if isinstance(kept, RulesEntry):
            self._rules[where.partition] = kept.rules
            return
        known = self._kept.pop(kept.key, [])
        if not known:
            make_room(self._kept, MAX_KEYS)
        self._kept[kept.key] = known
        if not known or kept.version > known[-1].version:
            agent, digest = intern(kept.agent or kept.writer), digest_of_bytes(kept.value)
            known.append(
                Version(kept.version, digest, agent, kept.workflow, kept.task, where, append_ms)
            )
            del known[:-KEPT]

    def forget(self, key: str) -> None:
        """Know nothing of a key any more: for whoever has left one of its versions out."""
        self._kept.pop(key, None)

    def judge(self, inquiry: Inquiry, partition: int) -> Incident | None:
        """Answer an inquiry from an audit partition; None if nothing is known to be stale."""
        stale = [
            _Stale(key, read, later)
            for key, read in inquiry.reads
            for later in self._later(inquiry, key, read)
        ]
        if not stale:
            return None
        stale.sort(key=lambda own: own.later.at_ms)
        return _incident(inquiry, stale, partition)

    def _later(self, inquiry: Inquiry, key: str, read: Read) -> Iterator[Version]:
        """Yield the version that had replaced what was read, if it had and that matters."""
        known = self._kept.get(key, [])
        before = [own for own in known if own.at_ms <= inquiry.at_ms]
        settled = [own for own in before if own.at_ms <= inquiry.at_ms - inquiry.limit_ms]
        digest = read.digest or next((v.digest for v in known if v.version == read.version), None)
        if not settled or digest is None:
            return
        other = [own for own in settled if _is_other(inquiry, own, read.version, digest)]
        if settled[-1] not in other or not _is_other(inquiry, before[-1], read.version, digest):
            return
        rule = self._rules.get(settled[-1].where.partition, NO_RULES).rule_for(key)
        if rule is not None and rule.resolution is not Resolution.MERGE:
            yield other[0]


class _Stale(NamedTuple):
    """A key that was read, and the first version that is known to have replaced what was read."""

    key: str
    read: Read
    later: Version


def digest_of_bytes(value: bytes | None) -> bytes:
    """Return what equal values have in common, however they were written; None for deleted."""
    try:
        return digest_of(json.loads(value) if value is not None else None)
    except ValueError:
        return sha256(value or b"").digest()


def digest_of(value: object) -> bytes:
    """Return the same of a value that was read already."""
    return sha256(json.dumps(value, sort_keys=True).encode()).digest()


def _is_other(inquiry: Inquiry, current: Version, read: int, digest: bytes) -> bool:
    """Tell whether a version is later than what was read, with another value, and not our own."""
    if current.version <= read or current.digest == digest:
        return False
    return current.workflow != inquiry.workflow or not _is_below(inquiry, current.task)


def _is_below(inquiry: Inquiry, task: str) -> bool:
    """Tell whether a task is the one that asks, or one that it asked for."""
    seen = 0
    while task and task != inquiry.task and seen < MAX_PARENTS:
        task = inquiry.parents.get(task, "")
        seen += 1
    return task == inquiry.task


def _incident(inquiry: Inquiry, stale: Sequence[_Stale], partition: int) -> Incident:
    key, read, later = stale[0]
    age_ms = inquiry.at_ms - later.at_ms
    who = later.agent + (f" in task {later.task}" if later.task else "")
    was = "there was nothing" if not read.version else f"version {read.version} was read"
    late = read.at_ms - later.at_ms
    already = f", {late / 1_000:.1f} s before it was read" if late > 0 else ""
    others = f"; so it is with {len(stale) - 1} other keys" if len(stale) > 1 else ""
    text = (
        f"The result rests on {key}, of which {was} ({partition}/{read.offset}); {who} had "
        f"written version {later.version}{already}, {age_ms / 1_000:.1f} s before the result "
        f"({inquiry.limit_ms / 1_000:g} s allowed){others}."
    )
    audit = {own.read.offset for own in stale} | {inquiry.offset}
    return Incident(
        kind=KIND,
        workflow=inquiry.workflow,
        task=inquiry.task,
        text=text,
        id=derive("incident", KIND, inquiry.task, inquiry.offset),
        detector=KIND,
        measure="milliseconds that a result rested on a version that had been replaced",
        seen=age_ms,
        limit=inquiry.limit_ms,
        chain=inquiry.chain,
        evidence=(
            *(Position("audit", partition, offset) for offset in sorted(audit)[:16]),
            *(own.later.where for own in stale[:16]),
        ),
    )
