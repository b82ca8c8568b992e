from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.settings import MAX_REASON, MAX_STEPS, Settings
from mesh.core.values import Outcome
from mesh.errors import InputRejected
from mesh.runtime import running
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from tests.unit.runtime.fake_core import FakeCore


class Need(BaseModel):
    item: str
    qty: int


class Quote(BaseModel):
    supplier: str
    total: Decimal


NEED = Need(item="desk", qty=10)
Handler = Callable[[Context, Need], Any]


def core_for(
    handler: Callable[..., Any], value: BaseModel | bytes = NEED, **options: Any
) -> FakeCore:
    agent = Agent("tester", owner="team", calls=["*"], tools=["*"])
    offered = agent.capability("test.it")(handler)
    return FakeCore(agent, offered, value, **options)


async def finish(core: FakeCore) -> c.HandlerFinished:
    core.start()
    await core.settle()
    assert core.finished is not None
    return core.finished


async def test_result_is_encoded_and_hashed() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        return Quote(supplier="ACME", total=need.qty * Decimal("4.20"))

    core = core_for(handler)
    done = await finish(core)
    assert core.result == b'{"supplier":"ACME","total":"42.00"}'
    assert (done.task, done.award, done.error, done.field) == (core.work.task, 77, "", "")
    assert (done.confidence_permille, done.sources) == (1_000, ())
    assert len(core.runner) == 0


async def test_rating_travels_with_the_result() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        ctx.rate(confidence=0.25, sources=["a guess"])
        return Quote(supplier="ACME", total=Decimal(1))

    done = await finish(core_for(handler))
    assert (done.confidence_permille, done.sources) == (250, ("a guess",))


@pytest.mark.parametrize(
    ("content", "field"),
    [(b'{"item":"desk","qty":"many"}', "/qty"), (b"[1]", ""), (b"\xff", ""), (b"", "")],
)
async def test_input_that_does_not_fit_is_rejected_with_its_field(
    content: bytes, field: str
) -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        raise AssertionError(need)

    done = await finish(core_for(handler, content))
    assert (done.outcome, done.field) == (Outcome.REJECTED, field)
    assert done.error


async def test_handler_may_reject_its_input_itself() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        raise InputRejected("nobody needs so many", field="/qty")

    done = await finish(core_for(handler))
    assert done.outcome is Outcome.REJECTED
    assert (done.error, done.field) == ("nobody needs so many", "/qty")


async def test_wrong_type_is_a_failure() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        return {"supplier": "ACME"}  # type: ignore[return-value]  # what the test is about

    core = core_for(handler)
    await finish(core)
    assert core.error == "the handler returned dict, not Quote"


async def test_result_that_was_made_wrong_is_a_failure() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        return Quote.model_construct(supplier=7, total="much")

    core = core_for(handler)
    await finish(core)
    assert "PydanticSerializationError" in core.error


async def test_exception_is_told_with_its_place_and_bounded() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        raise ValueError("x" * 5_000)

    core = core_for(handler)
    await finish(core)
    assert core.error.startswith("ValueError: xxx")
    assert len(core.error) == MAX_REASON


async def test_recursion_exit_and_group_are_failures() -> None:
    async def recurse(ctx: Context, need: Need) -> Quote:
        return await recurse(ctx, need)

    async def leave(ctx: Context, need: Need) -> Quote:
        raise SystemExit(3)

    async def group(ctx: Context, need: Need) -> Quote:
        raise BaseExceptionGroup("both", [ValueError("one"), SystemExit(2)])

    async def cancel(ctx: Context, need: Need) -> Quote:
        raise asyncio.CancelledError

    wanted = ("RecursionError", "SystemExit: 3", "ValueError: one; SystemExit: 2", "from within")
    for handler, word in zip((recurse, leave, group, cancel), wanted, strict=True):
        core = core_for(handler)
        await finish(core)
        assert word in core.error, handler


async def test_too_many_steps_end_in_failure() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        while True:
            await ctx.spend(usd="0.01", because="on and on")

    core = core_for(handler)
    core.start()
    while core.finished is None:
        for step in list(core.pending):
            core.answer(step)
        await asyncio.sleep(0)
    assert f"{MAX_STEPS} steps" in core.error
    assert len(core.calls) == MAX_STEPS


# --- plain handlers ------------------------------------------------------------------------------


async def test_plain_handler_runs_in_a_thread() -> None:
    def handler(need: Need) -> Quote:
        return Quote(supplier=threading.current_thread().name, total=Decimal(need.qty))

    core = core_for(handler)
    core.start()
    await core.until(lambda: core.finished is not None)
    assert b'"supplier":"mesh-tester-1"' in core.result


async def test_plain_handlers_never_hold_the_loop_and_are_bounded() -> None:
    gate = threading.Event()

    def handler(need: Need) -> Quote:
        gate.wait(10)
        return Quote(supplier="late", total=Decimal(1))

    core = core_for(handler, settings=Settings(slots=2))
    for award in range(4):
        core.runner.apply(c.Start(core.work._replace(award=award)))
    await core.settle()
    assert len(core.runner) == 4
    core.runner.send = core.said.append
    gate.set()
    await core.until(lambda: len(core.of(c.HandlerFinished)) == 4)


async def test_plain_handler_holds_its_slot_until_it_returns() -> None:
    gate = threading.Event()

    def handler(need: Need) -> Quote:
        gate.wait(10)
        return Quote(supplier="late", total=Decimal(1))

    core = core_for(handler)
    core.start()
    await core.settle()
    core.stop("cancelled")
    await core.settle()
    assert not core.stopped
    gate.set()
    await core.until(lambda: core.stopped)
    assert core.finished is None


async def test_plain_handler_that_raises() -> None:
    def handler(need: Need) -> Quote:
        raise StopIteration

    core = core_for(handler)
    core.start()
    await core.until(lambda: core.finished is not None)
    assert "StopIteration" in core.error


# --- stopping ------------------------------------------------------------------------------------


async def test_stop_unwinds_and_journals_nothing_more() -> None:
    seen: list[str] = []

    async def handler(ctx: Context, need: Need) -> Quote:
        try:
            await ctx.sleep("1h")
        finally:
            try:
                await ctx.record_decision("clean up", because="unwound")
            except asyncio.CancelledError:
                seen.append("refused")
                raise
        raise AssertionError

    core = core_for(handler)
    core.start()
    await core.settle()
    core.stop("suspended")
    await core.settle()
    assert core.stopped
    assert seen == ["refused"]
    assert list(core.calls) == ["0"]


async def test_answers_after_stop_change_nothing() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        await ctx.spend(usd="1", because="x")
        raise AssertionError

    core = core_for(handler)
    core.start()
    await core.settle()
    core.stop("lost")
    core.answer("0")
    await core.settle()
    assert core.stopped
    core.answer("0")
    await core.settle()
    assert core.finished is None


async def test_stop_of_what_is_not_running_is_answered() -> None:
    async def handler(ctx: Context, need: Need) -> Quote:
        return Quote(supplier="", total=Decimal(0))

    core = core_for(handler)
    core.stop("cancelled")
    await core.settle()
    assert core.stopped


async def test_handler_that_goes_on_is_abandoned_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "UNWIND_LIMIT_S", 0.01)
    gate = asyncio.Event()
    after: list[str] = []

    async def handler(ctx: Context, need: Need) -> Quote:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        try:
            await ctx.spend(usd="1", because="never")
        except asyncio.CancelledError:
            after.append("refused")
            raise
        raise AssertionError

    core = core_for(handler)
    core.start()
    await core.settle()
    core.stop("cancelled")
    await core.until(lambda: core.stopped)
    assert core.runner.abandoned == 1
    gate.set()
    await core.settle()
    assert after == ["refused"]
    assert core.calls == {}


async def test_close_stops_all_and_counts_who_went_on() -> None:
    gate = threading.Event()

    async def handler(ctx: Context, need: Need) -> Quote:
        await ctx.sleep("1h")
        raise AssertionError

    def plain(need: Need) -> Quote:
        gate.wait(10)
        return Quote(supplier="late", total=Decimal(1))

    core = core_for(handler)
    core.start()
    await core.settle()
    assert await core.runner.close(1.0) == 0
    assert core.stopped
    other = core_for(plain)
    other.start()
    await other.settle()
    assert await other.runner.close(0.0) == 1
    gate.set()
    await other.until(lambda: other.stopped)
