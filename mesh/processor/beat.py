"""A beat: one audit partition under watch, folded from a place where that may begin.

To begin in the middle of the log, a fold needs that no workflow which may still do anything was
open before, and the supervisions that held there. So a beat remembers such places as it goes
(marks), and `begin` returns the last of them before the oldest open workflow.

Its size is that of the open workflows; what else grows is cut, and what that costs stands beside
each limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from mesh.core.accounts import PAST_MS
from mesh.core.detectors.frame import Finding
from mesh.core.detectors.limits import LimitTable
from mesh.core.detectors.watch import Watch
from mesh.core.facts import Record
from mesh.core.halts import HaltOrder
from mesh.core.ledger import Ledger
from mesh.core.tasks import Header
from mesh.core.values import NOTHING

RECALLED = 500
"""Records before the beginning of which the sequences are read, so that a repeat of one of them is
known: a repeated taking of supervision would else replace the one under which others write. A
producer repeats within what it has in flight, if ever."""
MARK_EVERY = 500
"""Records between two marks: so many are read too early, 30 ms of reading."""
MAX_MARKS = 128
"""Marks that are kept; then every second goes, and at most a 64th of the way is read too early."""
MAX_ENDED = 20_000
"""Ended workflows that are remembered: half a minute of a busy partition. A root task that is
opened again after that seems to be a new one; its supervisor would have to have missed the end."""
MAX_EMITTERS = 65_536
"""Incarnations of which the last sequence is known; of one that was forgotten, a repeat of its last
fact would be judged by its lease and phase alone."""


class Beat:
    """Mutable: what is known of one audit partition; `next` is the offset that is due."""

    def __init__(
        self,
        header: Header,
        limits: LimitTable | None = None,
        lifts: Mapping[str, HaltOrder] | None = None,
    ) -> None:
        self.next = header.offset
        self.ledger = Ledger.begin(header)
        self.watch = Watch(limits, lifts=lifts)
        self._marks = [header]

    def __repr__(self) -> str:
        return f"<Beat at {self.next}, {len(self.ledger.members)} workflows>"

    def add(self, record: Record) -> tuple[str, Sequence[Finding]]:
        """Take the next fact; return why it is void ("" if it counts), and what is found."""
        if record.offset >= self._marks[-1].offset + MARK_EVERY:
            self._mark(record.offset)
        self.next = record.offset + 1
        void = self.ledger.add(record)
        found = self.watch.see(record, self.ledger, void)
        self._lighten()
        return void, found

    def skip(self, offset: int, append_ms: int) -> None:
        """Take the next record, which is no fact: it only moves the time."""
        self.next = offset + 1
        self.ledger.observe(append_ms)

    def recall(self, record: Record) -> None:
        """Take a fact that stands before the beginning: a repeat of it is known as one."""
        self.ledger.observe(record.append_ms)
        known = self.ledger.sequences
        known[record.fact.by] = max(known.get(record.fact.by, -1), record.sequence)

    def begin(self) -> Header:
        """Return where a successor begins, to know all of every workflow that may go on."""
        oldest = self._oldest()
        if oldest == self.next:
            self._marks = [self._header(self.next)]
        while len(self._marks) > 1 and self._marks[1].offset <= oldest:
            del self._marks[0]
        return self._marks[0]

    def is_open(self, workflow: str) -> bool:
        """Tell whether a workflow has not ended."""
        return workflow in self.ledger.members

    def _oldest(self) -> int:
        """Return the offset at which the oldest workflow began that may go on, else the next."""
        ledger = self.ledger
        for workflow in ledger.members:
            root = ledger.tasks.get(workflow)
            if root is not None and ledger.log_time_ms <= root.opened.deadline_ms + PAST_MS:
                return root.offset
        return self.next

    def _mark(self, offset: int) -> None:
        """Remember that one may begin here, and cut what grows."""
        self._marks.append(self._header(offset))
        self.begin()
        if len(self._marks) > MAX_MARKS:
            del self._marks[1::2]
        for known, most in ((self.ledger.ended, MAX_ENDED), (self.ledger.sequences, MAX_EMITTERS)):
            _cut(known, most)

    def _header(self, offset: int) -> Header:
        """Return what holds before the record at `offset`; a lease that is over is like none."""
        ledger = self.ledger
        held = (ledger.supervision(source) for source in ledger.supervisions)
        running = (own for own in held if own is not None and own.end_ms >= ledger.log_time_ms)
        return Header(offset, ledger.log_time_ms, tuple(running))

    def _lighten(self) -> None:
        """Drop the contents of the latest result: who remembers ends needs their names alone."""
        ended = self.ledger.ended
        if ended:
            workflow = next(reversed(ended))
            if ended[workflow].body.content is not None:
                ended[workflow] = ended[workflow]._replace(body=NOTHING)


def _cut(known: dict, most: int) -> None:  # type: ignore[type-arg]  # whatever the keys are
    """Drop the entries that were put there first, until there are at most so many."""
    for name in list(islice(known, max(0, len(known) - most))):
        del known[name]
