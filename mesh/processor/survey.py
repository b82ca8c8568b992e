"""Looks across partitions: what the watchman of one audit partition cannot see by itself.

- `recent`: whether what a task has read of shared state was still current when it delivered. Every
  worker answers that for its own partitions, before it commits.
- `rounds`: whether several workflows do the same work at the same time. One worker does that for
  the mesh: the owner of audit partition 0, for somebody always is.
- `attendance`: whether tasks wait for a capability that nobody serves. The same worker does.

What is found is told by the watchman, under ids that are derived from what it is about: so a worker
that was replaced and goes on, or one that begins again, tells nothing new.

A reading that fails is made again at the next look. Nothing is lost by it: inquiries wait for their
answers, and the rounds go on where they were. A look that raises for another reason is a defect of
ours: that is an incident, the others go on, and so does shared state. It begins anew, a bounded
number of times; what was asked meanwhile is answered by "not known".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

from mesh.core.detectors import duplicate_work, stale_read, starvation
from mesh.core.detectors.frame import quote
from mesh.core.detectors.starvation import Starvation
from mesh.core.detectors.watch import BROKEN, MAX_FAILURES
from mesh.core.effects import Incident
from mesh.core.ids import derive
from mesh.errors import TransportError
from mesh.ports import Log
from mesh.processor.attendance import Attendance
from mesh.processor.post import Post
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
        self._post: Post | None = None
        self._failures: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Survey {self.recent}, {self.rounds}, {self.attendance}>"

    async def run(self) -> None:
        """Look, again and again; cancel it to end it."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once; what cannot be read just now is looked at the next time."""
        looks = {
            stale_read.KIND: self._answer,
            duplicate_work.KIND: self._go_round,
            starvation.KIND: self._look_around,
        }
        self._see_whose()
        for detector, look in looks.items():
            try:
                if self._failures[detector] < MAX_FAILURES:
                    await look()
            except TransportError as error:
                _log.warning("cannot look at the log just now: %s", error)
            except Exception as error:  # noqa: BLE001 - a broken one must stop nobody else
                _log.exception("%s failed", detector)
                self._broken(detector, error)
        if self._failures[stale_read.KIND] >= MAX_FAILURES:
            self._give_up()

    def _see_whose(self) -> None:
        """Begin anew with each taking of the first partition, though it was ours a moment ago.

        What was on its way when it was given up may be told by nobody else.
        """
        post = self._watchman.parts.get(OWN)
        if post is not self._post:
            self._post = post
            self.rounds, self._found = None, []
            self.starvation = Starvation()

    def _broken(self, detector: str, error: Exception) -> None:
        """Let a detector begin anew, and tell that it failed."""
        self._failures[detector] += 1
        count = self._failures[detector]
        if detector == stale_read.KIND:
            self.recent = Recent(self._log, self._mesh)
            self._give_up()
        elif detector == duplicate_work.KIND:
            self.rounds, self._found = None, []
        else:
            self.attendance, self.starvation = Attendance(self._log, self._mesh), Starvation()
        aside = count >= MAX_FAILURES
        says = quote(f"{type(error).__name__}: {error}")
        then = "it is set aside until the worker starts again" if aside else "the others go on"
        incident = Incident(
            kind=BROKEN,
            workflow="",
            task="",
            text=f"The detector {detector} failed ({says}); {then}.",
            id=derive("incident", BROKEN, detector, "aside" if aside else type(error).__name__),
            detector=detector,
            measure="times that the detector raised",
            seen=count,
            limit=MAX_FAILURES,
        )
        for partition in tuple(self._watchman.parts)[:1]:
            self._watchman.tell(partition, incident, detector)

    def _give_up(self) -> None:
        """Answer all that is asked by "not known", so that what led to it can be committed."""
        while self._watchman.inquiries:
            self._watchman.answer(self._watchman.inquiries.popleft(), None)

    async def _answer(self) -> None:
        await self.recent.answer(self._watchman)

    async def _go_round(self) -> None:
        if not self._is_ours:
            return
        if self.rounds is None:
            self.rounds = Rounds(self._log, self._mesh)
        twins = self.rounds.twins
        twins.limits = self._watchman.responder.limits
        self._found += await self.rounds.go()
        known, self._found = await self._known(self.rounds, self._found), []
        for incident in known:
            at = incident.evidence[-1].offset if twins.is_open(incident.task) else None
            self._watchman.tell(OWN, incident, incident.workflow, at=at)
        if self._watchman.is_told and self._is_ours:
            self.rounds.note()

    async def _look_around(self) -> None:
        now_ms = self._ticks() // 1_000_000
        if self._is_ours and now_ms >= self._looked_ms + ATTENDANCE_MS:
            self._looked_ms = now_ms
            self.starvation.limits = self._watchman.responder.limits
            waiting = await self.attendance.look(self._clock() // 1_000_000)
            directory = self.attendance.directory
            for incident in self.starvation.look(now_ms, waiting, directory):
                capability = incident.evidence[0].stream.partition(".")[2]
                self._watchman.tell(OWN, incident, capability)

    async def _known(self, rounds: Rounds, found: Sequence[Incident]) -> Sequence[Incident]:
        """Return what is found, as it was told where it was: by who was here before."""
        old = {own.workflow for own in found if rounds.is_known_elsewhere(own)}
        told = await self._watchman.responder.told(old)
        return [told.get(own.id, own) for own in found]

    @property
    def _is_ours(self) -> bool:
        post = self._watchman.parts.get(OWN)
        return post is not None and post.ready.is_set()
