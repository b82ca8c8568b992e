from __future__ import annotations

import asyncio
import threading
from typing import Any

from mesh.transport.handover import Handover, Room


async def test_items_arrive_in_order_and_are_woken_for_once() -> None:
    got: list[int] = []
    done = asyncio.Event()
    wakes = 0
    loop = asyncio.get_running_loop()
    original = loop.call_soon_threadsafe

    def counted(*given: Any, **options: Any) -> asyncio.Handle:
        nonlocal wakes
        wakes += 1
        return original(*given, **options)

    loop.call_soon_threadsafe = counted  # type: ignore[assignment] # to count

    def receive(item: int) -> None:
        got.append(item)
        if item == 999:
            done.set()

    handover = Handover(loop, receive)
    sent = threading.Event()

    def send() -> None:
        for number in range(1_000):
            handover.put(number)
        handover.flush()
        sent.set()

    threading.Thread(target=send).start()
    await done.wait()
    assert got == list(range(1_000))
    assert wakes == 1


async def test_a_receiver_that_raises_loses_one_item_only() -> None:
    got: list[int] = []
    raised: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))

    def receive(item: int) -> None:
        if item == 1:
            raise ValueError(item)
        got.append(item)

    handover = Handover(loop, receive)
    for number in range(3):
        handover.put(number)
    handover.flush()
    for _ in range(3):
        await asyncio.sleep(0)
    assert got == [0, 2]
    assert [str(one) for one in raised] == ["1"]


def test_a_closed_loop_is_told_to_the_sender() -> None:
    loop = asyncio.new_event_loop()
    handover: Handover[int] = Handover(loop, lambda _: None)
    loop.close()
    assert not handover.send(1)


def test_room_is_bounded_by_records_and_by_bytes() -> None:
    room = Room(records_max=10, bytes_max=100)
    room.add(10, 10)
    assert not room.full()
    room.add(1, 0)
    assert room.full()
    assert not room.wait(0.0)
    room.take(7, 10)
    assert not room.full()
    assert room.wait(0.0)
    room.add(0, 101)
    assert room.full()


def test_whoever_waits_for_room_is_woken_when_half_is_free() -> None:
    room = Room(records_max=10, bytes_max=100)
    room.add(11, 0)
    woken = threading.Event()

    def wait() -> None:
        if room.wait(10):
            woken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    room.take(6, 0)
    waiting.join(5)
    assert woken.is_set()
