"""Looks across partitions: what the watchman of one audit partition cannot see by itself.

- `recent`: whether what a task has read of shared state was still current when it delivered. Every
  worker answers that for its own partitions, before it commits.
- `rounds`: whether several workflows do the same work at the same time. One worker does that for
  the mesh: the owner of audit partition 0, for somebody always is.
- `attendance`: whether tasks wait for a capability that nobody serves. The same worker does.

What is found is told by the watchman, under ids that are derived from what it is about: so a worker
that was replaced and goes on, or one that begins again, tells nothing new.

A reading that fails is made again at the next look. Nothing is lost by it: inquiries wait for their
answers, and the rounds go on where they were.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from mesh.core.detectors.starvation import Starvation
from mesh.core.effects import Incident
from mesh.errors import TransportError
from mesh.ports import Log
from mesh.processor.attendance import Attendance
from mesh.processor.recent import Recent
from mesh.processor.rounds import Rounds
from mesh.processor.watchman import Watchman

LOOK_S = 0.5
"""Between two looks: what is asked waits so long for its answer, and so does a commit for it."""
ATTENDANCE_MS = 5_000
"""Between two pictures of who is there: a fraction of the time that a task may wait."""
OWN = 0
"""Whoever owns this audit partition looks at all of them."""

_log = logging.getLogger(__name__)


class Survey:
    """Mutable: what one worker sees across partitions.

    Args:
        log: Where to read; opened, and closed, by the caller.
        mesh: The mesh's name.
        watchman: Who asks, and who tells what is found.
        clock: Nanoseconds since 1970: by it an instance that is silent counts as gone.
        ticks: Nanoseconds of a clock that does not jump: by it a task waits in vain.
    """

    def __init__(
        self,
        log: Log,
        mesh: str,
        watchman: Watchman,
        *,
        clock: Callable[[], int] = time.time_ns,
        ticks: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.recent = Recent(log, mesh)
        self.rounds: Rounds | None = None
        self.attendance = Attendance(log, mesh)
        self.starvation = Starvation()
        self._log = log
        self._mesh = mesh
        self._watchman = watchman
        self._clock = clock
        self._ticks = ticks
        self._looked_ms = -ATTENDANCE_MS
        self._found: list[Incident] = []

    def __repr__(self) -> str:
        return f"<Survey {self.recent}, {self.rounds}, {self.attendance}>"

    async def run(self) -> None:
        """Look, again and again; cancel it to end it."""
        while True:
            await asyncio.sleep(LOOK_S)
            for look in (self._answer, self._go_round, self._look_around):
                try:
                    await look()
                except TransportError as error:
                    _log.warning("cannot look at the log just now: %s", error)

    async def look(self) -> None:
        """Look once.

        Raises:
            TransportError: The log cannot be read just now; the next look goes on.
        """
        await self._answer()
        await self._go_round()
        await self._look_around()

    async def _answer(self) -> None:
        await self.recent.answer(self._watchman)

    async def _go_round(self) -> None:
        if not self._is_ours:
            self.rounds, self._found = None, []
            return
        if self.rounds is None:
            self.rounds = Rounds(self._log, self._mesh)
        twins = self.rounds.twins
        twins.limits = self._watchman.responder.limits
        self._found += await self.rounds.go()
        known, self._found = await self._known(self._found), []
        for incident in known:
            at = incident.evidence[-1].offset if twins.is_open(incident.task) else None
            self._watchman.tell(OWN, incident, incident.workflow, at=at)
        if self._watchman.is_told and self._is_ours:
            self.rounds.note()

    async def _look_around(self) -> None:
        now_ms = self._ticks() // 1_000_000
        if not self._is_ours:
            self.starvation = Starvation()
        elif now_ms >= self._looked_ms + ATTENDANCE_MS:
            self._looked_ms = now_ms
            self.starvation.limits = self._watchman.responder.limits
            waiting = await self.attendance.look(self._clock() // 1_000_000)
            directory = self.attendance.directory
            for incident in self.starvation.look(now_ms, waiting, directory):
                capability = incident.evidence[0].stream.partition(".")[2]
                self._watchman.tell(OWN, incident, capability)

    async def _known(self, found: Sequence[Incident]) -> Sequence[Incident]:
        """Return what is found, as it was told where it was: by who was here before."""
        if not found:
            return ()
        told = await self._watchman.responder.told({own.workflow for own in found})
        return [told.get(own.id, own) for own in found]

    @property
    def _is_ours(self) -> bool:
        post = self._watchman.parts.get(OWN)
        return post is not None and post.ready.is_set()
