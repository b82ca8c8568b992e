"""A task's whole life, on each kind of broker: negotiated, nested, checked, limited, cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pydantic import BaseModel

from mesh import Agent, Bid, BudgetExceeded, Context, Decline, TaskCancelled, TaskExpired
from mesh.core import facts as f
from mesh.core.values import Cause, Mode, Status
from tests.integration.world import LEASE, World, eventually


class Number(BaseModel):
    n: int


class Sum(BaseModel):
    total: int
    note: str = ""


def worker(name: str, *, price: str = "0.05", eta_s: float = 1) -> Agent:
    """Make an agent that doubles, and bids for it."""
    agent = Agent(name, owner="team")

    @agent.capability("work.double", lease=LEASE)
    async def double(ctx: Context, number: Number) -> Sum:
        return Sum(total=number.n * 2, note=name)

    @double.bid
    def bid(number: Number) -> Bid | Decline:
        if number.n > 1_000:
            return Decline(because="too much for me")
        return Bid(price_usd=price, eta_s=eta_s, confidence=0.9)

    return agent


def lead(mode: str = "", agent_name: str = "", **terms: str) -> Agent:
    """Make an agent that delegates each number below the one that it is given."""
    agent = Agent("lead", owner="team", calls=["work.*"])

    @agent.capability("lead.sum", lease=LEASE, **terms)  # type: ignore[arg-type]  # checked there
    async def add(ctx: Context, number: Number) -> Sum:
        await ctx.spend(usd="0.01", because="planning")
        parts = await asyncio.gather(
            *(
                ctx.delegate(
                    "work.double",
                    Number(n=n),
                    Sum,
                    mode=mode or None,
                    agent=agent_name or None,
                )
                for n in range(number.n)
            )
        )
        return Sum(total=sum(p.total for p in parts), note=" ".join(p.note for p in parts))

    return agent


async def test_own_work_costs_two_appends(world: World) -> None:
    await world.run(worker("doubler"))
    answer = await world.ask("work.double", Number(n=4))
    assert (answer.status, answer.result) == ("completed", {"total": 8, "note": "doubler"})
    assert world.story.kinds(answer.workflow) == ["TaskOpened", "WorkFinished"]


async def test_direct(world: World) -> None:
    await world.run(lead(), worker("doubler"))
    answer = await world.ask("lead.sum", Number(n=3))
    assert answer.result == {"total": 6, "note": "doubler doubler doubler"}
    kinds = world.story.kinds(answer.workflow)
    assert sorted(kinds) == sorted(
        ["TaskOpened", "SpendReserved", "SpendSettled", "WorkFinished"]
        + 3 * ["TaskOpened", "WorkFinished"]
    )
    opened = world.story.of(answer.workflow, f.TaskOpened)[0]
    for child in world.story.children(answer.workflow):
        assert child.award is not None
        assert (child.award.mode, child.award.epoch) == (Mode.DIRECT, 1)
        assert child.charter == opened.charter
        assert [above.task for above in child.ancestors] == [answer.workflow]
        assert child.deadline_ms <= opened.deadline_ms


async def test_named(world: World) -> None:
    await world.run(lead(agent_name="second"), worker("first"), worker("second"))
    answer = await world.ask("lead.sum", Number(n=4))
    assert answer.result == {"total": 12, "note": "second second second second"}
    assert {c.mode for c in world.story.children(answer.workflow)} == {Mode.NAMED}


async def test_auction_records_every_bid(world: World) -> None:
    await world.run(
        lead(mode="auction"), worker("cheap", price="0.01"), worker("dear", price="0.9")
    )
    answer = await world.ask("lead.sum", Number(n=2))
    assert answer.result == {"total": 2, "note": "cheap cheap"}
    assert len(world.story.of(answer.workflow, f.BidsCalled)) == 2
    for award in world.story.of(answer.workflow, f.TaskAwarded):
        bids = {offer.agent: offer for offer in award.award.offers}
        assert {name: bid.price_micro_usd for name, bid in bids.items()} == {
            "cheap": 10_000,
            "dear": 900_000,
        }
        assert bids["cheap"].score_permille > bids["dear"].score_permille
        assert award.award.agent == "cheap"


async def test_a_decline_in_an_auction_is_recorded_with_its_reason(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])

    @boss.capability("boss.ask", lease=LEASE)
    async def ask(ctx: Context, number: Number) -> Sum:
        return await ctx.delegate("work.double", number, Sum, mode="auction")

    modest = worker("modest")
    bold = Agent("bold", owner="team")

    @bold.capability("work.double", lease=LEASE)
    async def double(ctx: Context, number: Number) -> Sum:
        return Sum(total=number.n * 2, note="bold")

    await world.run(boss, modest, bold)
    answer = await world.ask("boss.ask", Number(n=2_000))
    assert answer.result == {"total": 4_000, "note": "bold"}
    award = world.story.of(answer.workflow, f.TaskAwarded)[0].award
    assert {o.agent: o.declined for o in award.offers} == {"bold": "", "modest": "too much for me"}


async def test_three_levels(world: World) -> None:
    top = Agent("top", owner="team", calls=["lead.*"])

    @top.capability("top.go", lease=LEASE)
    async def go(ctx: Context, number: Number) -> Sum:
        first = await ctx.delegate("lead.sum", number, Sum)
        second = await ctx.delegate("lead.sum", Number(n=number.n + 1), Sum, after=[first])
        await ctx.record_decision("add both", because="that is the task", evidence=[first, second])
        ctx.rate(confidence=0.8, sources=[first, second])
        return Sum(total=first.total + second.total)

    await world.run(top, lead(), worker("doubler"))
    answer = await world.ask("top.go", Number(n=2))
    assert answer.result == {"total": 2 + 6, "note": ""}
    children = world.story.children(answer.workflow)
    assert sorted(len(child.ancestors) for child in children) == [1, 1, 2, 2, 2, 2, 2]
    first, second = world.story.children(answer.workflow, "lead.sum")
    assert second.after == (first.task,)
    end = world.story.of(answer.workflow, f.WorkFinished)[-1]
    assert (end.task, end.confidence_permille) == (answer.workflow, 800)
    assert end.sources == (first.task, second.task)
    assert end.spent.micro_usd == 2 * 10_000


async def test_a_refused_result_is_done_again_and_told_why(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])
    author = Agent("author", owner="team")

    @boss.capability("boss.ask", lease=LEASE)
    async def ask(ctx: Context, number: Number) -> Sum:
        def check(result: Sum) -> str | None:
            return None if result.total > 0 else "a sum is above zero"

        return await ctx.delegate("work.write", number, Sum, check=check)

    @author.capability("work.write", lease=LEASE)
    async def write(ctx: Context, number: Number) -> Sum:
        if ctx.attempt.number == 1:
            return Sum(total=-1)
        return Sum(total=number.n, note=f"{ctx.attempt.number}: {ctx.attempt.reason}")

    await world.run(boss, author)
    answer = await world.ask("boss.ask", Number(n=5))
    assert answer.result == {"total": 5, "note": "2: a sum is above zero"}
    child = world.story.children(answer.workflow)[0].task
    kinds = [t.kind for t in world.story.told if t.task == child and not t.void]
    assert kinds == [
        *("TaskOpened", "WorkFinished", "ResultRejected"),
        *("TaskAwarded", "WorkFinished", "TaskCompleted"),
    ]
    first, second = world.story.awards(child)
    assert (first.attempt, second.attempt, second.cause) == (1, 2, Cause.REJECTED)


async def test_budget_exceeded_is_raised_before_the_money_goes(world: World) -> None:
    agent = Agent("spender", owner="team", calls=["work.*"])

    @agent.capability("spend.all", lease=LEASE, max_attempts=1)
    async def spend(ctx: Context, number: Number) -> Sum:
        paid = 0
        try:
            while True:
                await ctx.spend(usd="0.02", because="one more")
                paid += 1
        except BudgetExceeded as error:
            return Sum(total=paid, note=str(error))

    @agent.capability("spend.more", lease=LEASE, max_attempts=1)
    async def more(ctx: Context, number: Number) -> Sum:
        await ctx.spend(usd="0.06", because="too much")
        return Sum(total=0)

    await world.run(agent)
    budget = {"budget": '{"usd": "0.05"}'}
    answer = await world.ask("spend.all", Number(n=0), budget)
    assert answer.result == {"total": 2, "note": "micro_usd: asked for 20000, free is 10000"}
    assert world.story.of(answer.workflow, f.WorkFinished)[0].spent.micro_usd == 40_000

    answer = await world.ask("spend.more", Number(n=0), budget)
    assert answer.status == "failed"
    assert "BudgetExceeded: micro_usd: asked for 60000, free is 50000" in answer.error
    assert world.story.of(answer.workflow, f.WorkFinished)[0].spent.micro_usd == 0


async def test_the_deadline_ends_the_whole_tree(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])
    sloth = Agent("sloth", owner="team")
    unwound: list[str] = []

    @boss.capability("boss.ask", lease=LEASE)
    async def ask(ctx: Context, number: Number) -> Sum:
        return await ctx.delegate("work.wait", number, Sum)

    @sloth.capability("work.wait", lease=LEASE)
    async def wait(ctx: Context, number: Number) -> Sum:
        try:
            await asyncio.Event().wait()
        finally:
            unwound.append(ctx.task)
        raise AssertionError

    await world.run(boss, sloth)
    answer = await world.ask("boss.ask", Number(n=1), {"timeout-ms": "700"})
    assert (answer.status, answer.error) == ("expired", "the deadline passed")
    child = world.story.children(answer.workflow)[0]
    await eventually(lambda: unwound == [child.task])
    root = world.story.of(answer.workflow, f.TaskOpened)[0]
    assert child.deadline_ms <= root.deadline_ms
    await eventually(lambda: not any(i.node.load for p in world.processes for i in p.instances))


async def test_what_nobody_offers_waits_and_expires_with_the_reason(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])

    @boss.capability("boss.ask", lease=LEASE)
    async def ask(ctx: Context, number: Number) -> Sum:
        try:
            return await ctx.delegate("work.nothing", number, Sum, timeout="400ms")
        except TaskExpired as error:
            return Sum(total=0, note=str(error))

    await world.run(boss)
    submitted = await world.submit("boss.ask", Number(n=1))
    await world.story.until(lambda: world.story.children(submitted.workflow))
    child = world.story.children(submitted.workflow)[0]
    assert child.award is None
    answer = await world.reply(submitted)
    assert answer.result == {
        "total": 0,
        "note": "work.nothing: nobody took work.nothing before the deadline",
    }


async def test_cancel_ends_the_whole_tree(world: World) -> None:
    top = Agent("top", owner="team", calls=["mid.*"])
    mid = Agent("mid", owner="team", calls=["work.*"])
    sloth = Agent("sloth", owner="team")
    heard: list[str] = []

    @top.capability("top.go", lease=LEASE)
    async def go(ctx: Context, number: Number) -> Sum:
        try:
            return await ctx.delegate("mid.go", number, Sum)
        except BaseException as error:
            heard.append(f"top {type(error).__name__}")
            raise

    @mid.capability("mid.go", lease=LEASE)
    async def on(ctx: Context, number: Number) -> Sum:
        await ctx.spend(usd="0.01", because="on the way")
        parts = [ctx.delegate("work.wait", Number(n=n), Sum) for n in range(number.n)]
        return (await asyncio.gather(*parts))[0]

    @sloth.capability("work.wait", lease=LEASE)
    async def wait(ctx: Context, number: Number) -> Sum:
        try:
            await asyncio.Event().wait()
        finally:
            heard.append("sloth")
        raise AssertionError

    await world.run(top, mid, sloth)
    submitted = await world.submit("top.go", Number(n=2))
    sloths = world.processes[2].instances[0]
    await eventually(lambda: sloths.node.load == 2)
    await world.cancel(world.processes[0], submitted.workflow, "not needed any more")
    answer = await world.reply(submitted)
    assert (answer.status, answer.error) == ("cancelled", "not needed any more")
    await eventually(lambda: sorted(heard) == ["sloth", "sloth", "top CancelledError"])
    await world.ended(submitted.workflow)
    asked = world.story.of(submitted.workflow, f.CancelRequested)[0]
    assert (asked.task, asked.person) == (submitted.workflow, "operator")
    given_up = world.story.of(submitted.workflow, f.WorkCancelled)
    assert {fact.task for fact in given_up} >= {c.task for c in _leaves(world, submitted.workflow)}
    # nothing was repeated for it, and its time was not waited out
    assert not world.story.of(submitted.workflow, f.TaskAwarded)


async def test_a_cancelled_await_cancels_the_child(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])
    sloth = Agent("sloth", owner="team")

    @boss.capability("boss.race", lease=LEASE)
    async def race(ctx: Context, number: Number) -> Sum:
        return await ctx.first(
            ctx.delegate("work.wait", Number(n=1), Sum), ctx.delegate("work.wait", Number(n=0), Sum)
        )

    @sloth.capability("work.wait", lease=LEASE)
    async def wait(ctx: Context, number: Number) -> Sum:
        if number.n:
            await asyncio.Event().wait()
        return Sum(total=number.n)

    await world.run(boss, sloth)
    answer = await world.ask("boss.race", Number(n=0))
    assert answer.result == {"total": 0, "note": ""}
    cancelled = world.story.of(answer.workflow, f.TaskCancelled)
    assert len(cancelled) == 1
    children = {child.task: child for child in world.story.children(answer.workflow)}
    assert children[cancelled[0].task].input.content == b'{"n":1}'


async def test_a_cancelled_child_is_an_exception_in_its_parent(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])
    sloth = Agent("sloth", owner="team")

    @boss.capability("boss.ask", lease=LEASE)
    async def ask(ctx: Context, number: Number) -> Sum:
        try:
            return await ctx.delegate("work.wait", number, Sum)
        except TaskCancelled as error:
            return Sum(total=0, note=str(error))

    @sloth.capability("work.wait", lease=LEASE)
    async def wait(ctx: Context, number: Number) -> Sum:
        await asyncio.Event().wait()
        raise AssertionError

    await world.run(boss, sloth)
    submitted = await world.submit("boss.ask", Number(n=1))
    await eventually(lambda: world.processes[1].instances[0].node.load == 1)
    await world.story.until(lambda: world.story.children(submitted.workflow))
    child = world.story.children(submitted.workflow)[0]
    await world.cancel(world.processes[0], child.task, "only this one")
    answer = await world.reply(submitted)
    assert answer.result == {"total": 0, "note": "work.wait: only this one"}


async def test_a_long_sleep_holds_no_slot(embedded_world: World) -> None:
    world = embedded_world
    agent = Agent("sleeper", owner="team")
    starts: list[int] = []

    @agent.capability("sleep.on", lease=LEASE)
    async def sleep(ctx: Context, number: Number) -> Sum:
        starts.append(number.n)
        before = ctx.now()
        await ctx.sleep("3s")
        return Sum(total=int((ctx.now() - before).total_seconds() * 1_000))

    world.settings = replace(world.settings, suspend_after_ms=500)
    await world.run(agent)
    submitted = await world.submit("sleep.on", Number(n=1))
    await world.story.until(lambda: world.story.of(submitted.workflow, f.WorkSuspended))
    assert world.processes[0].instances[0].node.load == 0
    answer = await world.reply(submitted)
    await world.ended(submitted.workflow)
    assert answer.result["total"] >= 3_000
    assert starts == [1, 1]
    award = world.story.of(submitted.workflow, f.TaskAwarded)[0].award
    assert (award.cause, award.attempt) == (Cause.RESUMED, 1)


def _leaves(world: World, workflow: str) -> list[f.TaskOpened]:
    return world.story.children(workflow, "work.wait")


def test_statuses_are_those_of_the_design() -> None:
    assert [*Status] == ["completed", "failed", "rejected", "expired", "cancelled"]
