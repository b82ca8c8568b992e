"""Follows a mesh's topics and feeds the model: from a given time on, in small steps, for ever.

The loop that folds also answers the page, so no step is longer than a few milliseconds. Nothing is
committed: where to begin is found anew at each start, and what comes of it is the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from mesh.core.facts import Record
from mesh.dashboard.model import Model
from mesh.errors import TransportError, WireError, WrongTopic
from mesh.ports import Incoming, Log, Place, Reader
from mesh.wire import topics
from mesh.wire.entries import decode_card, decode_open, decode_presence
from mesh.wire.facts import decode_fact

STEP = 256
"""Records between two looks of the loop at what else is to do: some 5 ms."""
BACK = 20_000
"""Records before the beginning of which supervision is read: half a second, and more than a lease's
worth of log."""
MAX_BACK = 1_000_000
"""Records that are read before the given time for the sake of workflows that are still open."""
LOOK_S = 2.0
"""Between two looks at how much there is to read."""
PROBE = 64
"""Offsets among which one record stands: a log can have holes."""

_log = logging.getLogger(__name__)


class Follower:
    """Mutable: the readers of one mesh.

    Args:
        log: Where to read; opened and closed by the caller.
        mesh: The mesh's name.
        model: What is fed.
        since_ms: From when on workflows are told; 0 for the beginning of the log.
    """

    def __init__(self, log: Log, mesh: str, model: Model, since_ms: int = 0) -> None:
        self.caught_up = asyncio.Event()
        self.failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._log = log
        self._mesh = mesh
        self._model = model
        self._since_ms = since_ms
        self._audit = topics.audit(mesh)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Find where to begin, and begin; returns before what is there was read.

        Raises:
            WrongTopic: There is no such mesh.
            TransportError: The log cannot be read.
        """
        ends = await self._log.ends(self._audit)
        if not ends:
            raise WrongTopic(
                f"there is no mesh {self._mesh}: no topic {self._audit}; choose one with --mesh, "
                "or create its topics with `mesh topics apply`"
            )
        await asyncio.gather(*(self._begin(number, own) for number, own in sorted(ends.items())))
        model, mesh = self._model, self._mesh
        await self._follow(self._audit, self._model.position, self._folded, self._caught_up)
        for topic, feed, name in (
            (topics.registry(mesh), self._card, "registry"),
            (topics.presence(mesh), self._presence, "registry"),
            (topics.control(mesh), model.orders.add, "halts"),
            (topics.incidents(mesh), model.incidents.add, "incidents"),
            (topics.dead_letters(mesh), model.letters.add, "dead-letters"),
            (topics.state(mesh), model.state.add, "state"),
        ):
            await self._beside(topic, feed, name)
        self._run(self._look())

    async def close(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.append(task)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except TransportError as error:
            if not self.failed.done():
                self.failed.set_result(error)

    # --- where to begin

    async def _begin(self, partition: int, ends: tuple[int, int]) -> None:
        """Find the beginning of a partition, and what is supervised there."""
        low, high = ends
        first = low
        if self._since_ms > 0:
            found = await self._offset_at(partition, low, high)
            opened = await self._oldest_open(partition)
            first = max(low, min(found, max(opened, found - MAX_BACK)))
        strand = self._model.begin(partition, first)
        strand.low, strand.end = low, high
        before = max(low, first - BACK)
        if before < first:
            await self._prime(partition, before, first)

    async def _offset_at(self, partition: int, low: int, high: int) -> int:
        """Return the first offset that was appended at the given time or later, by bisection."""
        while low < high:
            middle = (low + high) // 2
            found = await self._first_in(partition, middle, min(high, middle + PROBE))
            if found is None or found.append_ms >= self._since_ms:
                high = middle
            else:
                low = found.offset + 1
        return low

    async def _first_in(self, partition: int, first: int, end: int) -> Incoming | None:
        place = Place(self._audit, partition)
        async with aclosing(self._log.scan(place, first, end)) as batches:
            async for batch in batches:
                if batch:
                    return batch[0]
        return None

    async def _oldest_open(self, partition: int) -> int:
        """Return where to begin to know every workflow that `M.open` says is open."""
        latest: dict[bytes, int | None] = {}
        topic = topics.open_workflows(self._mesh)
        if not await self._log.ends(topic):
            return _NOWHERE
        async with aclosing(self._log.scan(Place(topic, partition), 0)) as batches:
            async for batch in batches:
                for incoming in batch:
                    latest[incoming.key or b""] = _begins(incoming)
                await asyncio.sleep(0)
        return min((own for own in latest.values() if own is not None), default=_NOWHERE)

    async def _prime(self, partition: int, first: int, end: int) -> None:
        strand, place = self._model.strands[partition], Place(self._audit, partition)
        async with aclosing(self._log.scan(place, first, end, keep=_is_supervision)) as batches:
            async for batch in batches:
                for incoming in batch:
                    with suppress(WireError):
                        own = decode_fact(incoming.value)
                        strand.prime(
                            Record(incoming.offset, incoming.append_ms, own.sequence, own.fact)
                        )
                await asyncio.sleep(0)

    # --- following

    async def _follow(
        self,
        topic: str,
        start: Mapping[int, int],
        feed: Callable[[Sequence[Incoming]], None],
        then: Callable[[], None],
    ) -> None:
        reader = await self._log.tail(topic, dict(start))
        self._run(self._read(reader, feed))
        self._run(_after(reader, then))

    async def _read(self, reader: Reader, feed: Callable[[Sequence[Incoming]], None]) -> None:
        try:
            while True:
                batch = await reader.take()
                for first in range(0, len(batch), STEP):
                    feed(batch[first : first + STEP])
                    await asyncio.sleep(0)
        finally:
            await reader.close()

    def _folded(self, batch: Sequence[Incoming]) -> None:
        self._model.add(batch)

    def _caught_up(self) -> None:
        self.caught_up.set()

    async def _beside(self, topic: str, feed: Callable[[Incoming], None], name: str) -> None:
        """Follow a topic from its beginning; a mesh of an earlier release may not have it."""
        ends = await self._log.ends(topic)
        if not ends:
            _log.warning("there is no topic %s: what it would hold is not shown", topic)
            return

        def fed(batch: Sequence[Incoming]) -> None:
            for incoming in batch:
                feed(incoming)
            self._model.changed.add(name)

        start = {number: low for number, (low, _) in ends.items()}
        await self._follow(topic, start, fed, lambda: None)

    def _card(self, incoming: Incoming) -> None:
        agent = (incoming.key or b"").decode(errors="replace")
        try:
            card = decode_card(incoming.value) if incoming.value is not None else None
        except WireError as error:
            _log.warning("the card of %.80s cannot be read: %s", agent, error)
            return
        self._model.directory.see_card(agent, card)

    def _presence(self, incoming: Incoming) -> None:
        name = (incoming.key or b"").decode(errors="replace")
        try:
            presence = decode_presence(incoming.value) if incoming.value is not None else None
        except WireError as error:
            _log.warning("the presence of %.80s cannot be read: %s", name, error)
            return
        self._model.directory.see_presence(name, presence, incoming.append_ms)

    async def _look(self) -> None:
        """Measure the lag, now and then."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                ends = await self._log.ends(self._audit)
            except TransportError as error:
                if self._log.failure() is not None:
                    raise
                _log.warning("the lag is not known just now: %s", error)
                continue
            for number, (low, high) in ends.items():
                strand = self._model.strands.get(number)
                if strand is not None:
                    strand.low, strand.end = low, high


_NOWHERE = 2**62


def _begins(incoming: Incoming) -> int | None:
    """Return from where a workflow that is open must be read; None for a tombstone or a note."""
    if incoming.value is None:
        return None
    try:
        opened = decode_open(incoming.value)
    except WireError:
        return None
    return opened.header.offset if opened.workflow else None


def _is_supervision(key: bytes | None) -> bool:
    return key is not None and b"/" in key


async def _after(reader: Reader, then: Callable[[], None]) -> None:
    await reader.caught_up()
    then()
