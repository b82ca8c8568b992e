from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from mesh.errors import MeshError, NotPermitted, TransportError, Unreachable, WrongTopic
from mesh.transport import kafka_errors
from mesh.transport.kafka_errors import ClientLog, failure_of, translate, translate_raised


def test_every_name_is_one_that_librdkafka_has() -> None:
    names = (
        kafka_errors.NOT_PERMITTED
        | kafka_errors.UNREACHABLE
        | kafka_errors.WRONG_TOPIC
        | kafka_errors.ADVICE.keys()
    )
    for name in names:
        assert KafkaError(getattr(KafkaError, name)).name() == name


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (KafkaError._TRANSPORT, Unreachable, "mesh doctor"),
        (KafkaError._RESOLVE, Unreachable, "host's name"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, NotPermitted, "check user"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotPermitted, "grant this user the topic"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, WrongTopic, "mesh topics apply"),
        (KafkaError.MSG_SIZE_TOO_LARGE, TransportError, "artifact store"),
        (KafkaError.UNSUPPORTED_VERSION, TransportError, "4.0 or newer"),
    ],
)
def test_what_why_and_what_to_do(code: int, kind: type[MeshError], advice: str) -> None:
    error = translate(KafkaError(code, "the\n  reason"), doing="append to t")
    assert type(error) is kind
    assert str(error).startswith("append to t: the reason; ")
    assert advice in str(error)
    assert "\n" not in str(error)


def test_an_exception_is_translated_by_what_is_in_it() -> None:
    inside = KafkaError(KafkaError._ALL_BROKERS_DOWN, "none")
    assert isinstance(translate_raised(KafkaException(inside), doing="x"), Unreachable)
    assert str(translate_raised(BufferError("full"), doing="x")) == "x: full"
    assert isinstance(failure_of(KafkaException(inside), doing="x"), Unreachable)
    bug = ZeroDivisionError("ours")
    assert failure_of(bug, doing="x") is bug


def test_a_clients_log_is_not_repeated_and_counts_producer_ids(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mesh.transport.kafka")
    log = ClientLog()
    for _ in range(3):
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "client", "connection refused")
    log.log(logging.DEBUG, "%s [%s] %s", "GETPID", "client", "Acquired PID{Id:1,Epoch:0}")
    log.log(logging.DEBUG, "%s [%s] %s", "GETPID", "client", "Acquiring ProducerId")
    log.log(logging.DEBUG, "%s [%s] %s", "DRAIN", "client", "All drained, bumped epoch to PID")
    assert [record.getMessage() for record in caplog.records] == [
        "FAIL [client] connection refused"
    ]
    assert log.producer_ids == 2
