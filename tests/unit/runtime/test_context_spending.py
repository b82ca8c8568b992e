from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.settings import MAX_BODY_BYTES
from mesh.core.values import Amount, Effect, Status, StepKind
from mesh.errors import (
    BudgetExceeded,
    ScopeError,
    TaskExpired,
    TaskFailed,
    UsageError,
)
from mesh.runtime.artifacts import MemoryArtifacts
from mesh.runtime.bodies import hash_arguments
from mesh.runtime.capability import Capability
from mesh.runtime.context import Context
from mesh.runtime.tools import Priced, ToolFailed, tool
from tests.unit.runtime.contexts import Number, Word, begun, count, raised
from tests.unit.runtime.fake_core import FakeCore

# --- tools and models ----------------------------------------------------------------------------


class Price(BaseModel):
    item: str
    usd: Decimal


def look_up(item: str, *, urgent: bool = False) -> Price:
    return Price(item=item, usd=Decimal("1.50"))


async def order(item: str, *, idempotency_key: str = "") -> Priced[str]:
    return Priced(f"{item} under {idempotency_key[:4]}", usd="0.003", tokens=12)


async def finish(core: FakeCore, step: str = "0") -> FakeCore:
    core.perform(step)
    await core.until(lambda: core.finished is not None)
    return core


async def test_tool_runs_in_a_thread_and_its_result_has_its_type() -> None:
    async def work(ctx: Context) -> object:
        price = await ctx.tool(look_up, "desk", effect="pure")
        assert isinstance(price, Price)
        return price.usd * 2

    core = await begun(work)
    call = core.calls["0"]
    assert call == c.Use(
        step="0",
        kind=StepKind.TOOL,
        name="look_up",
        input_hash=hash_arguments("desk"),
        effect=Effect.PURE,
        reserve=Amount(),
        probe=False,
    )
    assert (await finish(core)).result == b'{"text":"3.00"}'
    (done,) = core.of(c.StepDone)
    assert (done.error, done.spent, done.body.content) == (
        "",
        Amount(),
        b'{"item":"desk","usd":"1.50"}',
    )


async def test_recorded_result_is_handed_over_and_nothing_is_called() -> None:
    async def work(ctx: Context) -> object:
        return (await ctx.tool(look_up, "desk")).usd

    first = await finish(await begun(work))
    replay = await begun(work, journal=first.journal)
    assert replay.result == first.result
    assert replay.of(c.StepDone) == []


async def test_keyed_tool_is_handed_its_key_and_its_price_is_charged() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.tool(order, "desk", effect="keyed", reserve={"usd": "0.01"})

    core = await finish(await begun(work))
    (done,) = core.of(c.StepDone)
    assert done.spent == Amount(micro_usd=3_000, tokens=12)
    assert b"desk under " in core.result
    assert core.result != b'{"text":"desk under "}'


async def test_tool_without_effect_has_that_of_the_capability_or_its_own() -> None:
    @tool(effect="keyed", name="erp.order", reserve={"usd": "0.50"}, probe=look_up)
    async def marked(item: str, *, idempotency_key: str = "") -> str:
        return item

    async def work(ctx: Context) -> object:
        return await asyncio.gather(
            ctx.tool(look_up, "a"),
            ctx.tool(marked, "b"),
            ctx.tool(marked, "b", effect="idempotent", reserve={"usd": "0.1"}),
        )

    core = await begun(work)
    plain, own, given = (core.calls[f"{path}.0"] for path in range(3))
    assert isinstance(plain, c.Use)
    assert isinstance(own, c.Use)
    assert isinstance(given, c.Use)
    assert (plain.effect, plain.probe) == (Effect.IDEMPOTENT, False)
    assert (own.name, own.effect, own.probe) == ("erp.order", Effect.KEYED, True)
    assert (own.reserve, given.reserve) == (Amount(500_000), Amount(100_000))
    assert given.effect is Effect.IDEMPOTENT


async def test_tool_that_raises_raises_the_same_on_a_replay() -> None:
    def broken(item: str) -> str:
        raise ConnectionError(item)

    async def work(ctx: Context) -> object:
        try:
            return await ctx.tool(broken, "no route", reserve={"usd": "0.2"})
        except ToolFailed as problem:
            return problem

    first = await finish(await begun(work))
    (done,) = first.of(c.StepDone)
    assert done.spent == Amount(micro_usd=200_000)
    assert b"broken: ConnectionError: no route (at " in first.result
    assert (await begun(work, journal=first.journal)).result == first.result


async def test_probe_is_asked_like_the_tool() -> None:
    asked: list[tuple[str, str]] = []

    async def find(item: str, *, idempotency_key: str) -> str | None:
        asked.append((item, idempotency_key))
        return None if len(asked) == 1 else "found"

    async def work(ctx: Context) -> object:
        return await ctx.tool(order, "desk", effect="irreversible", probe=find)

    core = await begun(work)
    core.probe("0")
    await core.until(lambda: core.finished is not None)
    assert [own.body for own in core.of(c.Probed)] == [None]
    assert core.result.startswith(b'{"text":"desk under ')
    again = await begun(work)
    again.probe("0")
    await again.until(lambda: again.finished is not None)
    assert again.result == b'{"text":"found"}'
    assert asked[0] == asked[1]


async def test_tools_must_be_in_the_scope() -> None:
    problem = await raised(lambda ctx: ctx.tool(look_up, "desk"), tools=("order",))
    assert isinstance(problem, ScopeError)
    assert "Agent(tools=[...])" in str(problem)


async def test_keyed_tool_must_take_a_key() -> None:
    problem = await raised(lambda ctx: ctx.tool(look_up, "desk", effect="keyed"))
    assert "idempotency_key" in str(problem)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effect": "twice"}, "twice"),
        ({"reserve": {"tool_calls": 1}}, "usd and tokens only"),
        ({"reserve": {"usd": 0.5}}, "not exact"),
    ],
)
async def test_malformed_tool_calls_are_refused(options: dict[str, Any], words: str) -> None:
    problem = await raised(lambda ctx: ctx.tool(look_up, "desk", **options))
    assert words in str(problem)


async def test_model_is_a_call_of_its_own_kind() -> None:
    async def think(prompt: str) -> Priced[str]:
        return Priced(prompt.upper(), usd="0.20", tokens=3)

    async def work(ctx: Context) -> object:
        return await ctx.model(think, "why", reserve={"usd": "0.10", "tokens": 100})

    core = await begun(work)
    call = core.calls["0"]
    assert isinstance(call, c.Use)
    assert (call.kind, call.effect) == (StepKind.MODEL, Effect.IDEMPOTENT)
    await finish(core)
    assert core.result == b'{"text":"WHY"}'
    # above the reservation: the core keeps the books
    assert core.of(c.StepDone)[0].spent == Amount(micro_usd=200_000, tokens=3)


async def test_large_tool_results_go_to_the_artifact_store() -> None:
    def large() -> str:
        return "x" * MAX_BODY_BYTES

    async def work(ctx: Context) -> object:
        return len(await ctx.tool(large))

    core = await finish(await begun(work, artifacts=MemoryArtifacts()))
    assert core.of(c.StepDone)[0].body.content is None
    assert core.result == b'{"text":"%d"}' % MAX_BODY_BYTES


# --- inner ceilings ------------------------------------------------------------------------------


async def test_ceiling_refuses_before_anything_is_done() -> None:
    async def work(ctx: Context) -> object:
        async with ctx.budget(usd="0.50"):
            await ctx.spend(usd="0.30", because="a")
            with pytest.raises(BudgetExceeded, match="asked for 300000, free is 200000"):
                await ctx.spend(usd="0.30", because="b")
            await ctx.spend(usd="0.20", tokens=10**6, because="c")
        await ctx.spend(usd="0.30", because="d")
        return "done"

    core = await begun(work)
    for step in ("0", "2", "3"):
        core.answer(step)
        await core.settle()
    assert core.result == b'{"text":"done"}'


async def test_ceilings_nest_and_hold_for_paths_created_inside() -> None:
    async def work(ctx: Context) -> object:
        async with ctx.budget(usd="1"):
            async with ctx.budget(usd="5", tokens=10):
                done = await asyncio.gather(
                    *(ctx.spend(usd="0.40", tokens=1, because="x") for _ in range(3)),
                    return_exceptions=True,
                )
            with pytest.raises(BudgetExceeded):
                await ctx.spend(usd="0.21", because="x")
        return [type(own).__name__ for own in done]

    core = await begun(work)
    core.answer("0.0")
    core.answer("1.0")
    await core.settle()
    assert core.result == b"{\"text\":\"['NoneType', 'NoneType', 'BudgetExceeded']\"}"


async def test_ceiling_gives_back_what_the_core_refused() -> None:
    async def work(ctx: Context) -> object:
        async with ctx.budget(usd="0.50"):
            with pytest.raises(BudgetExceeded):
                await ctx.spend(usd="0.40", because="a")
            await ctx.spend(usd="0.40", because="b")
        return "done"

    core = await begun(work)
    core.refuse("0", BudgetExceeded("micro_usd", asked=1, free=0))
    await core.settle()
    core.answer("1")
    await core.settle()
    assert core.result == b'{"text":"done"}'


async def test_ceiling_limits_what_is_granted_and_counts_calls() -> None:
    async def work(ctx: Context) -> object:
        ceiling = ctx.budget(usd="1", tool_calls=1)
        async with ceiling:
            await ctx.delegate(count, Word(text="a"))
            await ctx.delegate(count, Word(text="b"), budget={"usd": "0.40"})
            with pytest.raises(BudgetExceeded, match="micro_usd"):
                await ctx.delegate(count, Word(text="c"), budget={"usd": "0.40"})
        with pytest.raises(UsageError):
            async with ceiling:
                pass
        return "done"

    core = await begun(work)
    first = core.calls["0"]
    assert isinstance(first, c.Delegate)
    assert first.grant == Amount(500_000, -1, 0, -1, -1)
    core.answer("0", value=Number(value=1))
    await core.settle()
    core.answer("1", value=Number(value=1))
    await core.settle()
    assert core.result == b'{"text":"done"}'


async def test_ceiling_counts_tool_calls() -> None:
    async def work(ctx: Context) -> object:
        async with ctx.budget(tool_calls=1):
            await ctx.tool(look_up, "a")
            with pytest.raises(BudgetExceeded, match="tool_calls"):
                await ctx.tool(look_up, "b")
        return "done"

    core = await finish(await begun(work))
    assert core.result == b'{"text":"done"}'


# --- racing --------------------------------------------------------------------------------------


def asked(ctx: Context, text: str, capability: Capability[Word, Number] = count) -> Any:
    return ctx.delegate(capability, Word(text=text))


async def test_as_completed_yields_in_log_order() -> None:
    async def work(ctx: Context) -> object:
        race = ctx.as_completed(asked(ctx, "a"), asked(ctx, "b"), asked(ctx, "c"))
        return [own.value async for own in race]

    core = await begun(work)
    for step, value in (("2.0", 3), ("0.0", 1), ("1.0", 2)):
        core.answer(step, value=Number(value=value))
    await core.settle()
    assert core.result == b'{"text":"[3, 1, 2]"}'


async def test_as_completed_raises_in_turn_and_what_is_left_goes_on() -> None:
    async def work(ctx: Context) -> object:
        race = ctx.as_completed(asked(ctx, "a"), asked(ctx, "b"))
        with pytest.raises(TaskFailed):
            await anext(race)
        return (await anext(race)).value

    core = await begun(work)
    core.answer("0.0", status=Status.FAILED)
    core.answer("1.0", value=Number(value=2))
    await core.settle()
    assert core.result == b'{"text":"2"}'


async def test_first_returns_the_first_success_and_withdraws_the_others() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.first(asked(ctx, "a"), asked(ctx, "b"), asked(ctx, "c"))

    core = await begun(work)
    core.answer("1.0", status=Status.FAILED)
    core.answer("2.0", value=Number(value=3))
    await core.settle()
    assert core.withdrawn == ["0.0"]
    core.answer("0.0", status=Status.CANCELLED)
    await core.settle()
    assert core.result == b'{"text":"value=3"}'


async def test_first_raises_the_first_error_when_all_fail() -> None:
    async def work(ctx: Context) -> object:
        with pytest.raises(TaskExpired):
            await ctx.first(asked(ctx, "a"), asked(ctx, "b"))
        with pytest.raises(UsageError):
            await ctx.first()
        return "done"

    core = await begun(work)
    core.answer("1.0", status=Status.EXPIRED)
    core.answer("0.0", status=Status.FAILED)
    await core.settle()
    assert core.result == b'{"text":"done"}'
