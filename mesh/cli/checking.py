"""Checks shared state: the view on `M.state` against what the log makes of it.

For each partition the log is judged again from its oldest record to the offset that the view names,
the largest `source` of its rows, and every row that is still there must be one that this makes; so
must the highest of each key be there. What a processor that was replaced wrote late is one of them,
too, or it is a difference.

Where retention took the beginning of a partition of the log, a row that was made before it cannot
be checked; one that was made after it must at least say what the change at its source says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import NamedTuple

from mesh.cli.judging import RULES, Around, Fold, Home, name_of
from mesh.cli.keeping import Kept, Proposed, Row, StateReader
from mesh.core.shared import (
    Change,
    Entry,
    Proposal,
    RulesAdopted,
    RulesEntry,
    Settlement,
    Verdict,
)
from mesh.telling import words
from mesh.wire.state import encode_kept

Name = tuple[str, int]
"""Key and version of a row; of the rules, their key and theirs."""


class Difference(NamedTuple):
    """Where view and log differ: the record of `M.state`, "" for one that is missing; the change.

    Both are `PARTITION/OFFSET`.
    """

    where: str
    source: str
    key: str
    version: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the check of one partition came to.

    `low`, `high` and `through` are offsets of `M.changes`: the oldest that is there, the end, and
    what the view names, -1 if it has no row. `rows` were read, `entries` of them are the latest of
    their key and equal what the log makes, `unchecked` cannot be checked. `unfinished` rows are
    missing of the change at `through`, which its processor still has to write; `behind` changes
    after it are still to be written, too.
    """

    partition: int
    low: int
    high: int
    through: int
    changes: int
    rows: int
    entries: int
    unchecked: int
    unfinished: int
    behind: int
    differences: tuple[Difference, ...]


class _Mark(NamedTuple):
    """What is remembered of a row: a view that was not compacted yet has many."""

    offset: int
    source: int
    digest: bytes


class Checker:
    """Mutable: one partition: takes the rows of the view, then the records of the log, in order."""

    def __init__(self, home: Home, low: int, high: int) -> None:
        self.partition = home.partition
        self.low, self.high = low, high
        self.through = -1
        self._home = home
        self._marks: dict[Name, _Mark] = {}
        self._highest: dict[str, Row] = {}
        self._around = Around(low)
        self._confirmed: set[Name] = set()
        self._sources: dict[int, Proposed | None] = {}
        self._found: list[Difference] = []
        self._fold: Fold | None = None
        self._latest: dict[str, Kept] | None = None
        self._counts = dict.fromkeys(("changes", "rows", "unchecked", "unfinished", "behind"), 0)

    def __repr__(self) -> str:
        return f"Checker({self.partition}, through={self.through}, {len(self._found)} differences)"

    # --- the view

    def row(self, row: Row) -> None:
        """Take a row of `M.state`."""
        self._counts["rows"] += 1
        kept = row.kept
        if kept is None:
            self._differ(row, f"it holds no entry: {row.error}")
            return
        name, mark = name_of(kept), _Mark(row.offset, kept.source, _digest(kept))
        known = self._marks.setdefault(name, mark)
        if known.digest != mark.digest:
            where = f"{row.partition}/{known.offset}"
            what = self._unlike(known.offset, name, kept)
            self._differ(row, f"it differs from the same version at {where}{what}")
        if isinstance(kept, Entry) and not self._home.has(kept.key):
            self._differ(row, "its key lives in another partition")
        highest = self._highest.setdefault(name[0], row)
        if highest.kept is not None and name_of(highest.kept) < name:
            self._highest[name[0]] = row
        self.through = max(self.through, kept.source)
        self._around.add(kept)

    def _unlike(self, offset: int, name: Name, kept: Kept) -> str:
        """Say in what a row differs from that of an offset, if that one is the highest."""
        row = self._highest.get(name[0])
        if row is None or row.offset != offset or row.kept is None:
            return ""
        return f" in {_fields(row.kept, kept)}"

    # --- the log

    def record(self, proposed: Proposed) -> None:
        """Take a record of `M.changes`."""
        fold = self._folding()
        self._counts["changes"] += 1
        if proposed.offset > self.through:
            self._frozen()
        judged = fold.add(proposed)
        written = judged.judgement.written if judged.judgement is not None else ()
        if proposed.offset > self.through:
            self._counts["behind"] += bool(written)
            return
        if proposed.offset in self._sources:
            self._sources[proposed.offset] = proposed
        for kept in written:
            self._compare(kept)

    def _folding(self) -> Fold:
        if self._fold is None:
            self._fold = Fold(self._home, self._around)
            if self.low > 0:
                latest = (row.kept for row in self._highest.values())
                self._sources = {kept.source: None for kept in latest if kept is not None}
        return self._fold

    def _frozen(self) -> dict[str, Kept]:
        """Return what the log makes up to the offset that the view names; remember it."""
        if self._latest is None:
            view = self._folding().view
            self._latest = {**view.entries}
            if view.rules.source >= 0:
                self._latest[RULES] = view.rules
        return self._latest

    def _compare(self, made: Kept) -> None:
        name = name_of(made)
        mark = self._marks.get(name)
        if mark is None:
            return  # compacted away, or missing: the highest of its key tells
        if mark.digest == _digest(made):
            self._confirmed.add(name)
        elif self.low == 0:
            row = self._highest[name[0]]
            what = ""
            if row.offset == mark.offset and row.kept is not None:
                what = f": {_fields(made, row.kept)}"
            self._differ_at(name, mark, f"the log makes another one of it{what}")

    # --- the end

    def finish(self) -> Checked:
        """Return what it came to, once everything was taken."""
        latest = self._frozen()
        wrong = {own.where for own in self._found}
        for name, mark in self._marks.items():
            if name not in self._confirmed and self._place(mark.offset) not in wrong:
                self._unconfirmed(name, mark)
        for key, made in sorted(latest.items()):
            self._missing(key, made)
        wrong = {own.where for own in self._found}
        entries = sum(
            isinstance(row.kept, Entry)
            and name_of(row.kept) in self._confirmed
            and self._place(row.offset) not in wrong
            for row in self._highest.values()
        )
        return Checked(
            partition=self.partition,
            low=self.low,
            high=self.high,
            through=self.through,
            entries=entries,
            differences=tuple(self._found),
            **self._counts,
        )

    def _unconfirmed(self, name: Name, mark: _Mark) -> None:
        """Judge a row that nothing in the log makes."""
        if self.low == 0:
            self._differ_at(name, mark, "nothing in the log makes it")
            return
        row = self._highest[name[0]]
        reason = ""
        if mark.source >= self.low and row.offset == mark.offset and row.kept is not None:
            reason = _contradiction(row.kept, self._sources.get(mark.source))
        if reason:
            self._differ_at(name, mark, reason)
        else:
            self._counts["unchecked"] += 1

    def _missing(self, key: str, made: Kept) -> None:
        """Look for the highest version that the log makes of a key."""
        row = self._highest.get(key)
        if row is not None and row.kept is not None and name_of(row.kept) >= name_of(made):
            return
        if made.source == self.through:
            self._counts["unfinished"] += 1
            return
        name = name_of(made)
        has, where = "nothing", ""
        if row is not None and row.kept is not None:
            has, where = f"version {name_of(row.kept)[1]}", self._place(row.offset)
        text = f"the log makes version {name[1]}, the view has {has}"
        self._found.append(Difference(where, self._place(made.source), *name, text))

    def _differ(self, row: Row, text: str) -> None:
        if row.kept is None:
            self._found.append(Difference(self._place(row.offset), "", "", 0, text))
        else:
            mark = _Mark(row.offset, row.kept.source, b"")
            self._differ_at(name_of(row.kept), mark, text)

    def _differ_at(self, name: Name, mark: _Mark, text: str) -> None:
        where, source = self._place(mark.offset), self._place(mark.source)
        self._found.append(Difference(where, source, *name, text))

    def _place(self, offset: int) -> str:
        """Return a place of this partition, of either topic."""
        return f"{self.partition}/{offset}"


async def verify(reader: StateReader) -> list[Checked]:
    """Check every partition.

    The view is read first, so that the log reaches at least as far as the view.
    """
    state, log = await reader.ends(reader.state), await reader.ends(reader.changes)
    found = []
    for partition in sorted({*state, *log}):
        checker = Checker(Home(partition, len(log)), *log.get(partition, (0, 0)))
        if partition in state:
            async for row in reader.rows(partition):
                checker.row(row)
        if partition in log:
            async for proposed in reader.proposals(partition):
                checker.record(proposed)
        found.append(checker.finish())
    return found


def _digest(kept: Kept) -> bytes:
    return blake2b(encode_kept(kept), digest_size=16).digest()


def _fields(one: Kept, other: Kept) -> str:
    """Name the fields in which two rows of one name differ, with what each has."""
    told = []
    for own in fields(one):
        left, right = getattr(one, own.name), getattr(other, own.name)
        if left != right:
            told.append(f"{own.name} {_shown(left)}, not {_shown(right)}")
    return "; ".join(told)


def _shown(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return words.clip(text, 60)


# --- a row, and the change that it names --------------------------------------------------------


def _contradiction(kept: Kept, proposed: Proposed | None) -> str:
    """Say in what a row contradicts the change at its source, whatever came before that."""
    if proposed is None or proposed.proposal is None:
        return f"there is no change at its source {kept.source}"
    return "; ".join(_contradictions(kept, proposed.proposal, proposed.append_ms))


def _contradictions(kept: Kept, proposal: Proposal, append_ms: int) -> Iterator[str]:
    if isinstance(kept, RulesEntry):
        if not isinstance(proposal, RulesAdopted) or kept.rules != proposal.rules:
            yield f"other rules were adopted at its source {kept.source}"
        return
    if kept.append_ms != append_ms:
        yield f"append_ms {kept.append_ms}, not {append_ms}"
    match proposal:
        case Change():
            yield from _of_change(kept, proposal)
        case Settlement() if kept.key == proposal.key and kept.change == proposal.change:
            if kept.value != proposal.value:
                yield f"value {_shown(kept.value)}, not {_shown(proposal.value)}"
        case _:
            yield f"the change at its source {kept.source} is of another key"


def _of_change(kept: Entry, change: Change) -> Iterator[str]:
    write = next((own for own in change.writes if own.key == kept.key), None)
    if write is None or kept.change != change.change:
        yield f"the change at its source {kept.source} is of another key"
        return
    if kept.verdict is Verdict.CONTESTED:
        if kept.candidates[-1:] and kept.candidates[-1].value != write.value:
            value = kept.candidates[-1].value
            yield f"its last candidate is {_shown(value)}, not {_shown(write.value)}"
        return
    if kept.verdict is not Verdict.MERGED and kept.value != write.value:
        yield f"value {_shown(kept.value)}, not {_shown(write.value)}"
    for name in ("agent", "workflow", "task", "step", "objective", "because"):
        if getattr(kept, name) != getattr(change, name):
            yield f"{name} {getattr(kept, name)!r}, not {getattr(change, name)!r}"


def empty(checked: Checked) -> bool:
    """Tell whether nothing was found in a partition, neither in the view nor in the log."""
    return not checked.rows and not checked.changes
