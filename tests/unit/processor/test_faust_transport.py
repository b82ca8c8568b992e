from __future__ import annotations

import ssl

import pytest

from mesh.errors import UsageError
from mesh.processor.brokers import Brokers
from mesh.processor.faust_transport import authentication


def test_brokers_without_authentication() -> None:
    assert authentication(Brokers(bootstrap="a:1")) == {"security_protocol": "PLAINTEXT"}


def test_a_user_and_a_password() -> None:
    brokers = Brokers(
        bootstrap="a:1",
        protocol="SASL_PLAINTEXT",
        mechanism="SCRAM-SHA-256",
        username="ann",
        password="secret",
    )
    assert authentication(brokers) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "secret",
    }


def test_certificates() -> None:
    plain = authentication(Brokers(bootstrap="a:1", protocol="SSL"))
    assert isinstance(plain["ssl_context"], ssl.SSLContext)
    both = authentication(Brokers(bootstrap="a:1", protocol="SASL_SSL", username="ann"))
    assert (both["sasl_mechanism"], both["security_protocol"]) == ("PLAIN", "SASL_SSL")
    assert "ssl_context" in both
    with pytest.raises(UsageError, match="certificates 'nowhere'"):
        authentication(Brokers(bootstrap="a:1", protocol="SSL", ca_location="nowhere"))
