from __future__ import annotations

import asyncio

import pytest

from mesh.errors import TransportError, Unreachable, WrongTopic
from mesh.ports import Place
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka_lookup import KafkaLookup
from mesh.transport.kafka_settings import Address


async def test_answers(address: Address, topic: str) -> None:
    lookup = KafkaLookup(address, 5)
    await lookup.reach(5)
    assert await lookup.partitions(topic) == [0, 1]
    assert await lookup.ends(topic) == {0: (0, 0), 1: (0, 0)}
    assert await lookup.ends(f"{topic}.missing") == {}
    await lookup.require([topic])
    with pytest.raises(WrongTopic):
        await lookup.require([topic, f"{topic}.missing"])
    assert topic in await lookup.named(topic)
    for _ in range(2):
        assert await lookup.committed("nobody", [Place(topic, 1)]) == {Place(topic, 1): None}
    await lookup.close()


async def test_it_asks_again_while_the_trouble_may_pass(
    cluster: EmbeddedBroker, address: Address, topic: str
) -> None:
    lookup = KafkaLookup(address, 20)
    await lookup.reach(5)
    cluster.set_down()
    asking = asyncio.ensure_future(lookup.ends(topic))
    await asyncio.sleep(0)
    cluster.set_up()
    assert await asking == {0: (0, 0), 1: (0, 0)}
    await lookup.close()


async def test_the_reason_is_the_connections(topic: str) -> None:
    lookup = KafkaLookup(Address(bootstrap="127.0.0.1:9"), 0.1)
    with pytest.raises(Unreachable, match="Connection refused"):
        await lookup.ends(topic)
    await lookup.close()


async def test_closing_ends_a_question_that_waits(topic: str) -> None:
    lookup = KafkaLookup(Address(bootstrap="127.0.0.1:9"), 60)
    asking = asyncio.ensure_future(lookup.ends(topic))
    await asyncio.sleep(0)
    await asyncio.wait_for(lookup.close(), 10)
    with pytest.raises(TransportError, match="closed"):
        await asking
