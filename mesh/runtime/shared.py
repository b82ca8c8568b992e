"""Shared state as a handler sees it: `ctx.shared`.

Every read and write is a step. A write begins with a fact before anything leaves, under a key that
is the change's own id: a worker that goes on for a dead one sends the same change again, and is
told what became of it. Its verdict, and what a read found, are recorded with their versions and
handed back on every replay.

A read is answered from the process's replica, which lags by milliseconds. A handler's own writes,
and what it was told of others', are waited for: it never reads what it knows to be older.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from pydantic import ValidationError

from mesh.core import calls as c
from mesh.core.ids import derive
from mesh.core.keys import EVERYTHING, group_of, is_key, is_prefix, reaches
from mesh.core.settings import MAX_BODY_BYTES, MAX_NAME, MAX_REASON
from mesh.core.shared import ACCEPTING, MAX_VALUE_BYTES, MAX_WRITES, Verdict, Write
from mesh.errors import (
    Conflict,
    Contested,
    OutcomeUnknown,
    ScopeError,
    StateError,
    UsageError,
    ValueMismatch,
    WriteRefused,
)
from mesh.runtime.bodies import adapter, encode_value
from mesh.runtime.running import Running
from mesh.runtime.services import Services
from mesh.runtime.state_steps import (
    Looking,
    Reading,
    Why,
    Writing,
    answer,
    read_call,
    write_call,
)

Value = TypeVar("Value")

RETRIES = 8
"""How often `update` tries again: with so many writers at once, each comes through."""
PAUSE_MS = 20
"""Before the second retry of an update, doubled with each: some verdicts' time."""
PAUSE_MAX_MS = 1_000
"""A pause is not longer: who has conflicted so often waits for its turn, not for quiet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared(Generic[Value]):
    """An entry as it was read. Version 0 is that of a key that was never written.

    `value` is None there, and where it was deleted. `agent` wrote it, for `task`; both are "" for
    one that a person settled. While it is `contested` a person has to choose between this value and
    others.
    """

    key: str
    value: Value | None
    version: int
    contested: bool
    agent: str
    task: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A write that is in force as this version of its key.

    `verdict` is `accepted`, `merged` (with what somebody else wrote since: read it to see how) or
    `preferred` (it came late, and serves a more important objective).
    """

    key: str
    version: int
    verdict: Verdict


class SharedState:
    """Mutable: shared state for one start of a handler; `ctx.shared`."""

    __slots__ = ("_known", "_running", "_services")

    def __init__(self, running: Running, services: Services) -> None:
        self._running = running
        self._services = services
        self._known: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"SharedState({self._known})"

    # --- reading --------------------------------------------------------------------------------

    @overload
    async def read(self, key: str, /, *, at_least: int = 0) -> Shared[Any]: ...

    @overload
    async def read(
        self,
        key: str,
        /,
        *,
        type: type[Value],  # reads as the guide writes it
        at_least: int = 0,
    ) -> Shared[Value]: ...

    async def read(
        self,
        key: str,
        /,
        *,
        type: Any = Any,  # noqa: A002  # see above
        at_least: int = 0,
    ) -> Shared[Any]:
        """Return an entry; one that is not there has version 0.

        Args:
            key: Under a prefix that `Agent(reads=[...])` declares.
            type: What its value is: a pydantic model, or any type hint; plain JSON unless given.
            at_least: A version that somebody told of: it is waited for.

        Raises:
            ScopeError: The agent's card does not let it read the key; nothing was done.
            ValueMismatch: The value is not of this type.
        """
        path = self._running.here()
        _check_key(key)
        self._check_scope(key, "reads", self._services.reads)
        floor = max(self._known.get(key, 0), _version(at_least, "at_least"))
        call = read_call(path.next_step(), key)
        result = await self._running.ask(path, call, Reading(self._services, key, floor))
        return self._found(answer(result), type)

    @overload
    def watch(self, prefix: str, /) -> Watch[Any]: ...

    @overload
    def watch(
        self,
        prefix: str,
        /,
        *,
        type: type[Value],  # see above
    ) -> Watch[Value]: ...

    def watch(
        self,
        prefix: str,
        /,
        *,
        type: Any = Any,  # noqa: A002  # see above
    ) -> Watch[Any]:
        """Return the entries under a prefix as they are, then each as it changes: `async for`.

        Each is a step, so a replay sees the same. Of an entry that changes faster than it is looked
        at, the latest version is seen. It never ends of itself, and a handler that waits for it
        keeps its slot: leave the loop.

        Raises:
            ScopeError: The agent's card does not let it read all of the prefix.
        """
        if not is_prefix(prefix):
            raise UsageError(f"prefix {prefix!r}: it is `*`, or segments parted by `/`")
        self._check_scope(prefix.rstrip("/"), "reads", self._services.reads)
        return Watch(self, prefix, type)

    def _found(self, entry: Mapping[str, Any], kind: Any) -> Shared[Any]:
        """Return a recorded entry with its value as its reader's type."""
        key, version, value = entry["key"], entry["version"], entry["value"]
        self._learn(key, version)
        if value is not None:
            try:
                value = adapter(kind).validate_json(json.dumps(value))
            except ValidationError as problem:
                name = getattr(kind, "__name__", kind)
                text = f"version {version} of {key}, by {entry['agent']}, is no {name}: {problem}"
                raise ValueMismatch(text, **_told(entry)) from problem
        return Shared(
            key=key,
            value=value,
            version=version,
            contested=entry["contested"],
            agent=entry["agent"],
            task=entry["task"],
        )

    # --- writing --------------------------------------------------------------------------------

    async def write(
        self,
        key: str,
        value: object,
        /,
        *,
        expected_version: int,
        because: str = "",
        objective: str = "",
    ) -> Written:
        """Write an entry, if it still has the version that was read; return when that is judged.

        While the processor is away this waits, and nothing is lost.

        Args:
            key: Under a prefix that `Agent(writes=[...])` declares.
            value: A pydantic model or plain JSON; None deletes.
            expected_version: That of the entry that this builds on, 0 for none.
            because: Why, for whoever reads the entry's history.
            objective: Which of the enterprise's objectives it serves, where that decides.

        Raises:
            Conflict: Another change came first; it is told with the entry as it is now.
            Contested: Both serve the same objective: a person settles it.
            WriteRefused: No rule allows it.
            OutcomeUnknown: It was begun long ago, by a worker that died, and whether it was
                accepted nobody can tell any more.
            ScopeError, UsageError: It cannot be proposed; nothing was sent.
        """
        written = await self.write_all(
            {key: (value, expected_version)}, because=because, objective=objective
        )
        return written[key]

    async def write_all(
        self,
        changes: Mapping[str, tuple[object, int]],
        /,
        *,
        because: str = "",
        objective: str = "",
    ) -> dict[str, Written]:
        """Write several entries, `{key: (value, expected_version)}`: all of them or none.

        Their keys share the part before the last `/`. Raises what `write` does.
        """
        running = self._running
        path = running.here()
        writes = tuple(
            Write(key, _version(expected, "expected_version"), _encode(value, key))
            for key, (value, expected) in changes.items()
        )
        self._check_writes(writes)
        why = Why(_text(objective, MAX_NAME), _text(because))
        call = write_call(path.next_step(), writes, why)
        proposed = Writing(self._services, running.work, call.step, writes, why)
        result = await running.ask(path, call, proposed)
        verdict = answer(result)
        for entry in verdict["entries"]:
            self._learn(entry["key"], entry["version"])
        if verdict["verdict"] not in ACCEPTING:
            raise _refusal(writes, verdict)
        made = Verdict(verdict["verdict"])
        return {
            write.key: Written(key=write.key, version=version, verdict=made)
            for write, version in zip(writes, verdict["versions"], strict=True)
        }

    @overload
    async def update(
        self,
        key: str,
        change: Callable[[Any], object],
        /,
        *,
        retries: int = RETRIES,
        because: str = "",
        objective: str = "",
    ) -> Written: ...

    @overload
    async def update(
        self,
        key: str,
        change: Callable[[Value | None], Value | None],
        /,
        *,
        type: type[Value],  # see above
        retries: int = RETRIES,
        because: str = "",
        objective: str = "",
    ) -> Written: ...

    async def update(
        self,
        key: str,
        change: Callable[[Any], object],
        /,
        *,
        type: Any = Any,  # noqa: A002  # see above
        retries: int = RETRIES,
        because: str = "",
        objective: str = "",
    ) -> Written:
        """Read an entry, write what `change` makes of its value, and again if that conflicts.

        Where `change` leaves the value as it was, nothing is written: a version that says nothing
        new would only be in others' way.

        An attempt after a failure reads anew, and applies `change` to what the one before it wrote.
        So what must not count twice is added under a name (the order's, `ctx.task`), not as "one
        more".

        Args:
            key: Under prefixes that both `reads` and `writes` declare.
            change: Takes the value, None for none, and returns the new one; None deletes. It may be
                called several times, so it does nothing else.
            type: What the value is, as for `read`.
            retries: How often it is tried again.
            because: As for `write`.
            objective: As for `write`.

        Raises:
            Conflict: It came too late each time.
            Contested, WriteRefused, OutcomeUnknown, ScopeError, ValueMismatch: As `read` and
                `write` do.
        """
        _check_key(key)
        self._check_scope(key, "writes", self._services.writes)
        for number in range(retries + 1):
            entry = await self.read(key, type=type)
            before = _encode(entry.value, key)  # `change` may well change it in place
            value = change(entry.value)
            if not entry.contested and _encode(value, key) == before:
                return Written(key=key, version=entry.version, verdict=Verdict.ACCEPTED)
            try:
                return await self.write(
                    key,
                    value,
                    expected_version=entry.version,
                    because=because,
                    objective=objective,
                )
            except Contested:
                raise
            except Conflict:
                if number == retries:
                    raise
            if number:
                await self._pause(number)
        raise UsageError(f"update: retries is {retries}, and must not be negative")

    async def _pause(self, number: int) -> None:
        """Wait before one more try, each writer another time, and the same on a replay."""
        path = self._running.here()
        step = path.next_step()
        longest = min(PAUSE_MS << number, PAUSE_MAX_MS)
        chance = int(derive("pause", self._running.task, step)[:8], 16)
        call = c.Sleep(step=step, ms=longest // 2 + chance % (longest // 2 + 1))
        await self._running.ask(path, call, dozes=True)

    # --- checking -------------------------------------------------------------------------------

    def _learn(self, key: str, version: int) -> None:
        """Remember which version this handler knows of."""
        self._known[key] = max(version, self._known.get(key, 0))

    def _check_scope(self, key: str, scope: str, declared: tuple[str, ...]) -> None:
        """Refuse what the card does not allow.

        Raises:
            ScopeError: It does not; says what to declare.
        """
        if not reaches(declared, key):
            known = f"; it has {', '.join(declared)}" if declared else ""
            raise ScopeError(
                f"agent {self._services.agent} may not {scope[:-1]} {key}: add "
                f"{group_of(key) or key!r} to Agent({scope}=[...]){known}"
            )

    def _check_writes(self, writes: tuple[Write, ...]) -> None:
        """Refuse what would be refused anyway.

        Raises:
            UsageError: A key is malformed, they are of different groups, or too many or too large.
            ScopeError: One is outside of the card's scope.
        """
        if not 0 < len(writes) <= MAX_WRITES:
            raise UsageError(f"a write has 1 to {MAX_WRITES} keys, this has {len(writes)}")
        for write in writes:
            _check_key(write.key)
            self._check_scope(write.key, "writes", self._services.writes)
        groups = sorted({group_of(write.key) for write in writes})
        if len(groups) > 1:
            raise UsageError(
                "keys are written together where they share the part before the last `/`; these "
                f"are of {', '.join(repr(group) for group in groups)}"
            )
        if (size := sum(len(write.value or b"") for write in writes)) > MAX_BODY_BYTES:
            raise UsageError(f"the values have {size} bytes together, {MAX_BODY_BYTES} are allowed")


class Watch(Generic[Value]):
    """Mutable: the entries under a prefix, one after the other, as one path looks at them."""

    def __init__(self, shared: SharedState, prefix: str, kind: Any) -> None:
        self._shared = shared
        self._prefix = prefix
        self._kind = kind
        self._seen: dict[str, int] = {}
        self._look = Looking(shared._services, prefix, self._seen)  # noqa: SLF001  # its own part
        self._busy = False

    def __aiter__(self) -> Watch[Value]:
        return self

    async def __anext__(self) -> Shared[Value]:
        running = self._shared._running  # noqa: SLF001  # see above
        path = running.here()
        if self._busy:
            raise UsageError(f"watch {self._prefix}: one path at a time; watch once in each")
        self._busy = True
        try:
            name = EVERYTHING if self._prefix == EVERYTHING else f"{self._prefix.rstrip('/')}/*"
            call = read_call(path.next_step(), name)
            entry = answer(await running.ask(path, call, self._look))
        finally:
            self._busy = False
        self._seen[entry["key"]] = entry["version"]
        return self._shared._found(entry, self._kind)  # noqa: SLF001  # see above


# --- what was recorded, and what is asked for -----------------------------------------------------


def _refusal(writes: tuple[Write, ...], verdict: Mapping[str, Any]) -> StateError:
    """Return what a write that is not in force raises."""
    entries = verdict["entries"]
    late = [
        entry
        for write, entry in zip(writes, entries, strict=True)
        if entry["contested"] or entry["version"] != write.expected
    ]
    kind: type[StateError] = WriteRefused
    if verdict.get("forgotten"):
        kind = OutcomeUnknown
    elif verdict["verdict"] != Verdict.REFUSED:
        kind = Contested if any(entry["contested"] for entry in late) else Conflict
    versions = {entry["key"]: entry["version"] for entry in entries}
    return kind(verdict["reason"], **_told((late or entries)[0]), versions=versions)


def _told(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("key", "version", "value", "agent", "task")}


def _encode(value: object, key: str) -> bytes | None:
    """Return a value in its canonical form, None for None.

    Raises:
        UsageError: It has no JSON form, or is too large.
    """
    if value is None:
        return None
    try:
        content = encode_value(value)
    except UsageError as problem:
        raise UsageError(f"{key}: {problem}") from problem
    if len(content) > MAX_VALUE_BYTES:
        raise UsageError(
            f"{key}: the value has {len(content)} bytes, {MAX_VALUE_BYTES} are allowed: put it "
            "into an artifact, and share that"
        )
    return content


def _version(version: object, what: str) -> int:
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise UsageError(f"{what}: must be the version of an entry, 0 for none, not {version!r}")
    return version


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not is_key(key):
        raise UsageError(f"key {key!r}: it is segments parted by `/`, {MAX_NAME} long at most")


def _text(text: object, most: int = MAX_REASON) -> str:
    if not isinstance(text, str) or len(text) > most:
        raise UsageError(f"because and objective are texts, of {MAX_REASON} and {MAX_NAME} at most")
    return text.encode(errors="replace").decode()  # half of a surrogate pair is no text
