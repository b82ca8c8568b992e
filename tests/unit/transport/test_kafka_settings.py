from __future__ import annotations

import confluent_kafka
import pytest

from mesh.errors import Unreachable
from mesh.transport.kafka_settings import (
    EMBEDDED_FETCH_WAIT_MS,
    FETCH_WAIT_MS,
    Address,
    Config,
    Limits,
    Security,
)

SCRAM = Security(
    protocol="SASL_SSL",
    mechanism="SCRAM-SHA-512",
    username="me",
    password="not-a-secret",
    ca_location="ca.pem",
)
ADDRESS = Address(bootstrap="127.0.0.1:9")


@pytest.mark.parametrize(
    "config", [ADDRESS.consumer(FETCH_WAIT_MS), ADDRESS.member("g", 15_000)], ids=["tail", "member"]
)
def test_librdkafka_takes_a_consumers_configuration(config: Config) -> None:
    confluent_kafka.Consumer(dict(config)).close()
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False
    assert config["check.crcs"] is True


def test_librdkafka_takes_the_producers_configuration() -> None:
    config = ADDRESS.producer()
    confluent_kafka.Producer(dict(config))
    assert config["enable.idempotence"] is True
    assert config["partitioner"] == "murmur2_random"


def test_security_is_in_every_configuration_and_in_no_repr() -> None:
    address = Address(bootstrap="h:1", security=SCRAM)
    for config in (address.base(), address.producer(), address.consumer(1), address.member("g", 1)):
        assert config["security.protocol"] == "SASL_SSL"
        assert config["sasl.mechanism"] == "SCRAM-SHA-512"
        assert config["sasl.username"] == "me"
        assert config["sasl.password"] == "not-a-secret"
        assert config["ssl.ca.location"] == "ca.pem"
    assert "not-a-secret" not in repr(address)
    assert Security().config() == {"security.protocol": "PLAINTEXT"}


def test_a_certificate_of_our_own_comes_with_its_key() -> None:
    security = Security(protocol="SSL", certificate_location="me.crt", key_location="me.key")
    assert security.config() == {
        "security.protocol": "SSL",
        "ssl.certificate.location": "me.crt",
        "ssl.key.location": "me.key",
    }


@pytest.mark.parametrize(
    "bootstrap", ["k", "k:9092", "a:1, b:65535", "[::1]:9092", "SSL://k.example:9093", ":9092"]
)
def test_an_address(bootstrap: str) -> None:
    assert Address(bootstrap=bootstrap).base()["bootstrap.servers"] == bootstrap


@pytest.mark.parametrize("bootstrap", ["k:65536", "k:0", "k:x", "http://k:9", "a:1,b:99999", "a b"])
def test_what_is_no_address_is_said_at_once(bootstrap: str) -> None:
    with pytest.raises(Unreachable, match="is no address; write HOST:PORT"):
        Address(bootstrap=bootstrap)


def test_the_embedded_broker_needs_short_fetches() -> None:
    embedded = Address(bootstrap="h:1", embedded=True)
    assert embedded.consumer(FETCH_WAIT_MS)["fetch.wait.max.ms"] == EMBEDDED_FETCH_WAIT_MS
    assert embedded.member("g", 1)["fetch.wait.max.ms"] == EMBEDDED_FETCH_WAIT_MS
    assert ADDRESS.consumer(FETCH_WAIT_MS)["fetch.wait.max.ms"] == FETCH_WAIT_MS


def test_a_revocation_ends_before_the_group_gives_up_on_us() -> None:
    limits = Limits()
    assert limits.revoke_s < limits.max_poll_interval_ms / 1000
    assert limits.stall_s < limits.max_poll_interval_ms / 1000
