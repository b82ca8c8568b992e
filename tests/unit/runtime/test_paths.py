from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from mesh.runtime.paths import PathFactory, PathTask, install
from tests.unit.runtime.fake_core import FakeCore


class Word(BaseModel):
    text: str


async def steps_of(work: Callable[[Context], Awaitable[object]], restart: int = 0) -> list[str]:
    """The steps of a handler, in the order in which they were called."""
    agent = Agent("tester", owner="team")

    @agent.capability("test.it")
    async def handler(ctx: Context, word: Word) -> Word:
        await work(ctx)
        return word

    core = FakeCore(agent, handler, Word(text=""), restart=restart)
    core.start()
    await core.settle()
    while core.finished is None:
        for step in list(core.pending):
            core.answer(step)
        await core.settle()
    assert core.result
    return list(core.calls)


async def decide(ctx: Context) -> None:
    await ctx.record_decision("x", because="y")


async def test_steps_of_one_path_are_numbered() -> None:
    async def work(ctx: Context) -> None:
        await decide(ctx)
        await decide(ctx)

    assert await steps_of(work) == ["0", "1"]
    assert await steps_of(work, restart=2) == ["r2/0", "r2/1"]


async def test_paths_are_numbered_where_they_are_created() -> None:
    async def inner(ctx: Context) -> None:
        await decide(ctx)
        await asyncio.gather(decide(ctx), decide(ctx))

    async def work(ctx: Context) -> None:
        await decide(ctx)
        async with asyncio.TaskGroup() as group:
            group.create_task(inner(ctx))
            group.create_task(decide(ctx))
        await asyncio.create_task(decide(ctx))
        await decide(ctx)

    assert await steps_of(work) == ["0", "0.0", "1.0", "0.0.0", "0.1.0", "2.0", "1"]


async def test_tasks_outside_of_handlers_are_left_alone() -> None:
    loop = asyncio.get_running_loop()
    made: list[Any] = []

    def before(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **options)
        made.append(task)
        return task

    loop.set_task_factory(before)
    install(loop)
    install(loop)
    factory = loop.get_task_factory()
    assert isinstance(factory, PathFactory)
    task = asyncio.create_task(asyncio.sleep(0))
    assert made == [task]
    await task
    loop.set_task_factory(None)
    install(loop)
    plain = asyncio.create_task(asyncio.sleep(0))
    assert type(plain) is asyncio.Task
    await plain


async def test_tasks_of_a_handler_keep_their_name_and_context() -> None:
    seen: list[object] = []

    async def named(ctx: Context) -> None:
        task = asyncio.current_task()
        assert isinstance(task, PathTask)
        seen.extend((task.get_name(), task.path))
        await decide(ctx)

    async def work(ctx: Context) -> None:
        await asyncio.create_task(named(ctx), name="mine")

    assert await steps_of(work) == ["0.0"]
    assert seen == ["mine", "0."]
