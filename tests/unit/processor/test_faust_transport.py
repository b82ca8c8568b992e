from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from faust.types import TP

from mesh.errors import UsageError
from mesh.processor.brokers import Brokers
from mesh.processor.faust_transport import Consumer, authentication


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
    own = Brokers(
        bootstrap="a:1", protocol="SSL", certificate_location="no.crt", key_location="no.key"
    )
    with pytest.raises(UsageError, match=r"certificates 'no.crt', 'no.key'"):
        authentication(own)


class Fetched:
    """Mutable: a consumer without Faust around it, and what it handed over."""

    def __init__(self, records: dict[TP, list[int]] | None) -> None:
        self.handed: list[int] = []
        consumer: Any = object.__new__(Consumer)
        self.consumer = consumer
        self.app = SimpleNamespace(consumer_generation_id=1)
        consumer.app = self.app
        consumer.flow_active = True
        consumer._stopped = consumer._crashed = asyncio.Event()
        consumer._wait_next_records = AsyncMock(return_value=(records, None))
        consumer.receive = self.receive

    async def receive(self, record: int) -> None:
        self.handed.append(record)
        if record == 2:
            await self.at_two()

    async def at_two(self) -> None:
        """Do what a test wants to happen then."""

    async def get(self) -> list[object]:
        return [one async for one in self.consumer.getmany(1.0)]


RECORDS = {TP("t", 0): [1, 2, 3], TP("t", 1): [4]}


async def test_what_was_fetched_is_handed_over_in_order() -> None:
    fetched = Fetched(RECORDS)
    assert await fetched.get() == []
    assert fetched.handed == [1, 2, 3, 4]
    assert await Fetched(None).get() == []


@pytest.mark.parametrize("what", ["generation", "flow", "stop"])
async def test_nothing_is_handed_over_that_belongs_to_somebody_else(what: str) -> None:
    fetched = Fetched(RECORDS)

    async def change() -> None:
        if what == "generation":
            fetched.app.consumer_generation_id = 2
        elif what == "flow":
            fetched.consumer.flow_active = False
        else:
            fetched.consumer._stopped.set()

    fetched.at_two = change  # type: ignore[method-assign] # the seam of this test
    assert await fetched.get() == []
    assert fetched.handed == [1, 2]
