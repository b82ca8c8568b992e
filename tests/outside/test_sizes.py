"""Records up to the largest, and thousands that somebody mutated: the partition goes on."""

from __future__ import annotations

import json
import random

import pytest
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core.settings import MAX_BODY_BYTES, MAX_EVENT_BYTES
from mesh.ports import Place
from mesh.runtime.artifacts import MemoryArtifacts
from mesh.wire import topics
from tests.integration.world import LEASE, World, eventually
from tests.outside.clients import record, submit_plainly
from tests.outside.test_plain_client import shop

MUTANTS = 3_000
"""Of the decoder there is a fuzz test of its own; here whole records meet a whole process."""


class Text(BaseModel):
    text: str


class Size(BaseModel):
    size: int


def echo() -> Agent:
    agent = Agent("echo", owner="team", calls=["echo.*"])

    @agent.capability("echo.size", lease=LEASE)
    async def size(ctx: Context, given: Text) -> Size:
        return Size(size=len(given.text))

    @agent.capability("echo.text", lease=LEASE)
    async def text(ctx: Context, given: Size) -> Text:
        return Text(text="x" * given.size)

    @agent.capability("echo.both", lease=LEASE)
    async def both(ctx: Context, given: Size) -> Size:
        made = await ctx.delegate("echo.text", given, Text)
        return await ctx.delegate("echo.size", made, Size)

    return agent


SIZES = [MAX_BODY_BYTES - 100, MAX_BODY_BYTES + 1, 200_000, MAX_EVENT_BYTES - 100]


@pytest.mark.parametrize("stored", [True, False])
async def test_large_inputs_are_served_or_answered(embedded_world: World, stored: bool) -> None:
    world = embedded_world
    await world.run(echo(), artifacts=MemoryArtifacts() if stored else None)
    records = [
        record(json.dumps({"text": "x" * size}).encode(), f"of-{size}", partition=0)
        for size in SIZES
    ]
    records.append(record(b'{"text": "last"}', "last", partition=0))
    ids = [one["headers"][0][1] for one in records]
    answers = await submit_plainly(world, "echo.size", records, ids)
    assert sorted(answers) == sorted(ids)
    assert answers["last"][0]["result"] == {"size": 4}
    for size in SIZES:
        answer = answers[f"of-{size}"][0]
        if stored or size <= MAX_BODY_BYTES:
            assert answer["result"] == {"size": size}, size
        else:
            assert answer["status"] == "rejected"
            assert "artifact store" in answer["error"]


async def test_large_results_are_named_in_the_reply(embedded_world: World) -> None:
    world = embedded_world
    store = MemoryArtifacts()
    await world.run(echo(), artifacts=store)
    for size in (100, *SIZES, 2_000_000):
        submitted = await world.submit("echo.text", Size(size=size))
        await world.reply(submitted)
        said = json.loads(world.replies.records[-1].value or b"")
        if size <= SIZES[0]:
            result = said["result"]
        else:
            assert "result" not in said
            result = json.loads(store.get(bytes.fromhex(said["artifact"]["sha256"])))
        assert result == {"text": "x" * size}, size
        assert (await world.ask("echo.both", Size(size=size))).result == {"size": size}


async def test_thousands_of_mutants(embedded_world: World) -> None:
    world = embedded_world
    await world.run(shop())
    chance = random.Random("mutants")
    seeds = [
        b'{"n": 1, "items": [{"name": "a", "count": 1}]}',
        json.dumps({"n": 2, "items": [{"name": "é" * 20, "count": 2}]}).encode(),
        b"\xc3\x01" + bytes(range(60)),
    ]
    names = [b"ce-id", b"budget", b"timeout-ms", b"correlation-id", b"traceparent", b"x-y"]
    place = Place(topics.tasks(world.mesh, "shop.order"), 0)
    for _ in range(MUTANTS):
        value = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(6)):
            value[chance.randrange(len(value))] = chance.randrange(256)
        cut = chance.randrange(len(value) + 1) if chance.random() < 0.2 else len(value)
        headers = tuple(
            (chance.choice(names).decode(), chance.randbytes(chance.randrange(8)))
            for _ in range(chance.randrange(3))
        )
        world.client.append(place, None, bytes(value[:cut]), headers)
    answer = await world.ask("shop.order", {"n": 5})
    assert answer.result == {"n": 5, "total": 0}
    instance = world.processes[0].instances[0]
    await eventually(lambda: not instance.node.load)
    assert instance.counts["dead_letters"] > MUTANTS // 4
    told = [t for t in world.story.told if t.kind == "TaskOpened"]
    assert len(told) > MUTANTS // 10
