"""Proposes changes to shared state, and waits for their verdicts.

A change goes to `M.changes`, its verdict comes to the instance's inbox. Either may be late, and the
verdict may be lost: its judge died between writing the entry and telling of it. Then the change is
sent again under its id. Two things follow: when to send a copy, and which of two verdicts to
believe.

**When to send a copy.** What the log has acknowledged is not lost, however long it lies there: a
copy helps only if its verdict was lost. To send one because time has passed makes the backlog of a
processor that was away several times as long, just when it has to catch up. So a copy needs a sign.
A partition is judged in order, and its verdicts are told in order, so

- a verdict on anything that stands higher in the partition says that this one was *passed over*:
  its verdict was lost, unless an earlier judge's is still on its way, which gets a little time;
- nothing of a partition for a while is no sign of a loss: its judge is probably away. One change
  asks for all that wait there: the one that has waited longest is sent again, and ever more rarely
  the next one. Whatever is said of that copy, higher up, tells which of the others were passed
  over. So a silence of any length costs a few copies for each partition and instance, and a verdict
  that was lost in a partition where nothing else is judged is found, too.

A change that is passed over again and again, by somebody's verdicts that make no sense, is sent
ever more rarely as well. Verdicts to an earlier incarnation are no sign: the inbox is read from its
end at the start, so it has none of what is open here.

**Which verdict to believe.** What made a version is told of whichever copy: it happened. But a copy
may be refused while a later one is still accepted (the rules have changed meanwhile, say), so a
refusal is believed of the last copy alone, once it is known where that stands. And a conflict may
be with the change's own first copy, if so much was accepted since that the entry has forgotten it:
then `M.state` is asked, which is not compacted for an hour (`mesh.runtime.hindsight`). There is
nothing to ask where no other copy can exist: this one is the first, and nobody began the step
before.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from mesh.core.messages import Envelope, Judged
from mesh.core.shared import ACCEPTING, Change, Verdict
from mesh.core.values import Holder, Inbox
from mesh.errors import TransportError
from mesh.ports import Log, Place, Report
from mesh.runtime.clock import Clock, Timer
from mesh.runtime.hindsight import Hindsight
from mesh.wire import topics
from mesh.wire.state import encode_proposal, proposal_key, state_partition

PASSED_MS = 500
"""What a judge has told is there within milliseconds, also of one that was just replaced."""
AGAIN_MS = 5_000
"""A verdict takes some ten milliseconds, and a processor that was replaced is back in seconds."""
AGAIN_MAX_MS = 60_000
"""Each further copy waits twice as long, up to this: one that is away for long finds few copies."""
RETRY_MS = 1_000
"""An append that failed, or found the queue full, is tried again after this."""

HAPPENED = ACCEPTING | {Verdict.CONTESTED}
"""What made a version, or agreed with one."""

_log = logging.getLogger(__name__)


class Proposals:
    """Mutable: the changes of one instance that wait for their verdict."""

    def __init__(
        self, me: Holder, inbox: Inbox, *, log: Log, mesh: str, partitions: int, clock: Clock
    ) -> None:
        self.me = me
        self.inbox = inbox
        self._log = log
        self._topic = topics.changes(mesh)
        self._partitions = partitions
        self._clock = clock
        self._open: dict[str, _Proposal] = {}
        self._lanes: dict[int, _Lane] = {}
        self._hindsight = Hindsight(log, mesh, clock)

    def __repr__(self) -> str:
        return f"Proposals({len(self._open)} open)"

    def __len__(self) -> int:
        return len(self._open)

    async def propose(self, change: Change, *, again: bool = False) -> Judged:
        """Send a change until it is judged; return what was said of it.

        Args:
            change: The change.
            again: Whether somebody may have sent it before, under the same id.

        Returns:
            The verdict; a conflict is `forgotten` if nobody can tell whether it is with its own
            earlier copy.

        Raises:
            WireError: It is more than a change can hold; nothing was sent.
        """
        partition = state_partition(change.writes[0].key, self._partitions)
        copy = (Place(self._topic, partition), proposal_key(change), encode_proposal(change))
        proposal = _Proposal(self._log, self._lane(partition), *copy)
        self._open[change.change] = proposal
        try:
            proposal.send()
            judged = await proposal.judged
            again = again or proposal.copies > 1
        finally:
            proposal.close()
            if self._open.get(change.change) is proposal:
                del self._open[change.change]
        return await self._hindsight.judged(change, partition, judged, again=again)

    def _lane(self, partition: int) -> _Lane:
        return self._lanes.setdefault(partition, _Lane(self._clock))

    def heard(self, envelope: Envelope, judged: Judged) -> bool:
        """Take a verdict from the inbox; False if it is not for this incarnation."""
        if envelope.to != self.me:
            return False
        proposal = self._open.get(judged.change)
        if proposal is not None:
            proposal.heard(judged)
        if judged.entries:  # none of what was malformed
            key = judged.entries[0].key
            self._lane(state_partition(key, self._partitions)).heard(judged.offset)
        return True


class _Lane:
    """Mutable: what waits in one partition, and what was heard of it."""

    __slots__ = ("_open", "_pause_ms", "_since_ms", "_through", "_timer", "_waiting", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._waiting: dict[int, _Proposal] = {}
        """By the offset of the last copy; as appends are reported in their order, lowest first."""
        self._open = 0
        self._through = -1
        self._since_ms = 0
        self._pause_ms = AGAIN_MS
        self._timer: Timer | None = None

    def enter(self) -> None:
        """Have one more that is open."""
        if not self._open:
            self._pause_ms = AGAIN_MS
        self._open += 1

    def leave(self, offset: int | None) -> None:
        """Have one less; its last copy, if that is known, stands at `offset`."""
        self._open -= 1
        if offset is not None:
            self._waiting.pop(offset, None)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stands(self, proposal: _Proposal, offset: int) -> None:
        """Note where the last copy of a change stands; it waits for its verdict from now on."""
        if offset < self._through:
            proposal.passed()
            return
        if not self._waiting:
            self._since_ms = self.clock.now_ms()
        self._waiting[offset] = proposal
        self._arm()

    def heard(self, offset: int) -> None:
        """Hear that everything below `offset` was judged, and told."""
        self._since_ms = self.clock.now_ms()
        self._pause_ms = AGAIN_MS
        self._through = max(self._through, offset)
        while self._waiting and (first := next(iter(self._waiting))) < self._through:
            self._waiting.pop(first).passed()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.clock.call_at(self._since_ms + self._pause_ms, self._look)

    def _look(self) -> None:
        """Send the one again that has waited longest, if nothing was heard for too long."""
        self._timer = None
        if not self._waiting:
            return
        now_ms = self.clock.now_ms()
        if now_ms >= self._since_ms + self._pause_ms:
            self._since_ms = now_ms
            self._pause_ms = min(2 * self._pause_ms, AGAIN_MAX_MS)
            self._waiting.pop(next(iter(self._waiting))).send()
        self._arm()


class _Proposal:
    """Mutable: the copies of one change. `last` is where the latest stands, None until known."""

    __slots__ = (
        "_key", "_lane", "_log", "_pause_ms", "_place", "_refusal", "_timer", "_value", "copies",
        "judged", "last",
    )  # fmt: skip

    def __init__(self, log: Log, lane: _Lane, place: Place, key: bytes, value: bytes) -> None:
        self.judged: asyncio.Future[Judged] = asyncio.get_running_loop().create_future()
        self.last: int | None = None
        self.copies = 0
        self._log = log
        self._lane = lane
        self._place = place
        self._key = key
        self._value = value
        self._pause_ms = PASSED_MS
        self._refusal: Judged | None = None
        self._timer: Timer | None = None
        lane.enter()

    def send(self) -> None:
        """Send one more copy; no refusal is believed until it is known where that stands."""
        self.last = None
        self.copies += 1
        try:
            reported = partial(self._reported, self.copies)
            self._log.append(self._place, self._key, self._value, (), reported)
        except TransportError as error:
            _log.debug("a change could not be sent: %s", error)
            self._send_after(RETRY_MS)

    def _reported(self, number: int, report: Report) -> None:
        if self.judged.done() or number != self.copies:
            return
        if report.error is not None:
            self._send_after(RETRY_MS)
            return
        self.last = report.offset
        self._believe()
        if not self.judged.done():
            self._lane.stands(self, report.offset)

    def passed(self) -> None:
        """Hear that something higher up was judged: a verdict was lost unless it comes soon."""
        if not self.judged.done():
            self._send_after(self._pause_ms)
            self._pause_ms = min(2 * self._pause_ms, AGAIN_MAX_MS)

    def _send_after(self, ms: int) -> None:
        clock = self._lane.clock
        self._timer = clock.call_at(clock.now_ms() + ms, self.send)

    def heard(self, judged: Judged) -> None:
        """Take what was said of one copy."""
        if self.judged.done():
            return
        if judged.verdict in HAPPENED:
            self.judged.set_result(judged)
        elif self._refusal is None or judged.offset > self._refusal.offset:
            self._refusal = judged
            self._believe()

    def _believe(self) -> None:
        """Believe a refusal if it is of the last copy."""
        refusal = self._refusal
        if refusal is not None and self.last is not None and refusal.offset >= self.last:
            self.judged.set_result(refusal)

    def close(self) -> None:
        """Send no more."""
        self._lane.leave(self.last)
        self.copies += 1  # a report that is still due is of no copy any more
        if self._timer is not None:
            self._timer.cancel()
