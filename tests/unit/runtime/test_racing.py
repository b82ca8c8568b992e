from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from mesh.core.values import Status
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from tests.unit.runtime.fake_core import FakeCore


class Word(BaseModel):
    text: str


def core_for(work: Any) -> FakeCore:
    agent = Agent("tester", owner="team", calls=["*"])

    @agent.capability("test.it")
    async def handler(ctx: Context, word: Word) -> Word:
        return Word(text=str(await work(ctx)))

    return FakeCore(agent, handler, Word(text=""))


async def test_race_that_is_cancelled_withdraws_all() -> None:
    async def lane(ctx: Context) -> str:
        told = await ctx.first(
            ctx.delegate("a.b", Word(text="1"), Word), ctx.delegate("a.b", Word(text="2"), Word)
        )
        return told.text

    async def work(ctx: Context) -> str:
        task = asyncio.create_task(lane(ctx))
        await ctx.record_decision("enough", because="test")
        task.cancel()
        await asyncio.wait([task])
        await ctx.record_decision("go on", because="test")
        return str(task.cancelled())

    core = core_for(work)
    core.start()
    await core.settle()
    core.answer("0")
    await core.settle()
    assert core.withdrawn == ["0.0.0", "0.1.0"]
    core.answer("1")
    for step in core.withdrawn:
        core.answer(step, status=Status.CANCELLED)
    await core.settle()
    assert core.result == b'{"text":"True"}'


async def test_losers_of_a_race_end_before_it_returns() -> None:
    seen: list[str] = []

    async def loser(ctx: Context) -> str:
        try:
            await ctx.sleep("1h")
        finally:
            await ctx.record_decision("clean up", because="lost")
            seen.append("cleaned")
        return "slept"

    async def work(ctx: Context) -> str:
        won = await ctx.first(loser(ctx), ctx.delegate("a.b", Word(text="1"), Word))
        return f"{won} {seen}"

    core = core_for(work)
    core.start()
    await core.settle()
    core.answer("1.0", value=Word(text="won"))
    await core.settle()
    assert core.finished is None
    core.answer("0.1")
    await core.settle()
    assert core.result == b"{\"text\":\"text='won' ['cleaned']\"}"
