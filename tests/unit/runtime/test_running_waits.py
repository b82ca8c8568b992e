from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.messages import Judged
from mesh.core.settings import Settings
from mesh.core.shared import Change
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from mesh.runtime.proposals import Proposals
from mesh.runtime.services import Part
from mesh.testing.clock import ManualClock
from mesh.transport.memory import MemoryBroker, MemoryLog
from tests.unit.runtime.entries import INBOX, ME
from tests.unit.runtime.fake_core import START_MS, FakeCore


class Word(BaseModel):
    text: str


Work = Callable[[Context], Awaitable[str]]


def core_for(work: Work, writes: Sequence[str] = (), **options: Any) -> FakeCore:
    agent = Agent("tester", owner="team", calls=["*"], tools=["*"], writes=writes)

    @agent.capability("test.it", effect="irreversible")
    async def handler(ctx: Context, word: Word) -> Word:
        return Word(text=await work(ctx))

    return FakeCore(agent, handler, Word(text="go"), **options)


def ask(ctx: Context, text: str) -> Any:
    return ctx.delegate("some.thing", Word(text=text), Word)


async def begun(work: Work, **options: Any) -> FakeCore:
    core = core_for(work, **options)
    core.start()
    await core.settle()
    return core


async def test_sleep_is_told_at_once_when_everything_waits() -> None:
    async def work(ctx: Context) -> str:
        await asyncio.gather(ctx.sleep("1h"), ask(ctx, "x"))
        return ""

    core = await begun(work)
    assert [(own.steps, own.since_ms) for own in core.of(c.Waiting)] == [(("0.0", "1.0"), START_MS)]


async def test_sleep_beside_a_path_that_works_is_not_told() -> None:
    async def work(ctx: Context) -> str:
        await asyncio.gather(ctx.sleep("1h"), asyncio.Event().wait())
        return ""

    core = await begun(work)
    core.runner.sweep(START_MS + 100_000)
    assert core.of(c.Waiting) == []


async def test_sleep_beside_an_effect_is_not_told() -> None:
    async def tool() -> None:
        await asyncio.Event().wait()

    async def work(ctx: Context) -> str:
        await asyncio.gather(ctx.tool(tool), ctx.sleep("1h"))
        return ""

    core = core_for(work)
    core.start()
    for _ in range(3):
        await asyncio.sleep(0)
    core.perform("0.0")
    await core.settle()
    told = len(core.of(c.Waiting))
    core.runner.sweep(START_MS)
    assert len(core.of(c.Waiting)) == told


class Silence(Proposals):
    """Mutable: nobody judges; it says whether somebody still waits."""

    def __init__(self) -> None:
        log = MemoryLog(MemoryBroker(lambda: 0))
        clock = ManualClock()
        super().__init__(ME, INBOX, log=log, mesh="demo", partitions=1, clock=clock)
        self.waiting = False

    async def propose(self, change: Change, *, again: bool = False) -> Judged:
        self.waiting = True
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting = False
        raise AssertionError(change)


async def write(ctx: Context) -> str:
    return str((await ctx.shared.write("a/b", 1, expected_version=0)).version)


async def writing() -> tuple[FakeCore, Silence]:
    silence = Silence()
    core = await begun(write, part=Part(silence, None), writes=["a"])
    core.perform("0")
    await core.settle()
    assert silence.waiting
    return core, silence


async def test_a_write_that_nobody_judges_is_a_long_wait() -> None:
    core, _ = await writing()
    core.runner.sweep(START_MS)
    core.runner.sweep(START_MS + 29_999)
    assert core.of(c.Waiting) == []
    core.runner.sweep(START_MS + 30_000)
    assert [own.steps for own in core.of(c.Waiting)] == [("0",)]


@pytest.mark.parametrize("why", ["suspended", "lost"])
async def test_who_is_suspended_while_it_waits_for_a_verdict_is_unwound_at_once(why: str) -> None:
    core, silence = await writing()
    core.stop(why)
    await core.settle()
    assert core.stopped
    assert not silence.waiting
    assert core.of(c.StepDone) == []


async def test_who_is_cancelled_may_still_hear_its_verdict() -> None:
    core, silence = await writing()
    core.stop("cancelled")
    await core.settle()
    assert silence.waiting
    assert not core.stopped
    core.runner.kill()


async def test_long_waits_are_told_by_the_sweep_once_they_have_lasted() -> None:
    async def work(ctx: Context) -> str:
        await asyncio.gather(ask(ctx, "x"), ask(ctx, "y"))
        await ask(ctx, "z")
        return ""

    core = await begun(work, settings=Settings(suspend_after_ms=30_000))
    for seconds in (0, 29, 30):
        core.runner.sweep(START_MS + seconds * 1_000)
    assert [(own.steps, own.since_ms) for own in core.of(c.Waiting)] == [(("0.0", "1.0"), START_MS)]
    core.answer("0.0", value=Word(text="x"))
    core.answer("1.0", value=Word(text="y"))
    await core.settle()
    core.runner.sweep(START_MS + 31_000)
    core.runner.sweep(START_MS + 60_999)
    assert len(core.of(c.Waiting)) == 1
    core.runner.sweep(START_MS + 61_000)
    assert core.of(c.Waiting)[-1].steps == ("0",)
    assert core.of(c.Waiting)[-1].since_ms == START_MS + 31_000


async def test_steps_that_nobody_awaits_are_named_too() -> None:
    """The core compares with all calls that it has not answered."""

    async def work(ctx: Context) -> str:
        await ctx.first(ctx.sleep("1h"), ctx.record_decision("go", because="test"))
        lost = asyncio.create_task(ask(ctx, "lost"))
        await ctx.record_decision("enough", because="test")
        lost.cancel()
        await ctx.sleep("2h")
        return ""

    core = await begun(work)
    core.answer("1.0")
    await core.settle()
    core.answer("0")
    await core.settle()
    assert core.of(c.Waiting)[-1].steps == ("1", "2.0", "0.0")


async def test_plain_handler_never_waits() -> None:
    gate = threading.Event()
    agent = Agent("tester", owner="team")

    @agent.capability("test.plain")
    def plain(word: Word) -> Word:
        gate.wait(10)
        return word

    core = FakeCore(agent, plain, Word(text="x"))
    core.start()
    await core.settle()
    core.runner.sweep(START_MS + 10**9)
    assert core.said == []
    gate.set()
    await core.until(lambda: core.finished is not None)
