"""What is not in the contract; all else is in tests/contract."""

from __future__ import annotations

import pytest

from mesh.errors import TransportError
from mesh.ports import Place
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka import KafkaLog


class Nobody:
    async def assigned(self, places: object) -> None: ...
    async def revoked(self, places: object) -> None: ...
    async def lost(self, places: object) -> None: ...


async def test_what_a_log_shows_of_itself(log: KafkaLog, topic: str) -> None:
    assert "open, 0 pending, 0 readers" in repr(log)
    reader = await log.tail(topic, {0: 0})
    assert "1 readers" in repr(log)
    assert repr(reader) == f"<tail of {topic} [0]>"
    await log.close()
    assert "closed" in repr(log)


async def test_a_log_that_is_not_open_does_nothing(cluster: EmbeddedBroker) -> None:
    log = KafkaLog(cluster.bootstrap, embedded=True)
    with pytest.raises(TransportError, match="not open"):
        log.append(Place("t", 0), None, b"")
    with pytest.raises(TransportError, match="not open"):
        await log.tail("t", {0: 0})
    with pytest.raises(TransportError, match="not open"):
        await log.join(["t"], "g", Nobody())
    with pytest.raises(TransportError, match="not open"):
        await log.ends("t")
    await log.close()


async def test_a_log_for_reading_has_no_producer(cluster: EmbeddedBroker, topic: str) -> None:
    log = KafkaLog(cluster.bootstrap, embedded=True, writes=False)
    await log.open()
    assert await log.ends(topic) == {0: (0, 0), 1: (0, 0)}
    assert (log.pending(), log.failure(), log.producer_ids()) == (0, None, 0)
    assert await log.flush(0)
    with pytest.raises(TransportError, match="reading only"):
        log.append(Place(topic, 0), None, b"")
    await log.close()


async def test_the_producer_has_its_id_when_the_log_is_open(log: KafkaLog) -> None:
    assert log.producer_ids() == 1
