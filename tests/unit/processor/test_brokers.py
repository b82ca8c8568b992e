from __future__ import annotations

from mesh.processor.brokers import Brokers


def test_addresses_are_given_as_aiokafka_wants_them() -> None:
    brokers = Brokers(bootstrap="a:1, SASL_SSL://b:2,c", password="secret")
    assert brokers.addresses() == ["a:1", "b:2", "c:9092"]
    assert "secret" not in repr(brokers)
