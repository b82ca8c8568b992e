from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.errors import TransportError
from mesh.ports import Incoming, Place
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_cursor import Cursor, Keep, ends_reached
from mesh.transport.kafka_settings import FETCH_WAIT_MS, Address


@pytest.fixture
def cursor(address: Address) -> Iterator[Cursor]:
    cursor = Cursor(address, FETCH_WAIT_MS)
    yield cursor
    cursor.close()


@pytest.fixture
async def filled(log: KafkaLog, topic: str) -> str:
    for number in range(10):
        log.append(Place(topic, 0), b"%d" % number, b"v", (("h", b"x"),))
    assert await log.flush(10)
    return topic


def fetch_until(cursor: Cursor, position: int, keep: Keep | None = None) -> list[Incoming]:
    records: list[Incoming] = []
    for _ in range(200):
        records += cursor.fetch(0.05, keep).records
        if cursor.positions[0] >= position:
            return records
    raise AssertionError(cursor.positions)


def test_positions_move_with_what_is_read_and_with_what_is_dropped(
    cursor: Cursor, filled: str
) -> None:
    cursor.place(filled, {0: 2})
    records = fetch_until(cursor, 10, lambda key: key == b"5")
    assert [(record.offset, record.key, record.headers) for record in records] == [
        (5, b"5", (("h", b"x"),))
    ]
    assert cursor.positions == {0: 10}


def test_bytes_are_counted(cursor: Cursor, filled: str) -> None:
    cursor.place(filled, {0: 0})
    size = 0
    while cursor.positions[0] < 10:
        size += cursor.fetch(0.05).size
    assert size == 20


def test_a_cursor_is_used_again(cursor: Cursor, filled: str) -> None:
    for start in (8, 0, 9):
        cursor.place(filled, {0: start})
        assert len(fetch_until(cursor, 10)) == 10 - start
        cursor.release()
        assert cursor.positions == {}


def test_what_retention_took_is_passed_over(
    cursor: Cursor, filled: str, cluster: EmbeddedBroker
) -> None:
    cluster.delete_records(filled, 0, 6)
    cursor.place(filled, {0: 1})
    assert [record.offset for record in fetch_until(cursor, 10)] == [6, 7, 8, 9]


def test_a_log_that_lost_its_end_is_an_error(cursor: Cursor, filled: str) -> None:
    cursor.place(filled, {0: 99})
    with pytest.raises(TransportError, match="ends at 10, but 99 was read before"):
        fetch_until(cursor, 100)


def test_ends_reached() -> None:
    assert ends_reached({0: 5, 1: 2}, {0: 5})
    assert not ends_reached({0: 5, 1: 2}, {0: 5, 1: 3})
    assert ends_reached({0: 5}, {})
