"""A worker of the processor: Faust gives it partitions of `M.changes` and `M.audit`.

Faust is the stream engine alone: membership of the group, rebalances, fetching, back-pressure. What
a record means, and which offset may be committed, is said by the keeper of shared state for the
one, by the watchman over chains for the other: the owners of what the group gives.

Start, in this order: connect; look whether every topic is there as it should be; join the group;
wait until it said which partitions are ours. Stop: leave no change judged and not told, commit,
leave the group. At a rebalance likewise, within `SETTLE_S`; what is not settled by then is judged
again by the next owner.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine
from typing import Any

import aiokafka
import faust
from faust.types import TP, StreamT
from yarl import URL

from mesh.core.detectors.limits import LimitTable
from mesh.core.values import Holder
from mesh.errors import MeshError, TransportError
from mesh.ports import Incoming, Log
from mesh.processor.brokers import Brokers
from mesh.processor.faust_transport import Consumer, Transport
from mesh.processor.inputs import check_topics
from mesh.processor.keeper import Keeper
from mesh.processor.owner import Owner
from mesh.processor.survey import Survey
from mesh.processor.watchman import Watchman, check_audit
from mesh.wire import topics
from mesh.wire.topics import check_mesh

LOOK_S = 0.5
"""Offsets are committed, and what others wrote is looked for, so often."""
SETTLE_S = 3.0
"""For what is on its way when partitions are given up: well below the group's rebalance timeout."""
COMMIT_AGAIN_S = 0.1
"""Between two attempts to commit before partitions are given up."""
JOIN_S = 60.0
"""Until the group said which partitions are ours: a worker that was killed is waited for."""
STOP_S = 5.0
"""To leave the group, which notices by itself that somebody is gone, a session timeout later."""
TOLD_S = 10.0
"""A line of the log tells the lag so often, while there is one."""

_log = logging.getLogger(__name__)


class Processor:
    """Mutable: one incarnation of a worker.

    Args:
        log: The connection by which entries and verdicts are written; opened and closed here.
        mesh: The mesh's name.
        brokers: Where Faust connects to.
        name: Of this worker, unique in the mesh; "" makes one.
        skips_newer: Make dead letters of what a newer release seems to have written.
        limits: Of the detectors, while no policy says others.
    """

    def __init__(
        self,
        log: Log,
        mesh: str,
        brokers: Brokers,
        *,
        name: str = "",
        skips_newer: bool = False,
        limits: LimitTable | None = None,
    ) -> None:
        host = socket.gethostname().lower().replace("_", "-")
        now_ms = time.time_ns() // 1_000_000
        self.log = log
        self.mesh = mesh
        self.me = Holder(name or f"processor.{host}-{now_ms:x}", now_ms)
        self.brokers = brokers
        self.ready = False
        self.keeper: Keeper | None = None
        self.watchman: Watchman | None = None
        self.survey: Survey | None = None
        self.ends: dict[int, int] = {}
        """Where the partitions of `M.changes` end, as of the last look."""
        self.failed: asyncio.Future[MeshError] | None = None
        self._skips_newer = skips_newer
        self._limits = limits
        self._topic = topics.changes(mesh)
        self._audit = topics.audit(mesh)
        self._owners: dict[str, Owner[Any]] = {}
        self._app: faust.App | None = None
        self._assigned = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told_s = 0.0

    def __repr__(self) -> str:
        return f"Processor({self.me.instance}, {self.keeper}, ready={self.ready})"

    def lag(self) -> dict[int, int]:
        """Return how many changes of each partition that is ours are not settled."""
        settled = self.keeper.settled() if self.keeper is not None else {}
        return {number: max(0, self.ends.get(number, 0) - at) for number, at in settled.items()}

    # --- start and stop -------------------------------------------------------------------------

    async def start(self) -> None:
        """Start; returns when the group said which partitions are ours.

        Raises:
            Unreachable: No broker answers.
            NotPermitted: The broker refuses us.
            WrongTopic: An input topic is missing, or has another number of partitions.
        """
        self.failed = asyncio.get_running_loop().create_future()
        await self.log.open()
        partitions = await check_topics(self.log, self.mesh)
        await check_audit(self.log, self.mesh)
        self.keeper = Keeper(
            self.log,
            self.mesh,
            self.me,
            partitions,
            failed=self._fail,
            skips_newer=self._skips_newer,
        )
        self.watchman = Watchman(
            self.log,
            self.mesh,
            failed=self._fail,
            limits=self._limits,
            skips_newer=self._skips_newer,
        )
        await self.watchman.start()
        self.survey = Survey(self.log, self.mesh, self.watchman)
        self._owners = {self._topic: self.keeper, self._audit: self.watchman}
        # on a thread: what Faust does with its decorators reads files
        self._app = app = await asyncio.to_thread(self._make)
        await app.start()
        try:
            async with asyncio.timeout(JOIN_S):
                await self._assigned.wait()
        except TimeoutError:
            raise TransportError(
                f"group {app.conf.id} at {self.brokers.bootstrap} assigned nothing within "
                f"{JOIN_S:g} s; `mesh doctor` looks at the broker"
            ) from None
        await self._see_ends()
        self._spawn(self._look())
        self._spawn(self.survey.run())
        self.ready = True

    async def drain(self, limit_s: float) -> bool:
        """Tell all that is due, commit, leave; True if all was told in time."""
        self.ready = False
        app = self._app
        if app is None:
            await self.close()
            return True
        app.consumer.stop_flow()
        app.flow_control.suspend()
        settled = await self._settle(limit_s)
        await self._commit_within(SETTLE_S)
        await self.close()
        return settled

    async def close(self) -> None:
        """Leave at once; what is not settled is judged again by the next owner."""
        self.ready = False
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for owner in self._owners.values():
            for partition in tuple(owner.parts):
                owner.give_up(partition)
        if self._app is not None:
            await self._stop(self._app)
        if self.watchman is not None:
            await self.watchman.close()
        await self.log.close()

    async def _stop(self, app: faust.App) -> None:
        """Leave the group; where the brokers are away Faust waits for them a minute.

        Then it goes on in the background: a consumer that nobody stops would stay in the group.
        """
        stopping = asyncio.create_task(app.stop())
        self._tasks.add(stopping)
        stopping.add_done_callback(self._tasks.discard)
        _, late = await asyncio.wait({stopping}, timeout=STOP_S)
        if late:
            _log.warning("leaving the group takes more than %g s; it will notice by itself", STOP_S)
        else:
            await stopping

    def _make(self) -> faust.App:
        """Describe the application to Faust."""
        addresses = [URL(f"kafka://{address}") for address in self.brokers.addresses()]
        app = _App(
            f"{check_mesh(self.mesh)}.processors",
            broker=addresses,
            broker_client_id=self.me.instance,
            store="memory://",
            processing_guarantee="at_least_once",
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            stream_recovery_delay=0.0,
            autodiscover=False,
        )
        app.boot_strategy.enable_kafka_producer = False
        app.boot_strategy.enable_web = False
        transport = Transport(addresses, app)
        transport.brokers, transport.receive = self.brokers, self._receive
        app.transport = transport
        for name in self._owners:
            app.agent(app.topic(name, acks=False), name=name, concurrency=1)(_idle)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.finalize()
        return app

    # --- what Faust calls -----------------------------------------------------------------------

    async def _receive(self, record: aiokafka.ConsumerRecord) -> None:
        """Give a record to whom its topic belongs."""
        assert self.keeper is not None
        assert self.watchman is not None
        give = self.keeper.judge if record.topic == self._topic else self.watchman.see
        headers = tuple([(name, value or b"") for name, value in record.headers])
        incoming = Incoming(
            *(record.topic, record.partition, record.offset, record.timestamp),
            *(record.key, record.value, headers),
        )
        try:
            await give(incoming)
        except TransportError as error:
            self._fail(error)
        except Exception as error:
            # a defect: whoever fetches must not go on behind the record, and leave it out
            self._fail(TransportError(f"{self.me.instance} cannot go on: {error!r}"))
            raise

    async def _on_assigned(self, _: Any, /, *args: Any, **__: Any) -> None:
        assigned: set[TP] = args[0]
        mine = sorted(tp for tp in assigned if tp.topic in self._owners)
        for topic in self._owners:
            numbers = [tp.partition for tp in mine if tp.topic == topic]
            _log.info("partitions of %s that are ours: %s", topic, numbers or "none")
        committed = await self._consumer().seek_to_committed() if mine else {}
        for tp in mine:
            self._spawn(self._owners[tp.topic].take(tp.partition, committed.get(tp) or 0))
        self._assigned.set()

    async def _on_revoked(self, _: Any, /, *args: Any, **__: Any) -> None:
        revoked: set[TP] = args[0]
        if not await self._settle(SETTLE_S):
            _log.warning("what is not settled is judged again by who owns it next")
        await self._commit_within(SETTLE_S)
        for tp in revoked:
            if tp.topic in self._owners:
                self._owners[tp.topic].give_up(tp.partition)

    async def _settle(self, limit_s: float) -> bool:
        """Let both tell what is due; True if all was told in time."""
        return all(
            await asyncio.gather(*(owner.settle(limit_s) for owner in self._owners.values()))
        )

    # --- around ---------------------------------------------------------------------------------

    def _consumer(self) -> Consumer:
        assert self._app is not None
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer)
        return consumer

    async def _look(self) -> None:
        """Commit, see what others wrote, and tell how it stands, again and again."""
        assert self._app is not None
        while True:
            await asyncio.sleep(LOOK_S)
            if self._app.crashed:
                reason = self._app.crash_reason
                self._fail(TransportError(f"Faust ended: {reason!r}"))
                return
            await self._commit()
            try:
                for owner in self._owners.values():
                    await owner.look()
                await self._see_ends()
            except TransportError as error:
                _log.warning("cannot look at the log just now: %s", error)
            self._tell()

    async def _see_ends(self) -> None:
        ends = await self.log.ends(self._topic)
        self.ends = {number: high for number, (_, high) in ends.items()}

    async def _commit_within(self, limit_s: float) -> None:
        """Commit, unless the brokers are away: then who comes next judges again."""
        try:
            async with asyncio.timeout(limit_s):
                while not await self._commit():  # noqa: ASYNC110  # the group does not tell when it takes them
                    await asyncio.sleep(COMMIT_AGAIN_S)
        except TimeoutError:
            _log.warning("offsets could not be committed within %g s", limit_s)

    async def _commit(self) -> bool:
        """Commit what is settled; False if the group did not take it, as in a rebalance."""
        offsets = {topic: owner.commits() for topic, owner in self._owners.items()}
        tps = {TP(topic, at): own for topic, every in offsets.items() for at, own in every.items()}
        if tps and not await self._consumer().commit_offsets(tps):
            return False
        for topic, owner in self._owners.items():
            owner.committed(offsets[topic])
        return True

    def _tell(self) -> None:
        """Write a line of how it stands, while there is something to do."""
        keeper, watchman = self.keeper, self.watchman
        assert keeper is not None
        assert watchman is not None
        behind, unseen, now_s = self.lag(), watchman.lag(), time.monotonic()
        restoring = [part for part in keeper.parts.values() if not part.ready]
        beginning = watchman.restoring()
        idle = not (restoring or beginning or any(behind.values()) or any(unseen.values()))
        if idle or now_s - self._told_s < TOLD_S:
            return
        self._told_s = now_s
        rows = {number: len(part.view.entries) for number, part in keeper.parts.items()}
        _log.info("lag %s, rows %s; lag of the watch %s", behind, rows, unseen)
        for part in restoring:
            _log.info("restoring partition %d: %d of %d", part.partition, part.read, part.end)
        for number, own in beginning.items():
            _log.info("restoring the watch over %d: %d of %d", number, own.next, own.end)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside; if it fails, this incarnation is over."""

        async def guarded() -> None:
            try:
                await work
            except TransportError as error:
                self._fail(error)
            except Exception as error:
                # a defect: a worker that does half of its work must not seem alive
                self._fail(TransportError(f"{self.me.instance} cannot go on: {error!r}"))
                raise

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, error: MeshError) -> None:
        self.ready = False
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(error)


class _App(faust.App):
    """Faust's application; it keeps nothing on this machine, so it makes no folders."""

    async def on_first_start(self) -> None:
        """Do nothing: what Faust does here is to make its folders."""


async def _idle(stream: StreamT[Any]) -> None:
    """Be the agent for which Faust subscribes to a topic; records are handed over before it."""
    async for _ in stream:
        raise AssertionError("a record went astray")
