"""A consumer with partitions assigned by hand, on one thread: fetch, convert, know where it is.

confluent-kafka lets one thread at a time into a consumer: any call from another waits for the end
of the poll under way, and may wait for ever. So a consumer belongs to its thread, and what others
want of it they leave for the thread to find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import methodcaller
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from mesh.errors import TransportError
from mesh.ports import UNREADABLE, Headers, Incoming
from mesh.transport.inbox import Batch
from mesh.transport.kafka_errors import NOT_PERMITTED, ClientLog, explain, translate
from mesh.transport.kafka_settings import BATCH_RECORDS_MAX, PREFETCH_KIB, Address

Keep = Callable[[bytes | None], bool]

METADATA_S = 5.0  # for one attempt
# Consumers with partitions of their own need no group, and no right to one, but librdkafka asks.
IRRELEVANT = frozenset({"GROUP_AUTHORIZATION_FAILED", "_ALL_BROKERS_DOWN"})
WATERMARK_S = 5.0


def poll_many(consumer: Consumer, timeout_s: float) -> list[Message]:
    """Wait for one message, then return it with what else is there.

    `consume(n, timeout)` would wait the whole time unless n came.
    """
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    return [first, *consumer.consume(BATCH_RECORDS_MAX - 1, 0)]


def incoming(message: Message) -> Incoming:
    """Return a message as the record it is."""
    # What `Incoming(...)` does at a third of its price; there are hundreds of thousands a second.
    return tuple.__new__(
        Incoming,
        (
            message.topic(),
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            _headers(message),
        ),
    )


_read_headers: Callable[[Message], list[tuple[str, bytes | None]] | None] = methodcaller("headers")
"""`message.headers()`, in a way that never skips the interpreter's look at what C code returned.

For a name that is no UTF-8 confluent-kafka returns a list with holes and leaves the exception set.
A plain call, once Python has specialised it, does not look, and the first use of the list ends the
process. Called like this it is a `SystemError`.
"""


def _headers(message: Message) -> Headers:
    try:
        headers = _read_headers(message)
    except SystemError:
        return ((UNREADABLE, b""),)
    if not headers:
        return ()
    for _, value in headers:
        if value is None:
            return tuple((name, value or b"") for name, value in headers)
    return cast("Headers", tuple(headers))


class Cursor:
    """Positions in one topic. `positions` holds the next offset of each partition."""

    def __init__(self, address: Address, wait_ms: int, prefetch_kib: int = PREFETCH_KIB) -> None:
        self._address = address
        self._log = ClientLog()
        config = address.consumer(wait_ms) | {
            "error_cb": self._complain,
            "queued.max.messages.kbytes": prefetch_kib,
        }
        self._consumer = Consumer(config, logger=self._log)
        self._known: set[str] = set()
        self._topic = ""
        self.positions: dict[int, int] = {}

    def place(self, topic: str, positions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on."""
        if topic not in self._known:
            # Without the metadata `assign` waits half a second for it, and it does if this fails.
            with suppress(KafkaException):
                self._consumer.list_topics(topic, timeout=METADATA_S)
                self._known.add(topic)
        self._topic = topic
        self.positions = dict(positions)
        self._assign()

    def fetch(self, timeout_s: float, keep: Keep | None = None) -> Batch:
        """Return what is there, waiting for the first record; possibly nothing.

        Raises:
            TransportError: Nothing can ever be fetched again.
        """
        records: list[Incoming] = []
        size = 0
        positions = self.positions
        for message in poll_many(self._consumer, timeout_s):
            error = message.error()
            if error is not None:
                self._judge(message, error)
                continue
            offset: int = message.offset()  # type: ignore[assignment] # a read record has one
            positions[message.partition()] = offset + 1  # type: ignore[index] # and a partition
            key = message.key()
            if keep is not None and not keep(key):
                continue
            records.append(incoming(message))
            size += len(message) + (len(key) if key else 0)
        return Batch(records, size)

    def release(self) -> None:
        """Read nothing until placed again."""
        self._consumer.unassign()
        self.positions = {}

    def close(self) -> None:
        """Let go of threads and connections."""
        self._consumer.close()

    def _assign(self) -> None:
        self._consumer.assign(
            [TopicPartition(self._topic, number, at) for number, at in self.positions.items()]
        )

    def _judge(self, message: Message, error: KafkaError) -> None:
        name = error.name()
        number = message.partition()
        if name == "_PARTITION_EOF" and number in self.positions:
            # The end of the log, though the records before it may have been compacted away.
            self.positions[number] = max(self.positions[number], message.offset() or 0)
        elif name == "_AUTO_OFFSET_RESET" and number in self.positions:
            self._find_again(number)
        elif error.fatal() or (name in NOT_PERMITTED and name not in IRRELEVANT):
            raise translate(error, doing=self._doing())
        else:
            self._complain(error)

    def _find_again(self, number: int) -> None:
        """Go on at the first offset that is left; the wanted one does not exist."""
        at = self.positions[number]
        place = TopicPartition(self._topic, number)
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout=WATERMARK_S)
        except KafkaException:
            low, high = at, at  # the broker is away; reading on will bring us back here
        if at > high:
            raise TransportError(
                f"{self._doing()}: partition {number} ends at {high}, but {at} was read before; "
                "the broker has lost records"
            )
        if at < low:
            self.positions[number] = low
        self._assign()

    def _complain(self, error: KafkaError) -> None:
        if error.name() not in IRRELEVANT:
            self._log.say(error.name(), explain(error, doing=self._doing()))

    def _doing(self) -> str:
        return f"read {self._topic} at {self._address.bootstrap}"


def ends_reached(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    """Whether every position is at its end or beyond."""
    return all(positions[number] >= end for number, end in ends.items())
