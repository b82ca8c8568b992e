"""The steps of shared state: what they ask of the core, how they are done, what is recorded.

A read's record is `{"key", "version", "value", "contested", "agent", "task"}`, the last two being
who wrote it and for what. A write's is `{"verdict", "reason", "versions", "entries", "asked",
"rivals"}`: the versions that it made, in the order of its keys, and their entries as they stand,
each like a read; in `asked` the versions that it expected, its objective and its reason; and who
stood against it, each as a `messages.Rival`. Where nobody can tell whether it was accepted, it has
`"forgotten": true` besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mesh.core import calls as c
from mesh.core.keys import group_of
from mesh.core.messages import Current, Judged
from mesh.core.shared import ACCEPTING, MAX_VALUE_BYTES, Change, Write
from mesh.core.values import NOTHING, Amount, Body, Effect, StepKind
from mesh.errors import StateError, WireError
from mesh.runtime.bodies import body
from mesh.runtime.failures import clip
from mesh.runtime.replica import Row, Watching
from mesh.runtime.services import Services
from mesh.wire.canonical import body_of, canonical_json, parse_json

NO_STATE = "this process has no part in shared state"
_ZERO = Amount()


class Why(NamedTuple):
    """What a write serves, and its writer's reason; "" where that is not said."""

    objective: str
    because: str


# --- what is asked of the core --------------------------------------------------------------------


def read_call(step: str, name: str) -> c.Use:
    """Return a read's call: of a key, or with `/*` of whatever changes under a prefix."""
    return c.Use(
        step=step,
        kind=StepKind.READ,
        name=name,
        input_hash=body_of(name).hash,
        effect=Effect.PURE,
        reserve=_ZERO,
    )


def write_call(step: str, writes: tuple[Write, ...], why: Why) -> c.Use:
    """Return a write's call: its hash is over all that is asked for."""
    request = {
        "because": why.because,
        "objective": why.objective,
        "writes": [
            [key, expected, None if value is None else value.decode()]
            for key, expected, value in writes
        ],
    }
    key = writes[0].key
    return c.Use(
        step=step,
        kind=StepKind.WRITE,
        name=key if len(writes) == 1 else f"{group_of(key)}/*",
        input_hash=body_of(request).hash,
        effect=Effect.KEYED,
        reserve=_ZERO,
    )


def answer(result: c.Result) -> Any:
    """Return what a step recorded.

    Raises:
        StateError: It recorded that nothing came of it.
    """
    if result.body.content is None:
        raise StateError(result.reason)
    return json.loads(result.body.content)


# --- how it is done -------------------------------------------------------------------------------


class _Doer:
    """What all of them have in common; a `running.Doer`."""

    __slots__ = ("_services",)

    reserve = _ZERO
    interruptible = True
    patient = True

    def __init__(self, services: Services) -> None:
        self._services = services

    async def probe(self, key: str) -> Body | None:
        """Never asked: it may be done again."""
        raise AssertionError(key)

    async def review(self, child: str, contents: Body) -> str:
        """Never asked: it has no child."""
        raise AssertionError(child, contents)


class Reading(_Doer):
    """Finds an entry in the replica, once that has come to a version."""

    __slots__ = ("_floor", "_key")

    def __init__(self, services: Services, key: str, floor: int) -> None:
        super().__init__(services)
        self._key = key
        self._floor = floor

    async def perform(self, _: str) -> tuple[str, Amount, Body]:
        """Return error, cost and what was found."""
        replica = self._services.part.replica
        if replica is None:
            return NO_STATE, _ZERO, NOTHING
        row = await replica.at_least(self._key, self._floor)
        return _recorded(self._key, row)


class Looking(_Doer):
    """Finds the next entry under a prefix that its watch has not seen."""

    __slots__ = ("_prefix", "_seen", "_watching")

    def __init__(self, services: Services, prefix: str, seen: Mapping[str, int]) -> None:
        super().__init__(services)
        self._prefix = prefix
        self._seen = seen
        self._watching: Watching | None = None

    async def perform(self, _: str) -> tuple[str, Amount, Body]:
        """Return error, cost and what was found."""
        if self._services.part.replica is None:
            return NO_STATE, _ZERO, NOTHING
        if self._watching is None:
            self._watching = self._services.part.replica.watch(self._prefix)
        return _recorded(*await self._watching.next(self._seen))


class Writing(_Doer):
    """Proposes a change, and waits for what is said of it.

    In the first start of the first award nobody has begun its step before; in any other it may be
    one that a dead worker proposed, or one that was unwound while it waited.
    """

    __slots__ = ("_step", "_why", "_work", "_writes")

    def __init__(
        self,
        services: Services,
        work: c.Work,
        step: str,
        writes: tuple[Write, ...],
        why: Why,
    ) -> None:
        super().__init__(services)
        self._work = work
        self._step = step
        self._writes = writes
        self._why = why

    @property
    def _is_again(self) -> bool:
        return self._work.epoch > 1 or self._work.restart > 0

    async def perform(self, key: str) -> tuple[str, Amount, Body]:
        """Return error, cost and the verdict; `key` is the change's id."""
        proposals = self._services.part.proposals
        if proposals is None:
            return NO_STATE, _ZERO, NOTHING
        change = Change(
            change=key,
            by=proposals.me,
            agent=self._services.agent,
            scope=self._services.writes,
            workflow=self._work.workflow,
            task=self._work.task,
            step=self._step,
            writes=self._writes,
            objective=self._why.objective,
            because=self._why.because,
            inbox=proposals.inbox,
        )
        try:
            judged = await proposals.propose(change, again=self._is_again)
        except WireError as problem:
            return clip(f"it cannot be proposed: {problem}"), _ZERO, NOTHING
        verdict = judged.verdict
        error = "" if verdict in ACCEPTING else clip(f"{verdict}: {judged.reason}")
        if judged.forgotten:
            error = clip(f"unknown: {judged.reason}")
        return error, _ZERO, verdict_body(judged, self._writes, self._why)


# --- what is recorded -----------------------------------------------------------------------------


def _recorded(key: str, row: Row) -> tuple[str, Amount, Body]:
    try:
        found = _entry(key, row, row.value)
    except WireError as problem:
        return clip(f"version {row.version} of {key}: {problem}"), _ZERO, NOTHING
    return "", _ZERO, body(found)


def _entry(key: str, row: Row | Current, value: bytes | None) -> bytes:
    """Return an entry as it is recorded: its value stands there as it was written.

    Raises:
        WireError: Somebody wrote a value that is no JSON.
    """
    members = {
        "agent": row.agent,
        "contested": row.contested,
        "key": key,
        "task": row.task,
        "version": row.version,
    }
    if value is None:
        return canonical_json({**members, "value": None})
    parse_json(value)
    return canonical_json(members)[:-1] + b',"value":' + value + b"}"


def verdict_body(judged: Judged, writes: Sequence[Write], why: Why) -> Body:
    """Return a verdict as it is recorded; the values of several keys may be too much for it."""
    entries: list[bytes] = []
    left = MAX_VALUE_BYTES
    for current in judged.entries:
        left -= len(current.value or b"")
        try:
            entries.append(_entry(current.key, current, current.value if left >= 0 else None))
        except WireError:
            entries.append(_entry(current.key, current, None))
    head = {"asked": {**why._asdict(), "expected": [own.expected for own in writes]}}
    tail: dict[str, Any] = {
        "reason": judged.reason,
        "rivals": [rival._asdict() for rival in judged.rivals],
        "verdict": judged.verdict,
        "versions": judged.versions,
    }
    if judged.forgotten:
        tail["forgotten"] = True
    listed = b",".join(entries)
    return body(
        canonical_json(head)[:-1] + b',"entries":[' + listed + b"]," + canonical_json(tail)[1:]
    )
