"""The embedded broker: librdkafka's mock cluster, which is inside confluent-kafka's wheel.

For the first five minutes and for tests without a JVM. It speaks the protocol over real TCP on
loopback, in this process, for any client in this or another process, starts within milliseconds,
and is gone with the process. What shows its data must say what it is: `LIMITS`.

It is reached by ctypes, for confluent-kafka has no API for it. The functions are marked as
experimental in `rdkafka_mock.h`; the contract suite is what tells whether they still hold.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType

import confluent_kafka

from mesh.errors import TransportError, WrongTopic
from mesh.ports import TopicPlan

PARTITION_BYTES = 5 * 1024 * 1024
"""What it keeps of a partition; older batches vanish without a word."""
PARTITION_BATCHES = 100_000
"""What it keeps of a partition, in batches (a single append is one)."""
LIMITS = (
    "the embedded broker keeps about 5 MiB or 100,000 batches a partition and nothing after exit; "
    "it has no ACLs, no compaction, no topic settings, no append time of its own"
)

HEARTBEAT_MS = 200  # its default of 3 s is how long a group then needs to settle
SESSION_MS = 6_000
ERROR_SPACE = 512
PRODUCER = 0  # RD_KAFKA_PRODUCER
ALL_BROKERS = -1

Handle = ctypes.c_void_p


class EmbeddedBroker:
    """A cluster of `brokers` mock brokers in this process. Make it before there is an event loop.

    `bootstrap` is its address, `topics` the partition counts of what was created here.
    """

    def __init__(self, brokers: int = 1) -> None:
        self._library = _library()
        self._client: int | None = _client(self._library)
        self._cluster: int = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        if not self._cluster:
            raise TransportError("the embedded broker could not be started; is loopback usable?")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._library.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(
            self._cluster, HEARTBEAT_MS
        )
        self._library.rd_kafka_mock_set_group_consumer_session_timeout_ms(self._cluster, SESSION_MS)
        self._replicas = brokers
        bootstrap: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.bootstrap = bootstrap.decode()
        self.topics: dict[str, int] = {}

    def __enter__(self) -> EmbeddedBroker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EmbeddedBroker {self.bootstrap}, {len(self.topics)} topics>"

    def close(self) -> None:
        """End it; every record is gone."""
        if self._client is not None:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._client = None

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; one that exists already stays as it is."""
        if name in self.topics:
            return
        self._check(
            self._library.rd_kafka_mock_topic_create(
                self._cluster, name.encode(), partitions, self._replicas
            ),
            f"create topic {name}",
        )
        self.topics[name] = partitions

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Forget the records below an offset, as retention would."""
        self._check(
            self._library.rd_kafka_mock_partition_delete_records(
                self._cluster, topic.encode(), partition, before
            ),
            f"delete records of {topic}",
        )

    # --- faults

    def set_down(self, broker: int = ALL_BROKERS) -> None:
        """Break connections and refuse new ones, as a dead broker would; records stay."""
        self._check(self._library.rd_kafka_mock_broker_set_down(self._cluster, broker), "set down")

    def set_up(self, broker: int = ALL_BROKERS) -> None:
        """Undo `set_down`."""
        self._check(self._library.rd_kafka_mock_broker_set_up(self._cluster, broker), "set up")

    def set_round_trip(self, milliseconds: int, broker: int = ALL_BROKERS) -> None:
        """Answer every request that much later."""
        self._check(
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds),
            "set round trip",
        )

    def push_errors(self, api_key: int, errors: Sequence[int]) -> None:
        """Fail the next requests of one kind (0 is Produce, 1 Fetch, ...) with these codes.

        -195 breaks the connection instead of answering.
        """
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, api_key, len(errors), codes
        )

    def _check(self, code: int, doing: str) -> None:
        if code != 0:
            why: bytes = self._library.rd_kafka_err2str(code)
            raise TransportError(f"embedded broker, {doing}: {why.decode()}")


class EmbeddedAdmin:
    """A `mesh.ports.TopicAdmin` for the process that runs the broker: topics without settings."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicPlan]:
        """Return those that exist; there are no settings to tell."""
        topics = self._broker.topics
        return {
            name: TopicPlan(name=name, partitions=topics[name]) for name in names if name in topics
        }

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        """Create topics; their settings are ignored, for the broker has none (`LIMITS`)."""
        for plan in plans:
            self._broker.create_topic(plan.name, plan.partitions)

    async def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Refuse: there are no settings."""
        raise WrongTopic(f"topic {name}: {LIMITS}; use a real broker for {', '.join(config)}")


def _client(library: ctypes.CDLL) -> int:
    """Return a client handle, which the mock cluster wants for its own book-keeping."""
    text = ctypes.create_string_buffer(ERROR_SPACE)
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"log_level", b"0", text, ERROR_SPACE)
    handle: int | None = library.rd_kafka_new(PRODUCER, config, text, ERROR_SPACE)
    if handle is None:
        raise TransportError(f"the embedded broker could not be started: {text.value.decode()}")
    return handle


@cache
def _library() -> ctypes.CDLL:
    """Return the librdkafka that confluent-kafka itself uses, with the signatures we need."""
    library = ctypes.CDLL(str(_library_path()))
    text, size, number = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
    signatures = {
        "rd_kafka_conf_new": (Handle, []),
        "rd_kafka_conf_set": (number, [Handle, text, text, text, size]),
        "rd_kafka_new": (Handle, [number, Handle, text, size]),
        "rd_kafka_destroy": (None, [Handle]),
        "rd_kafka_err2str": (text, [number]),
        "rd_kafka_mock_cluster_new": (Handle, [Handle, number]),
        "rd_kafka_mock_cluster_destroy": (None, [Handle]),
        "rd_kafka_mock_cluster_bootstraps": (text, [Handle]),
        "rd_kafka_mock_topic_create": (number, [Handle, text, number, number]),
        "rd_kafka_mock_partition_delete_records": (
            number,
            [Handle, text, ctypes.c_int32, ctypes.c_int64],
        ),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [Handle, ctypes.c_int32]),
        "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [Handle, number]),
        "rd_kafka_mock_set_group_consumer_session_timeout_ms": (None, [Handle, number]),
        "rd_kafka_mock_broker_set_down": (number, [Handle, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_up": (number, [Handle, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_rtt": (number, [Handle, ctypes.c_int32, number]),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [Handle, ctypes.c_int16, size, ctypes.POINTER(ctypes.c_int)],
        ),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _library_path() -> Path:
    package = Path(confluent_kafka.__file__).parent
    # Linux wheels keep their libraries beside the package, macOS wheels within it.
    for pattern in ("../confluent_kafka.libs/librdkafka*.so*", ".dylibs/librdkafka*.dylib"):
        for found in sorted(package.glob(pattern)):
            return found.resolve()
    raise TransportError(
        f"no librdkafka beside {package}: the embedded broker needs confluent-kafka from its "
        "binary wheel; use a real broker (`mesh broker start`)"
    )
