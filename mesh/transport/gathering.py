"""Which appends leave now, and which wait for others to come back.

**Gathered**, as Nagle gathers small segments (RFC 896): with nothing on its way, everything of one
turn of the event loop leaves; else it waits until all is back, at most `hold_s`: the more is on its
way, the longer. So one at a time is as fast as it can be, and a hundred at a time share requests,
wake-ups and the broker's work.

**One batch at a time.** What is for a partition that has appends on their way waits until they are
back, however long. librdkafka would not send it either: an idempotent producer has at most five
*messages* of a partition on their way before it lets the next request wait, and while one waits its
thread polls without a pause (seen: 42,000 polls a second around 400 requests).

**Introduced.** The first append to a partition leaves alone. A broker that knows nothing of a
producer takes a batch with any sequence number (Kafka 4.3.1: "accept writes with any sequence
number"). With two batches under way the first may be refused while its partition comes up, the
second lands, and then the retry of the first counts as a duplicate: acknowledged without an offset,
and in no log. Seen in one of six runs that appended to a topic just created. A broker forgets a
producer that was idle (`producer.id.expiration.ms`, a day), so after `FORGET_S` it is introduced
again. So an append must have its partition before it comes here (`mesh.transport.placing`).
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from mesh.ports import Place

EACH_S = 0.000_25  # about what one append and what follows from its report cost a process
HOLD_S = 0.010  # a tenth of what a person notices, and far below any lease
FORGET_S = (
    600.0  # far below any `producer.id.expiration.ms`; one lone append in ten minutes is free
)


class Placed(Protocol):
    """An append, as far as it matters here."""

    @property
    def place(self) -> Place:
        """Where it is to go."""


Record = TypeVar("Record", bound=Placed)


class Gathering(Generic[Record]):
    """Appends that wait, and how many are on their way."""

    def __init__(self) -> None:
        self.flying = 0
        self._held: dict[Place, list[Record]] = {}
        self._away: dict[Place, int] = {}
        self._introduced: dict[Place, float] = {}

    def hold(self, record: Record) -> bool:
        """Add an append at the end; tell whether nothing is on its way to where it is to go."""
        place = record.place
        held = self._held.get(place)
        if held is None:
            self._held[place] = [record]
        else:
            held.append(record)
        return place not in self._away

    def waiting(self) -> bool:
        """Whether something waits."""
        return bool(self._held)

    def hold_s(self) -> float:
        """Return how long what comes now may wait for others, if nothing comes back before."""
        return min(self.flying * EACH_S, HOLD_S)

    def leave(self, now_s: float) -> list[Record]:
        """Remove and return what leaves now, in order for each partition; count it as flying."""
        leaving: list[Record] = []
        for place in [place for place in self._held if place not in self._away]:
            records = self._held.pop(place)
            if now_s - self._introduced.get(place, -FORGET_S) >= FORGET_S and len(records) > 1:
                self._held[place] = records[1:]
                del records[1:]
            self._away[place] = len(records)
            leaving += records
        self.flying += len(leaving)
        return leaving

    def back(self, place: Place, now_s: float, *, acknowledged: bool) -> bool:
        """Note a report of an append to `place`; tell whether what waits for it may leave now."""
        self.flying -= 1
        if acknowledged:
            self._introduced[place] = now_s
        left = self._away[place] - 1
        if left:
            self._away[place] = left
            return False
        del self._away[place]
        return place in self._held

    def abandon(self) -> list[Record]:
        """Remove and return everything that waits; it counts as flying until it is `back`."""
        abandoned = [record for held in self._held.values() for record in held]
        self._held.clear()
        for record in abandoned:
            self._away[record.place] = self._away.get(record.place, 0) + 1
        self.flying += len(abandoned)
        return abandoned
