"""One audit partition in the hands of a watchman: what is known of it, and what is on its way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from mesh.core.detectors.stale_read import Inquiry
from mesh.core.effects import Incident
from mesh.core.tasks import Header
from mesh.ports import Place
from mesh.processor.beat import Beat
from mesh.processor.notes import BEGINNING
from mesh.processor.responder import Cases, Responder
from mesh.processor.standing import Register


class Post:
    """Mutable: one partition in our hands; `first` is where watching begins."""

    def __init__(self, partition: int, responder: Responder, register: Register) -> None:
        self.partition = partition
        self.beat = Beat(BEGINNING, responder.limits, responder.lifts)
        self.register = register
        self.first = 0
        self.given = 0
        self.committed = 0
        self.end = 0
        self.ready = asyncio.Event()
        self.gone = False
        self.dues: deque[Due] = deque()
        self.noted = 0
        self.note: Header | None = None
        self.note_at = 0
        self.cases = Cases(responder, self.is_open)

    def __repr__(self) -> str:
        state = "gone" if self.gone else "ready" if self.ready.is_set() else "restoring"
        return f"<Post {self.partition} {state}, {self.beat}, settled={self.settled}>"

    @property
    def settled(self) -> int:
        """The offset up to which all that was found is told."""
        return self.dues[0].offset if self.dues else self.beat.next

    @property
    def done(self) -> int:
        """The offset up to which all is told, and every change of standing is written."""
        return min(self.settled, self.register.clean(self.beat.next))

    def restored(self) -> float:
        """Return how much was read of what must be known; 1 when records are watched."""
        whole = self.until - self.noted
        if self.ready.is_set():
            return 1.0
        return (self.beat.next - self.noted) / whole if whole > 0 else 0.0

    @property
    def until(self) -> int:
        """The offset up to which is read before records are watched as they come."""
        return max(self.first, self.given)

    def is_open(self, workflow: str) -> bool:
        """Tell whether a workflow has not ended."""
        return self.beat.is_open(workflow)

    def pop_settled(self) -> None:
        """Drop what has been told of."""
        while self.dues and not self.dues[0].left:
            self.dues.popleft()


class Due:
    """Mutable: what waits for the `left` appends that a record led to."""

    __slots__ = ("left", "offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.left = 0


class Asked(NamedTuple):
    """An inquiry that came up in a partition; what led to it is settled when it is answered."""

    post: Post
    inquiry: Inquiry
    due: Due


class Telling(NamedTuple):
    """An append, with what waits for it; it can be made again.

    `halts` is the incident that halts its workflow then, and the offset by which it was found.
    """

    post: Post
    place: Place
    key: bytes
    value: bytes
    due: Due | None = None
    halts: tuple[Incident, int] | None = None
