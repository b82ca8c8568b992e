"""Which appends leave now, and which wait for others to come back.

**Gathered**, as Nagle gathers small segments (RFC 896): with nothing on its way, everything of one
turn of the event loop leaves; else it waits until all is back, at most `HOLD_S`. So one at a time
is as fast as it can be, and a hundred at a time share requests, wake-ups and the broker's work.

**Introduced.** The first append to a partition leaves alone, and what follows it there waits until
it is acknowledged. A broker that knows nothing of a producer takes a batch with any sequence number
(Kafka 4.3.1: "accept writes with any sequence number"). With two batches under way the first may be
refused while its partition comes up, the second lands, and then the retry of the first counts as a
duplicate: acknowledged without an offset, and in no log. Seen in one of six runs that appended to a
topic just created. A broker forgets a producer that was idle (`producer.id.expiration.ms`, a day),
so after `FORGET_S` it is introduced again.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from mesh.ports import Place

HOLD_S = 0.003  # about what a busy broker takes for a report
FORGET_S = (
    600.0  # far below any `producer.id.expiration.ms`; one lone append in ten minutes is free
)


class Placed(Protocol):
    """An append, as far as it matters here."""

    @property
    def place(self) -> Place:
        """Where it is to go; partition -1 where the key decides."""


Record = TypeVar("Record", bound=Placed)


class Gathering(Generic[Record]):
    """Appends that wait, and how many are on their way."""

    def __init__(self) -> None:
        self.flying = 0
        self._held: deque[Record] = deque()
        self._introduced: dict[Place, float] = {}
        self._introducing: set[Place] = set()

    def hold(self, record: Record) -> None:
        """Add an append at the end."""
        self._held.append(record)

    def waiting(self) -> bool:
        """Whether something waits."""
        return bool(self._held)

    def leave(self, now_s: float) -> list[Record]:
        """Remove and return what leaves now, in order for each partition; count it as flying."""
        waiting, self._held = self._held, deque()
        leaving: list[Record] = []
        for record in waiting:
            place = record.place
            if place in self._introducing:
                self._held.append(record)
                continue
            if now_s - self._introduced.get(place, -FORGET_S) >= FORGET_S:
                self._introducing.add(place)
            leaving.append(record)
        self.flying += len(leaving)
        return leaving

    def back(self, place: Place, now_s: float, *, acknowledged: bool) -> None:
        """Note the report of an append that was to go to `place`."""
        self.flying -= 1
        self._introducing.discard(place)
        if acknowledged:
            self._introduced[place] = now_s

    def abandon(self) -> list[Record]:
        """Remove and return everything that waits."""
        waiting, self._held = self._held, deque()
        return list(waiting)
