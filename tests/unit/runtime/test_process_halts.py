"""A process and the halts: it knows them before it is ready, and heals what stands last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core.halts import HaltOrder
from mesh.ports import Place
from mesh.wire import topics
from mesh.wire.entries import decode_halt, encode_entry
from tests.unit.runtime.memory import MESH, World, settle, world
from tests.unit.runtime.test_process import NAME, make_agent, make_process, start

CONTROL = topics.control(MESH)
FIRST = HaltOrder(
    target="agent/tester",
    halted=True,
    number=1,
    person="eve",
    detector="",
    because="it is odd",
    incident="",
)
SECOND = replace(FIRST, halted=False, number=2, because="it is not")


async def put(own: World, value: bytes | None, key: str = FIRST.target) -> None:
    own.log.append(Place(CONTROL, 0), key.encode(), value)
    await settle()


async def test_it_knows_what_is_halted_before_it_is_ready_and_hears_of_more() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        await put(own, encode_entry(FIRST))
        process = make_process(own, make_agent())
        await start(process)
        (instance,) = process.instances
        assert instance.node.desk.halts.in_force(FIRST.target) == FIRST
        await put(own, encode_entry(SECOND))
        assert instance.node.desk.halts.in_force(FIRST.target) is None
        assert len(await own.read(CONTROL)) == 2
        await process.close()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (encode_entry(FIRST), FIRST.target),
        (encode_entry(replace(FIRST, target="agent/other")), FIRST.target),
        (b"garbage", FIRST.target),
        (None, FIRST.target),
    ],
)
async def test_what_changes_nothing_does_not_stand_last(value: bytes | None, key: str) -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        processes = [make_process(own, make_agent(), name=name) for name in "pqr"]
        for process in processes:
            await start(process)
        await put(own, encode_entry(FIRST))
        await put(own, encode_entry(SECOND))
        await put(own, value, key)
        *_, last = await own.read(CONTROL)
        assert decode_halt(last.value) == SECOND
        assert len(await own.read(CONTROL)) == 4, "one of them writes it, once"
        for process in processes:
            await process.close()


async def test_what_a_newer_release_may_have_written_is_left_where_it_is() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        process = make_process(own, make_agent())
        await start(process)
        await put(own, encode_entry(FIRST))
        await put(own, b"\xc3\x01" + bytes(20))
        assert len(await own.read(CONTROL)) == 2
        assert process.halts.in_force(FIRST.target) == FIRST
        await process.close()
