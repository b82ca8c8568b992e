"""One partition of shared state in the hands of its owner: the view, and what is on its way.

The log of entries, `M.state`, is also watched for what others append to it: a worker that was
replaced and writes on. Every offset of it is accounted for, as our own or as somebody else's.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mesh.core.shared import Change, Entry, Judgement, RulesEntry, View
from mesh.ports import Place


class Span(NamedTuple):
    """Offsets of `M.state` from `first` up to but not including `end`."""

    first: int
    end: int


class Due:
    """Mutable: what follows a record of `M.changes` once its `left` appends are acknowledged."""

    __slots__ = ("change", "judgement", "left", "offset")

    def __init__(self, offset: int, change: Change | None, judgement: Judgement | None) -> None:
        self.offset = offset
        self.change = change
        self.judgement = judgement
        self.left = 0


class Part:
    """Mutable: one partition; `next` is the offset of the change to be judged next.

    Until it is `ready` changes are not judged; `given` is the offset behind the last that came.

    `settled` is the offset up to which everything was judged, written, acknowledged and told.
    `stale` are keys under which something later is known than what stands last in `M.state`.
    `again` are the appends that failed, in their order, and `unsure` says how many of them are not
    acknowledged yet; `behind`, that changes came meanwhile which are still to be read and judged.
    """

    def __init__(self, partition: int, first: int, view: View) -> None:
        self.partition = partition
        self.view = view
        self.next = first
        self.settled = first
        self.committed = first
        self.dues: deque[Due] = deque()
        self.ready = False
        self.given = first
        self.gone = False
        self.flying = 0
        self.read = 0
        self.end = 0
        self.edge = 0
        self.foreign: deque[Span] = deque()
        self.stale: set[bytes] = set()
        self.again: deque[Append] = deque()
        self.unsure = 0
        self.behind = False

    def __repr__(self) -> str:
        state = "gone" if self.gone else "ready" if self.ready else "restoring"
        return f"<Part {self.partition} {state}, next={self.next}, settled={self.settled}>"

    def restored(self) -> float:
        """Return how much was read of what is kept: 1 when changes are judged."""
        return 1.0 if self.ready or not self.end else self.read / self.end

    def is_behind(self, kept: Entry | RulesEntry) -> bool:
        """Tell whether the view knows less than this."""
        if isinstance(kept, RulesEntry):
            return kept.source > self.view.rules.source
        known = self.view.entries.get(kept.key)
        return known is None or kept.version > known.version

    def landed(self, offset: int) -> bool:
        """Account for an entry of our own; tell whether somebody else's stand before it."""
        before = offset > self.edge
        if before:
            self.foreign.append(Span(self.edge, offset))
        self.edge = max(self.edge, offset + 1)
        return before

    def extends_to(self, high: int) -> bool:
        """Account for an end that was seen with nothing on its way; tell if others moved it."""
        if self.flying or high <= self.edge:
            return False
        self.foreign.append(Span(self.edge, high))
        self.edge = high
        return True


class Append:
    """Mutable: an append, with what waits for it and the entry that it is of.

    `again` says that it failed once, and is made again.
    """

    __slots__ = ("again", "due", "kept", "key", "part", "place", "value")

    def __init__(  # a plain record; there is one for each append
        self,
        part: Part,
        place: Place,
        key: bytes | None,
        value: bytes,
        due: Due | None,
        kept: Entry | RulesEntry | None,
    ) -> None:
        self.part = part
        self.place = place
        self.key = key
        self.value = value
        self.due = due
        self.kept = kept
        self.again = False
