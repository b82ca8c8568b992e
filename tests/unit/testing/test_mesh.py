from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import pytest
from pydantic import BaseModel

from mesh import Agent, Bid, Context, Decline, InputRejected
from mesh.core.settings import MAX_BODY_BYTES, Settings
from mesh.core.values import Status
from mesh.errors import (
    BudgetExceeded,
    ScopeError,
    TaskExpired,
    TaskFailed,
    TaskRejected,
    UsageError,
)
from mesh.testing import MemoryMesh


class Need(BaseModel):
    item: str
    qty: int


class Quote(BaseModel):
    supplier: str
    total: Decimal


class Verdict(BaseModel):
    good: bool
    words: str = ""


NEED = Need(item="desk", qty=10)

agent = Agent("sourcing", owner="team", calls=["*"], tools=["*"])
rival = Agent("rival", owner="team")


@agent.capability("procurement.quote")
async def quote(ctx: Context, need: Need) -> Quote:
    await ctx.spend(usd="0.02", because="price list look-up")
    return Quote(supplier="ACME", total=need.qty * Decimal("4.20"))


@quote.bid
def bid(need: Need) -> Bid | Decline:
    return (
        Bid(price_usd="0.05", eta_s=2, confidence=0.9) if need.qty < 100 else Decline(because="x")
    )


@rival.capability("procurement.quote")
def cheaper(need: Need) -> Quote:
    return Quote(supplier="Rival", total=need.qty * Decimal(4))


@cheaper.bid
def cheaper_bid(need: Need) -> Bid:
    return Bid(price_usd="0.01", eta_s=1, confidence=0.9)


@agent.capability("procurement.screen")
async def screen(ctx: Context, need: Need) -> Verdict:
    found = await ctx.delegate("risk.screen", need, Verdict, check=accept)
    return Verdict(good=found.good, words=f"{found.words} after {ctx.attempt.number}")


def accept(verdict: Verdict) -> str | None:
    return None if verdict.words else "no words"


@agent.capability("procurement.sleep")
async def sleep(ctx: Context, need: Need) -> Verdict:
    before = ctx.now()
    await ctx.sleep("2h")
    return Verdict(good=True, words=f"{(ctx.now() - before).total_seconds() // 60:.0f} minutes")


@agent.capability("procurement.ask")
async def ask(ctx: Context, need: Need) -> Quote:
    quotes = await asyncio.gather(
        *(ctx.delegate("procurement.quote", need, Quote, mode="auction") for _ in range(3))
    )
    return min(quotes, key=lambda own: own.total)


async def test_the_example_of_the_guide() -> None:
    async with MemoryMesh(agent) as mesh:
        result = await mesh.submit(quote, NEED)
        assert result.value == Quote(supplier="ACME", total=Decimal("42.00"))
        assert mesh.kinds(result.workflow) == [
            "TaskOpened",
            "SpendReserved",
            "SpendSettled",
            "WorkFinished",
        ]
        assert mesh.violations() == []
        assert mesh.instances == ["sourcing.1"]


async def test_a_plain_handler_and_time_that_stands_still_for_it() -> None:
    gate = threading.Event()
    slow = Agent("slow", owner="team")

    @slow.capability("slow.work")
    def work(need: Need) -> Need:
        gate.wait(10)
        return need

    async with MemoryMesh(slow) as mesh:
        before = mesh.clock.now_ms()
        asyncio.get_running_loop().call_later(0.02, gate.set)
        assert (await mesh.submit(work, NEED)).value == NEED
        assert mesh.clock.now_ms() == before


async def test_an_auction_between_two_agents() -> None:
    async with MemoryMesh(agent, rival) as mesh:
        result = await mesh.submit(ask, NEED)
        assert result.value.supplier == "Rival"
        assert "BidsCalled" in mesh.kinds(result.workflow)
        assert mesh.violations() == []


async def test_a_script_stands_in_and_a_result_is_sent_back_with_its_reason() -> None:
    async with MemoryMesh(agent) as mesh:
        asked = mesh.script("risk.screen", Verdict(good=True), Verdict(good=True, words="fine"))
        result = await mesh.submit(screen, NEED)
        assert result.value.words == "fine after 1"
        assert asked == [{"item": "desk", "qty": 10}] * 2
        assert "ResultRejected" in mesh.kinds(result.workflow)


async def test_scripts_may_raise_and_compute() -> None:
    def compute(given: dict[str, int]) -> Verdict:
        return Verdict(good=given["qty"] > 5, words="computed")

    async with MemoryMesh(agent) as mesh:
        mesh.script("risk.screen", ValueError("down"), compute)
        result = await mesh.submit(screen, NEED)
        assert result.value == Verdict(good=True, words="computed after 1")
        kinds = mesh.kinds(result.workflow)
        assert kinds.count("WorkFinished") == 3


async def test_what_failed_is_tried_again_and_what_was_done_is_not() -> None:
    worker = Agent("worker", owner="team", tools=["*"])
    calls: list[str] = []

    def look_up(item: str) -> str:
        calls.append(f"look up {item}")
        return "4.20"

    def ask(item: str, idempotency_key: str = "") -> str:
        calls.append(f"ask {item} {idempotency_key}")
        if len(calls) < 4:
            raise ConnectionError("no answer")
        return "fine"

    @worker.capability("risk.screen")
    async def screening(ctx: Context, need: Need) -> Verdict:
        await ctx.tool(look_up, need.item, effect="pure")
        said = await ctx.tool(ask, need.item, effect="keyed")
        return Verdict(good=True, words=f"{said} at attempt {ctx.attempt.number}")

    async with MemoryMesh(worker) as mesh:
        result = await mesh.submit(screening, NEED)
        assert result.value.words == "fine at attempt 3"
        assert mesh.violations() == []
    looked, *asked = calls
    assert looked == "look up desk"
    assert len(asked) == 3
    assert len(set(asked)) == 1, "under one key"


async def test_time_is_moved_by_hand_and_a_sleeper_gives_up_its_slot() -> None:
    async with MemoryMesh(agent) as mesh:
        began = await mesh.begin(sleep, NEED, timeout="3h")
        await mesh.advance("1h59m")
        assert began.result() is None
        assert "WorkSuspended" in mesh.kinds(began.workflow)
        await mesh.advance("2m")
        result = began.result()
        assert result is not None
        assert result.value.words == "120 minutes"
        assert (await mesh.submit(sleep, NEED, timeout="3h")).value.words == "120 minutes"


async def test_other_ends_are_told_and_raised() -> None:
    failing = Agent("failing", owner="team", calls=["procurement.quote"])

    @failing.capability("failing.raise", max_attempts=2)
    async def raise_(ctx: Context, need: Need) -> Need:
        raise ValueError(f"attempt {ctx.attempt.number} {bool(ctx.attempt.reason)}")

    @failing.capability("failing.reject")
    async def reject(ctx: Context, need: Need) -> Need:
        raise InputRejected("nobody needs it", field="/item")

    @failing.capability("failing.scope")
    async def scope(ctx: Context, need: Need) -> Need:
        with pytest.raises(ScopeError):
            await ctx.delegate("some.thing", need, Need)
        return need

    @failing.capability("failing.budget")
    async def spend(ctx: Context, need: Need) -> Need:
        with pytest.raises(BudgetExceeded):
            await ctx.spend(usd="0.02", because="x")
        return need

    @failing.capability("failing.wait", timeout="30s")
    async def wait(ctx: Context, need: Need) -> Quote:
        return await ctx.delegate("procurement.quote", need, Quote)

    async with MemoryMesh(failing) as mesh:
        failed = await mesh.submit(raise_, NEED)
        assert failed.status is Status.FAILED
        with pytest.raises(TaskFailed, match="attempt 2 True"):
            _ = failed.value
        rejected = await mesh.submit(reject, NEED)
        with pytest.raises(TaskRejected, match="nobody needs it"):
            _ = rejected.value
        assert (await mesh.submit(scope, NEED)).value == NEED
        assert (await mesh.submit(spend, NEED, budget={"usd": "0.01"})).value == NEED
        expired = await mesh.submit(wait, NEED)
        with pytest.raises(TaskExpired):
            _ = expired.value
        assert mesh.violations() == []


async def test_a_killed_worker_s_work_goes_on_elsewhere() -> None:
    steady = Agent("steady", owner="team", tools=["*"])
    called: list[str] = []

    async def look_up(what: str) -> str:
        called.append(what)
        return what

    @steady.capability("steady.work")
    async def work(ctx: Context, need: Need) -> Verdict:
        words = [await ctx.tool(look_up, "first")]
        await ctx.sleep("20s")
        words.append(await ctx.tool(look_up, "second"))
        return Verdict(good=True, words=" ".join(words))

    async with MemoryMesh(steady, instances=2) as mesh:
        began = await mesh.begin(work, NEED)
        await mesh.advance("1s")
        worker = next(name for name in mesh.instances if _works(mesh, name))
        mesh.kill(worker)
        assert len(mesh.instances) == 1
        result = await mesh.finish(began)
        assert result.value.words == "first second"
        assert called == ["first", "second"]
        assert mesh.violations() == []
        await mesh.start(steady, int(worker.rpartition(".")[2]))
        assert len(mesh.instances) == 2
        assert (await mesh.submit(work, NEED)).value.good


def _works(mesh: MemoryMesh, name: str) -> bool:
    (instance,) = mesh._find(name).process.instances
    return instance.node.load > 0


async def test_a_partition_heals_and_the_zombie_changes_nothing() -> None:
    async with MemoryMesh(agent, instances=2) as mesh:
        began = await mesh.begin(sleep, NEED, timeout="3h")
        mesh.partition(mesh.instances[0])
        await mesh.advance("1m")
        mesh.heal()
        result = await mesh.finish(began)
        assert result.value.good
        assert mesh.violations() == []


async def test_submitted_records_with_one_event_id_are_one_workflow() -> None:
    async with MemoryMesh(agent) as mesh:
        first = await mesh.submit(quote, NEED, event_id="order-7")
        again = await mesh.submit(quote, NEED, event_id="order-7")
        assert first.workflow == again.workflow
        assert again.value == first.value
        assert mesh.kinds(first.workflow).count("TaskOpened") == 1


async def test_large_bodies_travel_by_the_artifact_store() -> None:
    echo = Agent("echo", owner="team", calls=["*"])

    @echo.capability("echo.inner")
    async def inner(ctx: Context, need: Need) -> Need:
        return need

    @echo.capability("echo.outer")
    async def outer(ctx: Context, need: Need) -> Need:
        large = Need(item="x" * MAX_BODY_BYTES, qty=need.qty)
        told = await ctx.delegate(inner, large)
        return Need(item=str(len(told.item)), qty=told.qty)

    async with MemoryMesh(echo) as mesh:
        assert (await mesh.submit(outer, NEED)).value == Need(item=str(MAX_BODY_BYTES), qty=10)


async def test_mistakes_are_told() -> None:
    async with MemoryMesh(agent, settings=Settings(slots=2)) as mesh:
        with pytest.raises(UsageError, match=r"no agent of this mesh offers some\.thing"):
            await mesh.submit("some.thing", NEED, Quote)
        with pytest.raises(UsageError, match="no option colour"):
            await mesh.submit(quote, NEED, colour="red")  # type: ignore[call-overload]  # a typo
        with pytest.raises(UsageError, match=r"no instance ghost runs; running are sourcing\.1"):
            mesh.kill("ghost")
        with pytest.raises(UsageError, match=r"sourcing\.1 is running"):
            await mesh.start(agent, 1)
        assert "sourcing.1" in repr(mesh)
        assert mesh.incidents() == []
