"""A process and what agents have done: it knows it before it is ready, and hears of more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core.standing import UNIT, UNKNOWN, Known, Standing, Tally
from mesh.core.values import Version
from mesh.ports import Place
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from tests.unit.runtime.memory import MESH, World, settle, world
from tests.unit.runtime.test_process import NAME, make_agent, make_process, start

STANDING = topics.standing(MESH)
FIRST = Standing(agent="other", partition=0, since=0, tallies=(Tally(NAME, 7, good=UNIT),))
SECOND = replace(FIRST, tallies=(Tally(NAME, 9, good=UNIT, bad=UNIT), Tally("far.away", 8)))


async def put(own: World, value: bytes | None, key: str = FIRST.agent, partition: int = 0) -> None:
    own.log.append(Place(STANDING, partition), key.encode(), value)
    await settle()


async def test_it_knows_them_before_it_is_ready_and_hears_of_more() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        await put(own, encode_entry(FIRST))
        process = make_process(own, make_agent())
        await start(process)
        (instance,) = process.instances
        standings = instance.node.desk.standings
        assert standings.of("other", NAME) == Known(UNIT, 0, (Version(0, 7),))
        await put(own, encode_entry(SECOND))
        assert standings.of("other", NAME) == Known(UNIT, UNIT, (Version(0, 9),))
        assert standings.of("other", "far.away") == UNKNOWN, "it can award none of these"
        assert len(process.standings.entries) == 1
        await process.close()


@pytest.mark.parametrize(
    ("value", "partition"),
    [
        (encode_entry(replace(SECOND, agent="elsewhere")), 0),
        (encode_entry(SECOND), 1),
        (b"garbage", 0),
        (None, 0),
    ],
)
async def test_what_is_no_entry_of_its_place_changes_nothing(
    value: bytes | None, partition: int
) -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        await put(own, encode_entry(FIRST))
        await put(own, value, partition=partition)
        process = make_process(own, make_agent())
        await start(process)
        assert list(process.standings.entries) == [FIRST]
        await process.close()
