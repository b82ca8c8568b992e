from __future__ import annotations

import asyncio

import pytest

from mesh.errors import TransportError, UsageError
from mesh.ports import Incoming
from mesh.transport.inbox import Inbox, batch_of


def record(offset: int, size: int = 1) -> Incoming:
    return Incoming("t", 0, offset, 0, b"", bytes(size), ())


def offsets(records: object) -> list[int]:
    return [one.offset for one in records]  # type: ignore[attr-defined] # an iterable of records


class Freed:
    def __init__(self) -> None:
        self.records = self.size = 0

    def __call__(self, records: int, size: int) -> None:
        self.records += records
        self.size += size


async def test_batches_come_in_order_and_are_freed_when_taken() -> None:
    freed = Freed()
    inbox = Inbox(freed)
    inbox.hand(batch_of([record(0, 10), record(1, 5)]))
    inbox.hand(batch_of([record(2)]))
    assert offsets(await inbox.take()) == [0, 1]
    assert (freed.records, freed.size) == (2, 15)
    assert offsets(await inbox.take(0)) == [2]
    assert await inbox.take(0) == ()


async def test_a_waiting_taker_is_woken() -> None:
    inbox = Inbox(Freed())
    taking = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0)
    inbox.hand(batch_of([record(0)]))
    assert offsets(await taking) == [0]


async def test_one_taker_at_a_time() -> None:
    inbox = Inbox(Freed())
    taking = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0)
    with pytest.raises(UsageError):
        await inbox.take()
    taking.cancel()


async def test_caught_up_when_the_last_batch_was_dealt_with() -> None:
    inbox = Inbox(Freed())
    caught_up = asyncio.ensure_future(inbox.caught_up())
    inbox.hand(batch_of([record(0)])._replace(caught_up=True))
    await inbox.take()
    await asyncio.sleep(0)
    assert not caught_up.done()
    assert await inbox.take(0) == ()
    await caught_up


async def test_an_empty_last_batch_is_dealt_with_at_once() -> None:
    inbox = Inbox(Freed())
    inbox.hand(batch_of([])._replace(caught_up=True))
    assert await inbox.take(0) == ()
    await inbox.caught_up()


async def test_nothing_to_catch_up_needs_no_taker() -> None:
    inbox = Inbox(Freed())
    caught_up = asyncio.ensure_future(inbox.caught_up())
    await asyncio.sleep(0)
    assert not caught_up.done()
    inbox.nothing_to_catch_up()
    await caught_up


async def test_a_finite_one_ends() -> None:
    inbox = Inbox(Freed(), finite=True)
    inbox.hand(batch_of([record(0)]))
    inbox.hand(batch_of([])._replace(caught_up=True))
    assert offsets(await inbox.take()) == [0]
    assert not inbox.ended()
    assert await inbox.take() == ()
    assert inbox.ended()


async def test_a_failure_comes_after_what_is_there_and_stays() -> None:
    inbox = Inbox(Freed())
    inbox.hand(batch_of([record(0)]))
    inbox.fail(TransportError("first"))
    inbox.fail(TransportError("second"))
    assert offsets(await inbox.take()) == [0]
    for _ in range(2):
        with pytest.raises(TransportError, match="first"):
            await inbox.take()
    with pytest.raises(TransportError, match="first"):
        await inbox.caught_up()


async def test_closing_drops_what_is_there() -> None:
    freed = Freed()
    inbox = Inbox(freed)
    inbox.hand(batch_of([record(0, 3)]))
    taking = asyncio.ensure_future(inbox.take())
    inbox.close()
    with pytest.raises(TransportError, match="closed"):
        await taking
    assert (freed.records, freed.size) == (1, 3)
