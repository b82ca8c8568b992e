"""The one place where errors of confluent-kafka and librdkafka become errors of the mesh.

A text is one line: what was being done and where, why it failed, what to do about it. Errors are
known by their names, as librdkafka prints them; those with a leading underscore are its own, the
others came from a broker.
"""

from __future__ import annotations

import logging
import re
import time

from confluent_kafka import KafkaError, KafkaException

from mesh.errors import NotPermitted, TransportError, Unreachable, WrongTopic

LOGGER = logging.getLogger("mesh.transport.kafka")

REPEAT_S = 30.0  # librdkafka says the same at every attempt to reconnect, many times a second

NOT_PERMITTED = frozenset(
    {
        "_AUTHENTICATION",
        "SASL_AUTHENTICATION_FAILED",
        "ILLEGAL_SASL_STATE",
        "UNSUPPORTED_SASL_MECHANISM",
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "SECURITY_DISABLED",
    }
)
UNREACHABLE = frozenset(
    {
        "_TRANSPORT",
        "_ALL_BROKERS_DOWN",
        "_RESOLVE",
        "_SSL",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_MSG_TIMED_OUT",
        "_BAD_MSG",
        "_WAIT_COORD",
        "REQUEST_TIMED_OUT",
        "NETWORK_EXCEPTION",
        "BROKER_NOT_AVAILABLE",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "LEADER_NOT_AVAILABLE",
    }
)
WRONG_TOPIC = frozenset(
    {
        "UNKNOWN_TOPIC_OR_PART",
        "UNKNOWN_TOPIC_ID",
        "TOPIC_EXCEPTION",
        "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION",
        "INVALID_PARTITIONS",
        "INVALID_CONFIG",
        "INVALID_REPLICATION_FACTOR",
        "POLICY_VIOLATION",
    }
)
CREDENTIALS = "check user, password and mechanism"
ADVICE = {
    "_RESOLVE": "is the host's name right?",
    "_SSL": "does the protocol (security.protocol) fit this listener?",
    "_BAD_MSG": "is that a Kafka broker?",
    "_AUTHENTICATION": CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": CREDENTIALS,
    "TOPIC_AUTHORIZATION_FAILED": "grant this user the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant this user the group",
    "CLUSTER_AUTHORIZATION_FAILED": "grant this user a topic to write, or only read",
    "UNKNOWN_TOPIC_OR_PART": "create it by `mesh topics apply`",
    "_UNKNOWN_TOPIC": "create it by `mesh topics apply`",
    "_UNKNOWN_PARTITION": "compare with `mesh topics plan`",
    "MSG_SIZE_TOO_LARGE": "put large bodies into the artifact store",
    "UNSUPPORTED_VERSION": "is the broker Kafka 4.0 or newer?",
    "_UNSUPPORTED_FEATURE": "is the broker Kafka 4.0 or newer?",
}
PRODUCER_ID = {"GETPID": "Acquired", "DRAIN": "bumped epoch"}
REACH = (
    "is the broker running, and is the address right? `mesh dev` brings one along, "
    "`mesh broker start` runs Kafka, `mesh doctor` tells more"
)
NOISE = re.compile(r" \(after \d+ms in state [^)]*\)")  # how librdkafka's state machine got there


def translate(error: KafkaError, *, doing: str) -> TransportError:
    """Return our error for theirs; `doing` says in words what failed, with the address."""
    text = explain(error, doing=doing)
    if error.name() in NOT_PERMITTED:
        return NotPermitted(text)
    if error.name() in UNREACHABLE:
        return Unreachable(text)
    if error.name() in WRONG_TOPIC:
        return WrongTopic(text)
    return TransportError(text)


def explain(error: KafkaError, *, doing: str) -> str:
    """Return one line: what, why, what to do."""
    advice = ADVICE.get(error.name(), REACH if error.name() in UNREACHABLE else "")
    reason = NOISE.sub("", " ".join(error.str().split()))
    return f"{doing}: {reason}; {advice}" if advice else f"{doing}: {reason}"


def error_in(raised: Exception) -> KafkaError | None:
    """Return the error inside an exception of confluent-kafka, None where it has none."""
    if isinstance(raised, KafkaException) and raised.args:
        inside = raised.args[0]
        if isinstance(inside, KafkaError):
            return inside
    return None


def translate_raised(raised: Exception, *, doing: str) -> TransportError:
    """Return our error for an exception that confluent-kafka raised."""
    error = error_in(raised)
    if error is None:
        return TransportError(f"{doing}: {raised}")
    return translate(error, doing=doing)


def failure_of(raised: BaseException, *, doing: str) -> BaseException:
    """Return what a taker is to be told when its thread ended by `raised`."""
    if isinstance(raised, KafkaException):
        return translate_raised(raised, doing=doing)
    return raised


class ClientLog:
    """What confluent-kafka takes for a logger: repeats held back, one event picked out.

    librdkafka says in its `eos` log, and nowhere else, when a producer got its id or a new epoch;
    `producer_ids` counts both.
    """

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self.producer_ids = 0

    def log(self, level: int, text: str, *values: object) -> None:
        """Take one line; `values` are its facility, the client's name and the message."""
        facility = str(values[0]) if values else ""
        if facility in PRODUCER_ID and PRODUCER_ID[facility] in str(values[-1]):
            self.producer_ids += 1
        if level > logging.DEBUG:
            self.say(facility, text % values)

    def say(self, kind: str, text: str) -> None:
        """Log a line, unless one of its kind was logged a moment ago."""
        now = time.monotonic()
        if now - self._said.get(kind, -REPEAT_S) >= REPEAT_S:
            self._said[kind] = now
            LOGGER.info("%s", text)
