"""A member of a consumer group (KIP-848), on a thread of its own.

Liveness must not lie. When the event loop has not ticked for `stall_s`, the thread leaves the
group, so peers take over at once, and joins again when the loop is back. Not to poll would not do:
with KIP-848 librdkafka leaves after `max.poll.interval.ms` only once it is polled again, so the
partitions would stay until the session ends, with the brokers' default 45 s later. That is what is
left for a process which is stopped as a whole. A full inbox pauses partitions, and polling goes on.

A revocation waits for the loop, for a bounded time:

1. librdkafka calls back within a poll: these partitions are to be given up.
2. The event goes to the loop, behind the batches that were sent before it; the thread waits.
3. The inbox drops what was not taken of them, and the listener gives up: facts are written,
   offsets committed.
4. The listener returned, or the time is over: what was committed for them is sent, then the
   partitions are given up. The broker sees both in this order, on one connection.

After an event whose time ran out the listener hears `lost` instead. So it does of a revocation
while the loop is blocked, or soon after the process stood still: it may have been replaced
meanwhile, and librdkafka, which has not heard of it, gives up as if all were still its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from mesh.ports import Commit, GroupListener, Incoming, Place
from mesh.transport.group_inbox import GroupEvent, GroupInbox
from mesh.transport.handover import Handover, Room
from mesh.transport.inbox import Batch, batch_of
from mesh.transport.kafka_cursor import incoming, poll_many
from mesh.transport.kafka_errors import NOT_PERMITTED, ClientLog, explain, failure_of, translate
from mesh.transport.kafka_settings import (
    POLL_S,
    READER_BYTES_MAX,
    READER_RECORDS_MAX,
    Address,
    Limits,
)
from mesh.transport.pulse import Pulse, Standstill
from mesh.transport.worker import Worker

COMMIT_S = 0.1  # between commits: a lost one costs repeats that folds ignore, each costs a request
PAUSED_POLL_S = 0.02  # while something is paused, `resume` should not wait for a long poll
COMMITTED_S = 4.0  # for one question about committed offsets
DOUBT_S = (
    10.0  # after a standstill: two heartbeats of a group's member (5 s is the brokers' default)
)
LEAVE_S = 10.0  # for revocation and leaving, beyond the limit for the listener


class Commits:
    """What is to be committed. The loop asks, the thread sends; the newest wins."""

    def __init__(self) -> None:
        self._asked: deque[Mapping[Place, Commit]] = deque()
        self._wanted: dict[Place, Commit] = {}
        self._in_flight: deque[dict[Place, Commit]] = deque()

    def ask(self, commits: Mapping[Place, Commit]) -> None:
        """Ask for commits (on the loop)."""
        self._asked.append(commits)

    def begin(self, owned: Collection[Place]) -> dict[Place, Commit]:
        """Return what is to be sent now (on the thread); what is not `owned` is dropped."""
        while self._asked:
            self._wanted.update(self._asked.popleft())
        begun = {place: commit for place, commit in self._wanted.items() if place in owned}
        self._wanted = {}
        if begun:
            self._in_flight.append(begun)
        return begun

    def under_way(self) -> bool:
        """Whether a commit was sent and not answered (on the thread)."""
        return bool(self._in_flight)

    def end(self, failed: Collection[Place]) -> None:
        """Note the answer to the oldest; what failed is wanted again, unless newer is wanted."""
        if self._in_flight:
            sent = self._in_flight.popleft()
            again = {place: commit for place, commit in sent.items() if place in failed}
            self._wanted = again | self._wanted


class KafkaGroup:
    """A `GroupReader`."""

    def __init__(
        self,
        address: Address,
        topics: Sequence[str],
        group: str,
        listener: GroupListener,
        pulse: Pulse,
        limits: Limits,
    ) -> None:
        self._topics = list(topics)
        self._group = group
        self._pulse = pulse
        self._limits = limits
        self._doing = f"consumer group {group} at {address.bootstrap}"
        self._log = ClientLog()
        self._config = address.member(group, limits.max_poll_interval_ms)
        self._commits = Commits()
        self._room = Room(records_max=READER_RECORDS_MAX, bytes_max=READER_BYTES_MAX)
        self._inbox = GroupInbox(self._room.take, listener)
        loop = asyncio.get_running_loop()
        self._handover: Handover[Batch | GroupEvent] = Handover(loop, self._inbox.push)
        self._wanted_pauses: frozenset[Place] = frozenset()
        self._stopping = False
        # the thread's own
        self._owned: set[Place] = set()
        self._paused: set[Place] = set()
        self._gone: set[Place] = set()
        self._commit_due = 0.0
        self._rejoin = False
        self._standstill = Standstill(limits.stall_s, DOUBT_S)
        self._worker = Worker(loop, f"mesh-group-{group}", self._run, self._broken)
        self._worker.start()

    def __repr__(self) -> str:
        return f"<member of {self._group}, owns {len(self._owned)} partitions>"

    # --- on the loop

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next records; see `mesh.ports.GroupReader.take`."""
        return await self._inbox.take(timeout_s)

    def commit(self, commits: Mapping[Place, Commit]) -> None:
        """Commit without waiting; see `mesh.ports.GroupReader.commit`."""
        owned = self._inbox.owned(commits)
        self._commits.ask({place: commits[place] for place in owned})

    def pause(self, places: Sequence[Place]) -> None:
        """Fetch no more from these until resumed."""
        self._inbox.pause(places)
        self._wanted_pauses = frozenset(self._inbox.paused())

    def resume(self, places: Sequence[Place]) -> None:
        """Undo `pause`."""
        self._inbox.resume(places)
        self._wanted_pauses = frozenset(self._inbox.paused())

    async def close(self) -> None:
        """Give up all partitions and leave the group."""
        self._stopping = True
        await self._worker.finished(self._limits.revoke_s + LEAVE_S)
        self._inbox.close()

    def _broken(self, raised: BaseException) -> None:
        self._inbox.fail(failure_of(raised, doing=self._doing))

    # --- on the thread

    def _run(self) -> None:
        config = self._config | {"error_cb": self._complain, "on_commit": self._committed}
        consumer = Consumer(config, logger=self._log)
        try:
            self._subscribe(consumer)
            while not self._stopping:
                self._standstill.turn()
                if self._pulse.stalled():
                    self._sit_out(consumer)
                self._serve(consumer)
                self._fetch(consumer)
                if self._rejoin:
                    self._rejoin = False
                    consumer.unsubscribe()
                    self._subscribe(consumer)
        finally:
            consumer.close()

    def _subscribe(self, consumer: Consumer) -> None:
        consumer.subscribe(
            self._topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _sit_out(self, consumer: Consumer) -> None:
        """Leave the group until the loop ticks again."""
        self._log.say("stalled", f"{self._doing}: the event loop is blocked; left until it is back")
        consumer.unsubscribe()
        while self._pulse.stalled() and not self._stopping:
            consumer.poll(POLL_S)  # the callback takes the partitions away
        self._subscribe(consumer)

    def _serve(self, consumer: Consumer) -> None:
        now = time.monotonic()
        if now >= self._commit_due and not self._commits.under_way():
            self._send_commits(consumer)
            self._commit_due = now + COMMIT_S
        wanted = set(self._wanted_pauses & self._owned)
        full = self._room.full() or (bool(self._paused) and self._room.above(1, 2))
        if full and self._paused == self._owned:
            return
        if full:
            wanted = set(self._owned)
        if wanted == self._paused:
            return
        if wanted - self._paused:
            consumer.pause(_partitions(wanted - self._paused))
        if self._paused - wanted:
            consumer.resume(_partitions(self._paused - wanted))
        self._paused = wanted

    def _fetch(self, consumer: Consumer) -> None:
        self._gone.clear()
        records: list[Incoming] = []
        for message in poll_many(consumer, PAUSED_POLL_S if self._paused else POLL_S):
            error = message.error()
            if error is not None:
                self._judge(error)
            else:
                records.append(incoming(message))
        if self._gone:
            # Given up by a callback within this very fetch: what came before it belongs to others.
            records = [record for record in records if Place(*record[:2]) not in self._gone]
        if records:
            batch = batch_of(records)
            self._room.add(len(batch.records), batch.size)
            if not self._handover.send(batch):
                self._stopping = True

    def _judge(self, error: KafkaError) -> None:
        name = error.name()
        if error.fatal() or name in NOT_PERMITTED or name == "UNSUPPORTED_VERSION":
            raise translate(error, doing=self._doing)
        self._complain(error)

    def _complain(self, error: KafkaError) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":
            self._log.say(error.name(), explain(error, doing=self._doing))

    def _send_commits(self, consumer: Consumer) -> None:
        commits = self._commits.begin(self._owned)
        if commits:
            offsets = [
                TopicPartition(*place, commit.offset, commit.metadata)
                for place, commit in commits.items()
            ]
            consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = [
            Place(partition.topic, partition.partition)
            for partition in partitions
            if error is not None or partition.error is not None
        ]
        self._commits.end(failed)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        committed = self._ask_committed(consumer, partitions)
        if committed is None:
            self._rejoin = True  # the coordinator does not answer: leave, and try again
            return
        consumer.incremental_assign(
            [
                TopicPartition(*place, OFFSET_BEGINNING if commit is None else commit.offset)
                for place, commit in committed.items()
            ]
        )
        if back := self._gone & committed.keys():
            # Given up and given again within one fetch, which drops what it has of them: that must
            # be nothing that was fetched from here on. `_serve` resumes them.
            consumer.pause(_partitions(back))
            self._paused |= back
        self._owned.update(committed)
        self._handover.send(GroupEvent(kind="assigned", places=committed, done=_nothing))

    def _ask_committed(
        self, consumer: Consumer, partitions: list[TopicPartition]
    ) -> dict[Place, Commit | None] | None:
        deadline = time.monotonic() + self._limits.max_poll_interval_ms / 2000
        while time.monotonic() < deadline and not self._stopping:
            try:
                answers = consumer.committed(partitions, timeout=COMMITTED_S)
            except KafkaException as raised:
                self._log.say("committed", str(failure_of(raised, doing=self._doing)))
                continue
            if not any(answer.error for answer in answers):
                return {
                    Place(answer.topic, answer.partition): (
                        Commit(answer.offset, answer.metadata or "") if answer.offset >= 0 else None
                    )
                    for answer in answers
                }
        return None

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = self._owned.intersection(_places(partitions))
        if self._standstill.doubtful() or self._pulse.stalled():
            self._on_lost(consumer, partitions)
            return
        if places:
            returned = threading.Event()
            event = GroupEvent(kind="revoked", places=dict.fromkeys(places), done=returned.set)
            if not self._handover.send(event) or not returned.wait(self._limits.revoke_s):
                event.expired = True
            self._send_commits(consumer)
        self._let_go(consumer, partitions, places)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = self._owned.intersection(_places(partitions))
        if places:
            lost = GroupEvent(kind="lost", places=dict.fromkeys(places), done=_nothing)
            self._handover.send(lost)
        self._let_go(consumer, partitions, places)

    def _let_go(
        self, consumer: Consumer, partitions: list[TopicPartition], places: set[Place]
    ) -> None:
        if paused := self._paused & places:
            consumer.resume(_partitions(paused))  # or they come back paused
        self._owned -= places
        self._paused -= places
        self._gone |= places
        consumer.incremental_unassign(partitions)


def _nothing() -> None:
    """Nobody waits for this event."""


def _places(partitions: Iterable[TopicPartition]) -> list[Place]:
    return [Place(partition.topic, partition.partition) for partition in partitions]


def _partitions(places: Iterable[Place]) -> list[TopicPartition]:
    return [TopicPartition(place.topic, place.partition) for place in places]
