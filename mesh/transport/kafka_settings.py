"""How our clients are configured: every property that differs from librdkafka's default, and why.

Defaults that are wrong for us: the CRC32 partitioner (Java clients, aiokafka and Faust use
murmur2), `enable.idempotence=false`, `auto.offset.reset=latest`, offsets stored and committed
behind our back, no check of checksums.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from confluent_kafka import libversion

from mesh.errors import Unreachable

Config = dict[str, str | int | bool]

# --- bounds of the queues, by records and by bytes

APPENDS_MAX = 100_000  # appends without a report: several seconds of a saturated process
APPEND_BYTES_MAX = 64 * 1024 * 1024
RECORD_BYTES_MAX = 1_000_000  # librdkafka's default, below the broker's 1,048,588 with its overhead
BATCH_RECORDS_MAX = 500  # one hand-over to the loop: some 2 ms of its time
READER_RECORDS_MAX = 10_000  # handed over and not taken, per reader
READER_BYTES_MAX = 16 * 1024 * 1024
UNKNOWN_TOPIC_MS = 3_000  # then an append to it fails; a topic just created is known by then
PREFETCH_RECORDS = 10_000  # in librdkafka, per consumer; its default of 100,000 is 64 MiB
PREFETCH_KIB = 8 * 1024
# Of scans there are several at a time, and a process keeps the memory that they once took.
SCAN_RECORDS_MAX = 500  # with their headers a megabyte
SCAN_PREFETCH_KIB = 1024

# --- how long a poll or a fetch waits

POLL_S = 0.15
"""A thread looks up from its poll this often, for commands and to end: some seven times a second.

Below 0.2, where confluent-kafka's poll becomes a loop of its own that takes the GIL in between.
"""

FETCH_WAIT_MS = 1_000  # a tail's partitions never change, so a long wait costs nobody anything
GROUP_FETCH_WAIT_MS = 100  # a partition that was assigned or resumed waits for the fetch under way
SCAN_FETCH_WAIT_MS = 20  # a scan's consumer goes from one partition to the next
EMBEDDED_FETCH_WAIT_MS = 5  # the embedded broker does not wake a waiting fetch: it *is* the latency


@dataclass(frozen=True, kw_only=True)
class Security:
    """How to authenticate. The defaults are a broker without any."""

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_location: str = ""
    certificate_location: str = ""
    key_location: str = ""

    def config(self) -> Config:
        """Return librdkafka's properties for it."""
        config: Config = {"security.protocol": self.protocol}
        if self.mechanism:
            config["sasl.mechanism"] = self.mechanism
            config["sasl.username"] = self.username
            config["sasl.password"] = self.password
        if self.ca_location:
            config["ssl.ca.location"] = self.ca_location
        if self.certificate_location:
            config["ssl.certificate.location"] = self.certificate_location
            config["ssl.key.location"] = self.key_location
        return config


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times that tests shorten; each default has its reason."""

    open_s: float = 10.0  # a broker that is just being started takes two or three
    lookup_s: float = 10.0  # a single question to a broker; then the asker is told
    stall_s: float = 5.0  # a loop that stood still so long has lost its leases, or soon will
    max_poll_interval_ms: int = 15_000  # for a process that cannot even leave
    revoke_s: float = 5.0  # to write "given up" facts; well below max_poll_interval_ms


MAX_PORT = 65_535  # librdkafka takes larger ones, modulo 65,536
_ADDRESS = re.compile(
    r"(?:(?:PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?(?:[^\s:/]+|\[[0-9a-f:.]+\])?"
    r"(?::(?P<port>[0-9]{1,9}))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the brokers are and as whom to speak to them."""

    bootstrap: str
    client_id: str = "mesh"
    security: Security = Security()
    embedded: bool = False

    def __post_init__(self) -> None:
        for part in self.bootstrap.split(","):
            told = _ADDRESS.fullmatch(part.strip())
            if told is None or not 0 < int(told["port"] or 9092) <= MAX_PORT:
                raise Unreachable(
                    f"{self.bootstrap}: {part.strip()!r} is no address; write HOST:PORT, "
                    f"several separated by commas, with ports up to {MAX_PORT}"
                )

    def base(self) -> Config:
        """Return what every client has in common."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.client_id,
            "log.queue": True,  # our logger, on our thread; else librdkafka writes to stderr
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,  # default 10 s: too long after a short outage
            "allow.auto.create.topics": False,
            **self.security.config(),
        }

    def producer(self) -> Config:
        """Return the configuration of the one producer."""
        config = self.base()
        del config["allow.auto.create.topics"]  # a consumer's property
        return config | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,  # `gathering` knows better when to wait
            "partitioner": "murmur2_random",
            "message.timeout.ms": 0,  # no local limit: the log decides what is late
            "message.max.bytes": RECORD_BYTES_MAX,
            "topic.metadata.propagation.max.ms": UNKNOWN_TOPIC_MS,
            # Above our own bounds, which refuse an append at once and with words.
            "queue.buffering.max.messages": 2 * APPENDS_MAX,
            "queue.buffering.max.kbytes": 4 * APPEND_BYTES_MAX // 1024,
            "debug": "eos",  # a few lines in a producer's life; they tell when it has its id
        }

    def consumer(self, wait_ms: int) -> Config:
        """Return what all consumers have in common."""
        return self.base() | {
            "group.id": self.client_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # decided by us, see `kafka_tail`
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.wait.max.ms": EMBEDDED_FETCH_WAIT_MS if self.embedded else wait_ms,
            "fetch.queue.backoff.ms": 5,  # default 1 s: a full prefetch queue would stand still
            "queued.min.messages": PREFETCH_RECORDS,
            "queued.max.messages.kbytes": PREFETCH_KIB,
        }

    def member(self, group: str, max_poll_interval_ms: int) -> Config:
        """Return that of a member of a group; by KIP-848 session and heartbeat are the broker's."""
        return self.consumer(GROUP_FETCH_WAIT_MS) | {
            "group.id": group,
            "group.protocol": "consumer",
            # of each topic its part: `uniform` gives one of two members all of one capability's
            "group.remote.assignor": "range",
            "auto.offset.reset": "earliest",  # work that waited for its first reader is done
            "enable.partition.eof": False,
            "max.poll.interval.ms": max_poll_interval_ms,
        }


def client_version() -> str:
    """Return the version of the Kafka client's library, for people."""
    return str(libversion()[0])
