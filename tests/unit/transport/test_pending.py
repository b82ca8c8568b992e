from __future__ import annotations

import asyncio

import pytest

from mesh.errors import TransportError
from mesh.transport.kafka_settings import APPEND_BYTES_MAX, APPENDS_MAX, RECORD_BYTES_MAX
from mesh.transport.pending import Pending


async def test_drained_waits_for_the_last() -> None:
    pending = Pending()
    assert await pending.drained(0.0)
    pending.begin("t", 5)
    pending.begin("t", 7)
    waiting = asyncio.ensure_future(pending.drained(5))
    pending.end(5)
    await asyncio.sleep(0)
    assert not waiting.done()
    assert (pending.count, pending.size) == (1, 7)
    pending.end(7)
    assert await waiting
    pending.begin("t", 1)
    assert not await pending.drained(0.001)


def test_bounds_by_count_and_by_bytes() -> None:
    pending = Pending()
    with pytest.raises(TransportError, match="artifact store"):
        pending.begin("t", RECORD_BYTES_MAX + 1)
    while pending.size + RECORD_BYTES_MAX <= APPEND_BYTES_MAX:
        pending.begin("t", RECORD_BYTES_MAX)
    with pytest.raises(TransportError, match="slow down"):
        pending.begin("t", RECORD_BYTES_MAX)
    pending.begin("t", 1)
    many = Pending()
    for _ in range(APPENDS_MAX):
        many.begin("t", 0)
    with pytest.raises(TransportError, match="slow down"):
        many.begin("t", 0)
    assert many.count == APPENDS_MAX
