from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.values import Amount, Status
from mesh.errors import BudgetExceeded, TaskCancelled, UsageError
from mesh.runtime import running
from mesh.runtime.agent import Agent
from mesh.runtime.bodies import body
from mesh.runtime.context import Context
from mesh.runtime.running import HandlerInput
from tests.unit.runtime.fake_core import START_MS, TASK, FakeCore


class Word(BaseModel):
    text: str


Work = Callable[[Context], Awaitable[str]]


def core_for(work: Work, **options: Any) -> FakeCore:
    agent = Agent("tester", owner="team", calls=["*"], tools=["*"])

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


# --- answers -------------------------------------------------------------------------------------


async def test_results_are_handed_over_in_log_order_one_at_a_time() -> None:
    seen: list[str] = []

    async def lane(ctx: Context, name: str) -> None:
        for turn in range(2):
            seen.append(f"{name}{turn}")
            await ask(ctx, f"{name}{turn} after {len(seen)}")
            await asyncio.sleep(0)
            seen.append(f"{name}{turn}!")

    async def work(ctx: Context) -> str:
        await asyncio.gather(lane(ctx, "a"), lane(ctx, "b"))
        return " ".join(seen)

    first = await begun(work)
    for step in ("1.0", "0.0", "1.1", "0.1"):
        first.answer(step, value=Word(text="x"))
        await first.settle()
    seen.clear()
    replay = await begun(work, journal=first.journal)
    assert replay.result == first.result
    assert b"a0 b0 b0! b1 a0! a1 b1! a1!" in replay.result


async def test_results_of_one_turn_are_handed_over_in_log_order() -> None:
    seen: list[str] = []

    async def lane(ctx: Context, name: str) -> None:
        seen.append((await ask(ctx, name)).text)

    async def work(ctx: Context) -> str:
        await asyncio.gather(*(lane(ctx, name) for name in "abc"))
        return "".join(seen)

    core = await begun(work)
    results = {
        step: c.Result(
            offset, START_MS, Status.COMPLETED, "", body(b'{"text":"%s"}' % step[:1].encode())
        )
        for step, offset in (("0.0", 30), ("1.0", 10), ("2.0", 20))
    }
    for step, result in results.items():
        core.apply(c.Resolve(TASK, 77, step, result))
    await core.settle()
    assert core.result == b'{"text":"120"}'


@pytest.mark.parametrize("busy", [False, True])
async def test_a_quiet_loop_hands_a_result_over_at_once(
    busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(ctx: Context) -> str:
        await asyncio.gather(ask(ctx, "a"), ask(ctx, "b"))
        return "done"

    first = await begun(work)
    loop = asyncio.get_running_loop()
    looks: list[bool] = []
    handed_over = asyncio.Event()
    pump = running.Running._pump

    def turn() -> None:
        if looks[-1:] != [False]:
            loop.call_soon(turn)

    def counted(own: running.Running) -> None:
        pump(own)
        looks.append(bool(own._held))
        if not own._held:
            handed_over.set()

    monkeypatch.setattr(running.Running, "_pump", counted)
    first.answer("0.0", value=Word(text="x"))
    if busy:
        turn()
    async with asyncio.timeout(60):  # not `wait_for`: its task would be something else to run
        await handed_over.wait()
    assert looks == [*([True] * (running.STILL_TURNS - 1 if busy else 0)), False]


async def test_refusal_is_raised_in_the_step() -> None:
    async def work(ctx: Context) -> str:
        with pytest.raises(BudgetExceeded, match="micro_usd"):
            await ctx.spend(usd=100, because="too much")
        return "went on"

    core = await begun(work)
    core.refuse("0", BudgetExceeded("micro_usd", asked=100, free=1))
    await core.settle()
    assert core.result == b'{"text":"went on"}'


async def test_refusal_of_a_path_among_others() -> None:
    async def work(ctx: Context) -> str:
        done = await asyncio.gather(
            ctx.spend(usd=100, because="too much"), ask(ctx, "x"), return_exceptions=True
        )
        return " ".join(type(own).__name__ for own in done)

    core = await begun(work)
    core.answer("1.0", value=Word(text="x"))
    core.refuse("0.0", BudgetExceeded("micro_usd", asked=100, free=1))
    await core.settle()
    assert core.result == b'{"text":"BudgetExceeded Word"}'


async def test_an_answer_for_a_path_that_was_just_cancelled_is_dropped() -> None:
    async def work(ctx: Context) -> str:
        task = asyncio.create_task(ask(ctx, "x"))
        await ctx.spend(usd="0.01", because="x")
        task.cancel()
        core.answer("0.0", value=Word(text="late"))
        await asyncio.wait([task])
        return str(task.cancelled())

    core = core_for(work)
    core.start()
    await core.settle()
    core.answer("0")
    await core.settle()
    assert core.result == b'{"text":"True"}'
    assert core.withdrawn == []


async def test_context_is_refused_outside_of_its_handler() -> None:
    kept: list[Context] = []
    problems: list[str] = []

    async def tool() -> None:
        with pytest.raises(UsageError) as problem:
            await kept[0].spend(usd="0.01", because="from a tool")
        problems.append(str(problem.value))

    async def work(ctx: Context) -> str:
        kept.append(ctx)
        await ctx.tool(tool)
        return "done"

    core = await begun(work)
    core.perform("0")
    await core.settle()
    assert core.result
    await tool()
    assert len(problems) == 2
    assert "by its own handler only" in problems[0]


async def test_tasks_of_the_driver_are_no_paths() -> None:
    """What the driver does when a handler speaks to it runs in the handler's own task."""
    made: list[asyncio.Task[None]] = []

    async def nothing() -> None:
        await asyncio.sleep(0)

    async def work(ctx: Context) -> str:
        await ctx.spend(usd="0.01", because="x")
        await asyncio.gather(ask(ctx, "x"))
        return "done"

    core = core_for(work)
    hear = core.runner.send

    def driver(message: HandlerInput) -> None:
        made.append(asyncio.create_task(nothing()))
        hear(message)

    core.runner.send = driver
    core.start()
    await core.settle()
    core.answer("0")
    await core.settle()
    core.answer("0.0", value=Word(text="x"))
    await core.settle()
    assert core.result
    assert len(made) == 3
    assert {type(task) for task in made} == {asyncio.Task}


async def test_handlers_inherit_no_context_variable_of_whoever_caused_them() -> None:
    inner: list[FakeCore] = []

    async def spend(ctx: Context) -> str:
        await ctx.spend(usd="0.40", because="x")
        return "done"

    async def work(ctx: Context) -> str:
        async with ctx.budget(usd="0.10"):
            inner[0].start()
            await ctx.record_decision("x", because="y")
        return "done"

    inner.append(core_for(spend))
    core = await begun(work)
    core.answer("0")
    inner[0].answer("0")
    await core.settle()
    assert inner[0].result == core.result == b'{"text":"done"}'


# --- cancelled paths -----------------------------------------------------------------------------


async def test_cancelled_delegation_is_withdrawn_and_awaited_before_the_end() -> None:
    async def work(ctx: Context) -> str:
        task = asyncio.create_task(ask(ctx, "x"))
        await ctx.record_decision("enough", because="test")
        task.cancel()
        return "done"

    core = await begun(work)
    core.answer("0")
    await core.settle()
    assert core.withdrawn == ["0.0"]
    assert core.finished is None
    core.answer("0.0", status=Status.CANCELLED)
    await core.settle()
    assert core.result == b'{"text":"done"}'


async def test_delegation_that_was_left_over_is_withdrawn() -> None:
    async def work(ctx: Context) -> str:
        leftover.append(asyncio.create_task(ask(ctx, "x")))
        await ctx.record_decision("enough", because="test")
        raise ValueError("no more")

    leftover: list[asyncio.Task[Any]] = []
    core = await begun(work)
    core.answer("0")
    await core.settle()
    assert core.withdrawn == ["0.0"]
    core.answer("0.0", value=Word(text="too late"))
    await core.settle()
    assert "no more" in core.error
    assert leftover[0].cancelled()


async def test_leftover_path_journals_nothing_while_the_handler_closes() -> None:
    async def loser(ctx: Context) -> None:
        try:
            await ask(ctx, "x")
        finally:
            await ctx.spend(usd="0.01", because="in a finally")

    async def work(ctx: Context) -> str:
        leftover.append(asyncio.create_task(loser(ctx)))
        await ctx.record_decision("enough", because="test")
        return "done"

    leftover: list[asyncio.Task[None]] = []
    core = await begun(work)
    core.answer("0")
    await core.settle()
    core.answer("0.0", status=Status.CANCELLED)
    await core.settle()
    assert sorted(core.calls) == ["0", "0.0"]
    assert core.result == b'{"text":"done"}'


async def test_leftover_path_that_goes_on_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "UNWIND_LIMIT_S", 0.01)
    gate = asyncio.Event()

    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    async def work(ctx: Context) -> str:
        leftover.append(asyncio.create_task(stubborn()))
        await ctx.record_decision("enough", because="test")
        return "done"

    leftover: list[asyncio.Task[None]] = []
    core = await begun(work)
    core.answer("0")
    await core.until(lambda: core.finished is not None)
    assert core.runner.abandoned == 1
    assert core.result == b'{"text":"done"}'
    gate.set()
    await core.settle()


async def test_stop_while_closing_ends_without_a_result() -> None:
    async def work(ctx: Context) -> str:
        leftover.append(asyncio.create_task(ask(ctx, "x")))
        await ctx.record_decision("enough", because="test")
        return "done"

    leftover: list[asyncio.Task[Any]] = []
    core = await begun(work)
    core.answer("0")
    await core.settle()
    core.stop("cancelled")
    await core.settle()
    assert core.stopped
    assert core.finished is None


async def test_cancelled_child_raises_in_its_step() -> None:
    async def work(ctx: Context) -> str:
        try:
            await ask(ctx, "x")
        except TaskCancelled as problem:
            return f"{problem.task == core.child('0')} {problem.reason}"
        return ""

    core = core_for(work)
    core.start()
    await core.settle()
    core.answer("0", status=Status.CANCELLED)
    await core.settle()
    assert core.result == b'{"text":"True some.thing: "}'


# --- effects -------------------------------------------------------------------------------------


async def test_tasks_of_a_tool_have_no_path() -> None:
    async def one(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def tool() -> int:
        return sum(await asyncio.gather(one(1), one(2)))

    async def work(ctx: Context) -> str:
        found = await ctx.tool(tool)
        await asyncio.gather(ask(ctx, "x"), ask(ctx, "y"))
        return str(found)

    core = await begun(work)
    core.perform("0")
    await core.settle()
    assert sorted(core.calls) == ["0", "0.0", "1.0"]


async def test_stop_lets_an_effect_end_and_records_it() -> None:
    gate = asyncio.Event()

    async def tool() -> str:
        await gate.wait()
        return "sent"

    async def work(ctx: Context) -> str:
        return await ctx.tool(tool)

    core = await begun(work)
    core.perform("0")
    await core.settle()
    core.stop("suspended")
    await core.settle()
    assert not core.stopped
    gate.set()
    await core.settle()
    assert core.stopped
    assert [done.body.content for done in core.of(c.StepDone)] == [b'"sent"']


async def test_effect_that_does_not_end_is_left_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "UNWIND_LIMIT_S", 0.01)

    async def tool() -> None:
        await asyncio.Event().wait()

    async def work(ctx: Context) -> str:
        await ctx.tool(tool)
        return ""

    core = await begun(work)
    core.perform("0")
    await core.settle()
    core.stop("cancelled")
    await core.until(lambda: core.stopped)
    await core.settle()
    assert core.of(c.StepDone) == []


async def test_lost_authority_ends_effects_at_once() -> None:
    async def tool() -> None:
        await asyncio.Event().wait()

    async def work(ctx: Context) -> str:
        await ctx.tool(tool)
        return ""

    core = await begun(work)
    core.perform("0")
    await core.settle()
    core.stop("lost")
    await core.settle()
    assert core.stopped
    assert core.of(c.StepDone) == []


async def test_effect_of_a_path_that_lost_a_race_is_charged_in_full() -> None:
    async def tool() -> str:
        await asyncio.Event().wait()
        return ""

    async def work(ctx: Context) -> str:
        won: object = await ctx.first(
            ctx.tool(tool, reserve={"usd": "0.25"}),
            ctx.delegate("a.b", Word(text=""), Word),
            _never(),
        )
        return str(won)

    async def _never() -> Any:
        await asyncio.Event().wait()

    core = await begun(work)
    core.perform("0.0")
    await core.settle()
    core.answer("1.0", value=Word(text="won"))
    await core.settle()
    done = core.of(c.StepDone)
    assert [(own.error, own.spent) for own in done] == [
        ("cancelled, and its outcome is unknown", Amount(micro_usd=250_000))
    ]
    assert core.finished is not None


async def test_sync_effect_of_a_lost_race_is_awaited_and_recorded() -> None:
    gate = threading.Event()

    def tool() -> str:
        gate.wait(10)
        return "sent"

    async def work(ctx: Context) -> str:
        task = asyncio.create_task(ctx.tool(tool))
        await ctx.record_decision("enough", because="test")
        task.cancel()
        return "done"

    core = await begun(work)
    core.perform("0.0")
    core.answer("0")
    await core.settle()
    assert core.finished is None
    gate.set()
    await core.until(lambda: core.finished is not None)
    assert [done.body.content for done in core.of(c.StepDone)] == [b'"sent"']


async def test_effect_is_not_begun_for_a_path_that_is_gone() -> None:
    called: list[int] = []

    async def tool() -> None:
        called.append(1)

    async def work(ctx: Context) -> str:
        task = asyncio.create_task(ctx.tool(tool, probe=tool, effect="irreversible"))
        await ctx.record_decision("enough", because="test")
        task.cancel()
        await asyncio.wait([task])
        await ctx.record_decision("go on", because="test")
        return "done"

    core = await begun(work)
    core.answer("0")
    await core.settle()
    core.perform("0.0")
    core.answer("1")
    await core.settle()
    assert [own.error for own in core.of(c.StepDone)] == ["cancelled before it began"]
    assert core.result
    assert called == []


# --- reviews -------------------------------------------------------------------------------------


async def test_check_is_asked_and_its_reason_told() -> None:
    def check(word: Word) -> str | None:
        return None if word.text == "good" else f"{word.text} is not good"

    async def work(ctx: Context) -> str:
        return (await ctx.delegate("a.b", Word(text=""), Word, check=check)).text

    core = await begun(work)
    for content in (b'{"text":"bad"}', b'{"text":7}', b'{"text":"good"}'):
        core.review("0", body(content))
        await core.settle()
    bad, wrong, good = core.of(c.Reviewed)
    assert (bad.child, bad.child_award, bad.refusal) == (core.child("0"), 9, "bad is not good")
    assert "is no Word: /text" in wrong.refusal
    assert good.refusal == ""
    core.answer("0", value=Word(text="good"))
    await core.settle()
    assert core.result == b'{"text":"good"}'


async def test_check_that_raises_raises_in_the_handler_and_withdraws() -> None:
    def check(word: Word) -> str | None:
        raise KeyError(word.text)

    async def work(ctx: Context) -> str:
        with pytest.raises(KeyError):
            await ctx.delegate("a.b", Word(text=""), Word, check=check)
        return "went on"

    core = await begun(work)
    core.review("0", body(b'{"text":"x"}'))
    await core.settle()
    assert core.withdrawn == ["0"]
    core.answer("0", status=Status.CANCELLED)
    await core.settle()
    assert core.result == b'{"text":"went on"}'


async def test_review_of_a_withdrawn_delegation_is_not_answered() -> None:
    async def work(ctx: Context) -> str:
        task = asyncio.create_task(ctx.delegate("a.b", Word(text=""), Word, check=lambda _: None))
        await ctx.record_decision("enough", because="test")
        task.cancel()
        return "done"

    core = await begun(work)
    core.answer("0")
    await core.settle()
    core.review("0.0", body(b'{"text":"x"}'))
    await core.settle()
    assert core.of(c.Reviewed) == []
    core.answer("0.0", status=Status.CANCELLED)
    await core.settle()
    assert core.result
