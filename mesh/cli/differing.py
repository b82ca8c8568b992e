"""What changed in shared state: between two times, or between two versions of a key.

The state at a time is what the log makes of all that was appended by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli.judging import Around, Fold, Home
from mesh.core.keys import reaches
from mesh.core.shared import Entry
from mesh.errors import UsageError, WireError
from mesh.wire.canonical import parse_json

if TYPE_CHECKING:
    from mesh.cli.keeping import Proposed, StateReader


class Member(NamedTuple):
    """One member of a value that differs: its JSON pointer, "" for the whole; what it was and is.

    None stands for JSON's null, and for a member that was or is not there.
    """

    pointer: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One key that differs. None is an entry that was not there; `known` False, not known."""

    key: str
    before: Entry | None
    after: Entry
    known: bool = True

    @property
    def versions(self) -> int:
        """How many versions were made in between."""
        first = self.before.version if self.before is not None else 0
        return self.after.version - first

    @property
    def members(self) -> tuple[Member, ...]:
        """What differs in the value."""
        return tuple(_members(_parsed(self.before), _parsed(self.after), ""))


class Gone(NamedTuple):
    """A partition whose log begins after the first of the two times."""

    partition: int
    low: int
    begins_ms: int


class Span:
    """Mutable: one partition of the log, as it stands at two times."""

    def __init__(self, target: str, since_ms: int, until_ms: int | None, fold: Fold) -> None:
        self._target = target
        self._since_ms = since_ms
        self._until_ms = until_ms
        self._fold = fold
        self._log_ms = -1
        self._before: Mapping[str, Entry] | None = None
        self._unknown: set[str] = set()
        self.begins_ms = -1

    def __repr__(self) -> str:
        return f"Span({self._target}, {self._since_ms} to {self._until_ms})"

    def add(self, proposed: Proposed) -> bool:
        """Take the next record; False if it lies behind the second time."""
        if self._log_ms < 0:
            self.begins_ms = proposed.append_ms
        self._log_ms = max(self._log_ms, proposed.append_ms)
        if self._until_ms is not None and self._log_ms > self._until_ms:
            return False
        if self._log_ms > self._since_ms and self._before is None:
            self._before = self._entries()
            self._unknown = set(self._fold.unknown)
        self._fold.add(proposed)
        return True

    def changed(self) -> Iterator[Changed]:
        """Yield the keys whose versions differ, once all was taken."""
        if self._before is None:
            return
        after = self._entries()
        for key in sorted(after):
            before = self._before.get(key)
            if before is None or before.version != after[key].version:
                known = key not in self._unknown
                yield Changed(key=key, before=before, after=after[key], known=known)

    def _entries(self) -> dict[str, Entry]:
        target = self._target
        every = self._fold.view.entries
        return {key: entry for key, entry in every.items() if not target or reaches((target,), key)}


async def between(
    reader: StateReader, target: str, since_ms: int, until_ms: int | None
) -> tuple[list[Changed], list[Gone]]:
    """Return what changed under a prefix between two times; and whose log begins later."""
    changed: list[Changed] = []
    gone: list[Gone] = []
    ends = await reader.ends(reader.changes)
    for partition, (low, _) in sorted(ends.items()):
        home = Home(partition, len(ends))
        around = Around(low)
        if low > 0:
            async for row in reader.rows(partition):
                if row.kept is not None:
                    around.add(row.kept)
        span = Span(target, since_ms, until_ms, Fold(home, around))
        async for proposed in reader.proposals(partition):
            if not span.add(proposed):
                break
        changed += span.changed()
        if low > 0 and span.begins_ms > since_ms:
            gone.append(Gone(partition, low, span.begins_ms))
    return sorted(changed, key=lambda own: own.key), gone


def parse_moment(text: str, now_ms: int, what: str) -> int:
    """Return a time in milliseconds since 1970: `10m` ago, or a time of RFC 3339.

    Raises:
        UsageError: It is neither.
    """
    from mesh.runtime.quantities import parse_duration

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now_ms - parse_duration(text, what)
    if moment.tzinfo is None:
        raise UsageError(f"{what}: {text} names no time zone; write {text}Z for UTC")
    return int(moment.astimezone(UTC).timestamp() * 1_000)


def _parsed(entry: Entry | None) -> Any:  # any JSON
    if entry is None or entry.value is None:
        return None
    try:
        return parse_json(entry.value)
    except WireError:
        return entry.value.decode(errors="replace")


def _members(before: Any, after: Any, pointer: str) -> Iterator[Member]:
    if before == after and type(before) is type(after):
        return
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield Member(pointer, before, after)
        return
    for name in sorted({*before, *after}):
        escaped = name.replace("~", "~0").replace("/", "~1")
        yield from _members(before.get(name), after.get(name), f"{pointer}/{escaped}")
