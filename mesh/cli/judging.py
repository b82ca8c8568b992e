"""Judges the proposals of one partition again: a plain loop around the core's fold.

This is what the processor does, without the processor: it starts at the oldest record that is still
there and keeps nothing. Where retention took the beginning of the log, what it made is taken from
the rows of `M.state`: a row stands for its key from the offset of the change that made it. Until
then the key is unknown, and a change of it cannot be judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mesh.cli.keeping import Kept, Proposed
from mesh.core.shared import (
    Change,
    Entry,
    Judgement,
    Proposal,
    RulesAdopted,
    RulesEntry,
    Settlement,
)
from mesh.processor.inputs import view_of
from mesh.wire.state import RULES_KEY, state_partition

RULES = RULES_KEY.decode()


class Judged(NamedTuple):
    """One proposal with what it came to: None where that cannot be known.

    `before` are the entries of its keys as it met them.
    """

    proposed: Proposed
    judgement: Judgement | None
    before: dict[str, Entry]


class Home(NamedTuple):
    """One partition of shared state, of so many."""

    partition: int
    partitions: int

    def has(self, key: str) -> bool:
        """Tell whether a key lives here."""
        return state_partition(key, self.partitions) == self.partition


class Around:
    """Mutable: of the rows of a view, those that a fold from offset `low` on has to know.

    Of each key the last one that was made before it, and the first one after. None from 0 on.
    """

    def __init__(self, low: int) -> None:
        self.low = low
        self._rows: dict[tuple[str, bool], Kept] = {}

    def __repr__(self) -> str:
        return f"Around({self.low}, {len(self._rows)} rows)"

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._rows.values())

    def add(self, kept: Kept) -> None:
        """Take a row, in any order."""
        if self.low == 0:
            return
        key, version = name_of(kept)
        after = kept.source >= self.low
        known = self._rows.setdefault((key, after), kept)
        if (version < name_of(known)[1]) == after:
            self._rows[key, after] = kept


class Fold:
    """Mutable: one partition as far as it was read.

    `home` is the partition and how many there are, `around` the rows around the offset of the log's
    oldest record.
    """

    def __init__(self, home: Home, around: Around) -> None:
        self.view = view_of(*home)
        self.low = around.low
        self.unknown: set[str] = set()
        self._later: dict[int, list[Kept]] = {}
        self._births: dict[str, str] = {}
        self._knows_rules = True
        self._begin(list(around))

    def __repr__(self) -> str:
        return f"Fold({self.view}, unknown={len(self.unknown)})"

    def _begin(self, rows: list[Kept]) -> None:
        """Take what was there before the log begins; find out what cannot be known."""
        older = [row for row in rows if row.source < self.low]
        for row in sorted(older, key=lambda row: row.source):
            self.view.restore(row)
        told = [row for row in rows if isinstance(row, RulesEntry)]
        self._knows_rules = not told or self.view.rules.source >= 0
        whole = set(self.view.entries)
        for row in rows:
            if row.source < self.low:
                continue
            self._later.setdefault(row.source, []).append(row)
            if not isinstance(row, Entry):
                continue
            if row.version == 1:
                whole.add(row.key)  # so nothing was there before
            self.unknown.add(row.key)
            if row.recent[0].version == 1:
                self._births[row.key] = row.recent[0].change
        self.unknown -= whole

    def knows(self, proposal: Proposal) -> bool:
        """Tell whether everything that a verdict on this depends on is known."""
        match proposal:
            case Change():
                keys = {write.key for write in proposal.writes}
                return self._knows_rules and not keys & self.unknown
            case Settlement():
                return proposal.key not in self.unknown
            case RulesAdopted():
                return self._knows_rules

    def add(self, proposed: Proposed) -> Judged:
        """Judge the next record; one that holds no proposal comes to nothing."""
        proposal = proposed.proposal
        if proposal is None:
            return Judged(proposed, None, {})
        self._recognise(proposal)
        before = {
            key: entry
            for key in keys_of(proposal)
            if (entry := self.view.entries.get(key)) is not None
        }
        judgement = None
        if self.knows(proposal):
            judgement = self.view.judge(proposal, proposed.offset, proposed.append_ms)
        self._learn(proposed.offset)
        return Judged(proposed, judgement, before)

    def _recognise(self, proposal: Proposal) -> None:
        """Know a key from the change that made its first version on."""
        if isinstance(proposal, Change):
            for write in proposal.writes:
                if self._births.get(write.key) == proposal.change:
                    self.unknown.discard(write.key)

    def _learn(self, offset: int) -> None:
        """Take what `M.state` says was made at this offset, where that was not known."""
        for row in self._later.get(offset, ()):
            if isinstance(row, RulesEntry):
                if not self._knows_rules:
                    self.view.restore(row)
                    self._knows_rules = True
            elif row.key in self.unknown:
                self.view.restore(row)
                self.unknown.discard(row.key)


def name_of(kept: Kept) -> tuple[str, int]:
    """Return key and version of a row; of the rules, their key and theirs."""
    if isinstance(kept, Entry):
        return kept.key, kept.version
    return RULES, kept.rules.version


def keys_of(proposal: Proposal) -> tuple[str, ...]:
    """Return the keys that a proposal is about, none for rules."""
    match proposal:
        case Change():
            return tuple(write.key for write in proposal.writes)
        case Settlement():
            return (proposal.key,)
        case RulesAdopted():
            return ()
