"""Proposes changes to shared state, and waits for their verdicts.

**Across copies.** A change goes to `M.changes`; its verdict comes to the instance's inbox. If none
comes the change is sent again under its id, for as long as somebody waits for it: the processor may
be away, or the message was lost. What made a version is told of whichever copy: it happened. But a
copy may be refused while a later one is still accepted (the rules have changed meanwhile, say), so
a refusal is believed of the last copy alone, once it is known where that stands.
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
from mesh.wire import topics
from mesh.wire.state import encode_proposal, proposal_key, state_partition

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

    def __repr__(self) -> str:
        return f"Proposals({len(self._open)} open)"

    def __len__(self) -> int:
        return len(self._open)

    async def propose(self, change: Change) -> Judged:
        """Send a change until it is judged; return what was said of it.

        Raises:
            WireError: It is more than a change can hold; nothing was sent.
        """
        place = Place(self._topic, state_partition(change.writes[0].key, self._partitions))
        copy = (place, proposal_key(change), encode_proposal(change))
        proposal = _Proposal(self._log, self._clock, *copy)
        self._open[change.change] = proposal
        try:
            proposal.send()
            return await proposal.judged
        finally:
            proposal.close()
            if self._open.get(change.change) is proposal:
                del self._open[change.change]

    def heard(self, envelope: Envelope, judged: Judged) -> bool:
        """Take a verdict from the inbox; False if it is not for this incarnation."""
        if envelope.to != self.me:
            return False
        proposal = self._open.get(judged.change)
        if proposal is not None:
            proposal.heard(judged)
        return True


class _Proposal:
    """Mutable: the copies of one change. `last` is where the latest stands, None until known."""

    __slots__ = (
        "_clock", "_copies", "_key", "_log", "_pause_ms", "_place", "_refusal", "_timer",
        "_value", "judged", "last",
    )  # fmt: skip

    def __init__(self, log: Log, clock: Clock, place: Place, key: bytes, value: bytes) -> None:
        self.judged: asyncio.Future[Judged] = asyncio.get_running_loop().create_future()
        self.last: int | None = None
        self._log = log
        self._clock = clock
        self._place = place
        self._key = key
        self._value = value
        self._copies = 0
        self._pause_ms = AGAIN_MS
        self._refusal: Judged | None = None
        self._timer: Timer | None = None

    def send(self) -> None:
        """Send one more copy; no refusal is believed until it is known where that stands."""
        self.last = None
        self._copies += 1
        try:
            reported = partial(self._reported, self._copies)
            self._log.append(self._place, self._key, self._value, (), reported)
        except TransportError as error:
            _log.debug("a change could not be sent: %s", error)
            self._send_after(RETRY_MS)

    def _reported(self, number: int, report: Report) -> None:
        if self.judged.done() or number != self._copies:
            return
        if report.error is not None:
            self._send_after(RETRY_MS)
            return
        self.last = report.offset
        self._believe()
        if not self.judged.done():
            self._send_after(self._pause_ms)
            self._pause_ms = min(2 * self._pause_ms, AGAIN_MAX_MS)

    def _send_after(self, ms: int) -> None:
        self._timer = self._clock.call_at(self._clock.now_ms() + ms, self.send)

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
        self._copies += 1  # a report that is still due is of no copy any more
        if self._timer is not None:
            self._timer.cancel()
