"""Single questions to the brokers: which partitions, which offsets.

One consumer that never fetches, on one thread. A consumer that fetches would answer slowly: its
broker deals with the requests of a connection one after the other, and a waiting fetch is first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from mesh.errors import TransportError, Unreachable
from mesh.ports import Commit, Place
from mesh.transport.kafka_errors import (
    NOT_PERMITTED,
    UNREACHABLE,
    ClientLog,
    error_in,
    translate,
    translate_raised,
)
from mesh.transport.kafka_settings import FETCH_WAIT_MS, Address
from mesh.transport.offsets import missing

Answer = TypeVar("Answer")

ATTEMPT_S = 1.0  # so that an end of the log or a refusal is noticed in between
BACKOFF_S = 0.05
PASSING = UNREACHABLE | {"NOT_LEADER_FOR_PARTITION", "UNKNOWN_LEADER_EPOCH", "_UNKNOWN_BROKER"}
MISSING = frozenset({"UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID"})


class KafkaLookup:
    """Asks, and asks again while the trouble may pass."""

    def __init__(self, address: Address, limit_s: float) -> None:
        self._address = address
        self._limit_s = limit_s
        self._log = ClientLog()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="mesh-lookup")
        self._consumer: Consumer | None = None
        self._groups: dict[str, Consumer] = {}
        self._last_error: KafkaError | None = None
        self._closed = False

    async def reach(self, limit_s: float) -> None:
        """Return when a broker answers."""
        await self._ask(lambda: self._client().list_topics("", timeout=ATTEMPT_S), "", limit_s)

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return low and high watermark by partition; empty when there is no such topic."""
        return await self._ask(lambda: self._ends(topic), f" about {topic}", self._limit_s)

    async def require(self, topics: Sequence[str]) -> None:
        """Raise `WrongTopic` where one is missing."""
        for topic in topics:
            if not await self.partitions(topic):
                raise missing(topic, self._address.bootstrap)

    async def partitions(self, topic: str) -> Sequence[int]:
        """Return the partitions of a topic, none when there is no such topic."""
        return await self._ask(lambda: self._partitions(topic), f" about {topic}", self._limit_s)

    async def named(self, prefix: str) -> Sequence[str]:
        """Return the topics whose names begin so."""
        return await self._ask(lambda: self._named(prefix), " for its topics", self._limit_s)

    async def committed(self, group: str, places: Sequence[Place]) -> Mapping[Place, Commit | None]:
        """Return what a group has committed, None for nothing."""
        about = f" about group {group}"
        return await self._ask(lambda: self._committed(group, places), about, self._limit_s)

    async def close(self) -> None:
        """Let go of threads and connections, after the question under way."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown(wait=False)

    async def _ask(self, question: Callable[[], Answer], about: str, limit_s: float) -> Answer:
        loop = asyncio.get_running_loop()
        doing = f"ask {self._address.bootstrap}{about}"
        return await loop.run_in_executor(self._executor, self._repeat, question, doing, limit_s)

    # --- on the thread

    def _repeat(self, question: Callable[[], Answer], doing: str, limit_s: float) -> Answer:
        deadline = time.monotonic() + limit_s
        while True:
            if self._closed:
                raise TransportError("the log is closed")
            try:
                return question()
            except KafkaException as raised:
                failure = self._verdict(raised, doing)
                if not isinstance(failure, Unreachable) or time.monotonic() >= deadline:
                    raise failure from raised
            time.sleep(BACKOFF_S)

    def _verdict(self, raised: KafkaException, doing: str) -> TransportError:
        """Say what an error means, with what the connection's own errors tell about it."""
        error = error_in(raised)
        if self._consumer is not None:
            self._consumer.poll(0)  # collects them
        if error is not None and error.name() in PASSING:
            cause = self._last_error or error
            if cause.name() in NOT_PERMITTED:
                return translate(cause, doing=doing)
            return Unreachable(str(translate(cause, doing=doing)))
        return translate_raised(raised, doing=doing)

    def _client(self) -> Consumer:
        if self._consumer is None:
            config = self._address.consumer(FETCH_WAIT_MS) | {"error_cb": self._complain}
            self._consumer = Consumer(config, logger=self._log)
        return self._consumer

    def _of_group(self, group: str) -> Consumer:
        """Return a client that knows a group's name and never joins it."""
        if group not in self._groups:
            known = {"group.id": group, "error_cb": self._complain}
            config = self._address.consumer(FETCH_WAIT_MS) | known
            self._groups[group] = Consumer(config, logger=self._log)
        return self._groups[group]

    def _complain(self, error: KafkaError) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":  # it follows an error that says more
            self._last_error = error

    def _partitions(self, topic: str) -> Sequence[int]:
        described = self._client().list_topics(topic, timeout=ATTEMPT_S).topics[topic]
        if described.error is not None:
            if described.error.name() in MISSING:
                return ()
            raise KafkaException(described.error)
        return sorted(described.partitions)

    def _ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        numbers = self._partitions(topic)
        low = self._offsets(topic, numbers, OFFSET_BEGINNING)
        high = self._offsets(topic, numbers, OFFSET_END)
        return {number: (low[number], high[number]) for number in numbers}

    def _offsets(self, topic: str, numbers: Sequence[int], which: int) -> dict[int, int]:
        if not numbers:
            return {}
        asked = [TopicPartition(topic, number, which) for number in numbers]
        answers = self._client().offsets_for_times(asked, timeout=ATTEMPT_S)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {answer.partition: answer.offset for answer in answers}

    def _named(self, prefix: str) -> Sequence[str]:
        known = self._client().list_topics(timeout=ATTEMPT_S).topics
        return sorted(name for name in known if name.startswith(prefix))

    def _committed(self, group: str, places: Sequence[Place]) -> Mapping[Place, Commit | None]:
        asked = [TopicPartition(*place) for place in places]
        found: dict[Place, Commit | None] = {}
        for answer in self._of_group(group).committed(asked, timeout=ATTEMPT_S) if asked else ():
            if answer.error is not None:
                raise KafkaException(answer.error)
            place = Place(answer.topic, answer.partition)
            known = answer.offset >= 0
            found[place] = Commit(answer.offset, answer.metadata or "") if known else None
        return found

    def _close(self) -> None:
        for asking in self._groups.values():
            asking.close()
        self._groups.clear()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
