"""Judges the proposals of one partition again: a plain loop around the core's fold.

This is what the processor does, without the processor: it starts at the oldest record that is still
there and keeps nothing. Where retention took the beginning of the log, what it made is taken from
the rows of `M.state`: a row stands for its key from the offset of the change that made it. Until
then the key is unknown, and a change of it cannot be judged.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.cli.keeping import Kept, Proposed
from mesh.core.shared import (
    Change,
    Entry,
    Judgement,
    Proposal,
    RulesAdopted,
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

    Of each key the last one that was made before it, the first one after, and the last of all. None
    where the log has its beginning.
    """

    def __init__(self, low: int) -> None:
        self.low = low
        self.before: dict[str, Kept] = {}
        self.first: dict[str, Kept] = {}
        self.last: dict[str, Kept] = {}

    def __repr__(self) -> str:
        return f"Around({self.low}, {len(self.before)} rows before, {len(self.first)} keys after)"

    def add(self, kept: Kept) -> None:
        """Take a row, in any order."""
        if self.low == 0:
            return
        key, version = name_of(kept)
        if kept.source < self.low:
            if version >= name_of(self.before.setdefault(key, kept))[1]:
                self.before[key] = kept
            return
        if version <= name_of(self.first.setdefault(key, kept))[1]:
            self.first[key] = kept
        if version >= name_of(self.last.setdefault(key, kept))[1]:
            self.last[key] = kept

    def follows(self, key: str) -> bool:
        """Tell whether it is known what stood under a key when the log began, if only nothing.

        Compaction takes rows from between, and may leave one that was written too late.
        """
        if key not in self.first:
            return True
        before = self.before.get(key)
        version = 0 if before is None else name_of(before)[1]
        return (key == RULES and before is not None) or name_of(self.first[key])[1] == version + 1


class Fold:
    """Mutable: one partition as far as it was read.

    `home` is the partition and how many there are, `around` the rows around the offset of the log's
    oldest record.
    """

    def __init__(self, home: Home, around: Around) -> None:
        self.view = view_of(*home)
        self.low = around.low
        self.unknown = {key for key in around.first if not around.follows(key)}
        """Keys of which nobody knows what they are just now, and that of the rules."""
        self._later: dict[int, list[Kept]] = {}
        for row in (*around.first.values(), *around.last.values()):
            self._later.setdefault(row.source, []).append(row)
        for row in sorted(around.before.values(), key=lambda row: row.source):
            if name_of(row)[0] not in self.unknown:
                self.view.restore(row)

    def __repr__(self) -> str:
        return f"Fold({self.view}, unknown={len(self.unknown)})"

    def knows(self, proposal: Proposal) -> bool:
        """Tell whether everything that a verdict on this depends on is known."""
        rests_on = set(keys_of(proposal))
        if not isinstance(proposal, Settlement):
            rests_on.add(RULES)
        return not rests_on & self.unknown

    def add(self, proposed: Proposed) -> Judged:
        """Judge the next record; one that holds no proposal comes to nothing."""
        proposal = proposed.proposal
        if proposal is None:
            return Judged(proposed, None, {})
        before = {
            key: entry
            for key in keys_of(proposal)
            if (entry := self.view.entries.get(key)) is not None
        }
        judgement = None
        if self.knows(proposal):
            judgement = self.view.judge(proposal, proposed.offset, proposed.append_ms)
        else:
            self.unknown.update(keys_of(proposal))  # it may have been accepted
            self._learn(proposed.offset)
        return Judged(proposed, judgement, before)

    def _learn(self, offset: int) -> None:
        """Take what `M.state` says was made at this offset."""
        for row in self._later.get(offset, ()):
            self.view.restore(row)
            self.unknown.discard(name_of(row)[0])


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
