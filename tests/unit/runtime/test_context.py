from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from mesh.core import calls as c
from mesh.core.ids import child_id
from mesh.core.settings import MAX_BODY_BYTES, MAX_REASON
from mesh.core.values import Acceptance, Amount, Body, Mode, Status
from mesh.errors import (
    TaskExpired,
    TaskFailed,
    TaskRejected,
    UsageError,
)
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifact, MemoryArtifacts
from mesh.runtime.context import Context
from tests.unit.runtime.contexts import Number, Word, Work, begun, core_for, count, raised
from tests.unit.runtime.fake_core import START_MS, TASK, FakeCore

# --- reading -------------------------------------------------------------------------------------


async def test_what_a_context_tells() -> None:
    told: list[Context] = []

    async def work(ctx: Context) -> object:
        told.append(ctx)
        ctx.log.info("hello")
        ctx.progress("half way")
        return (ctx.now(), ctx.deadline)

    core = await begun(work, attempt=(2, "the sum is wrong"))
    (ctx,) = told
    assert (ctx.task, ctx.workflow) == (TASK, TASK)
    assert (ctx.attempt.number, ctx.attempt.reason) == (2, "the sum is wrong")
    assert ctx.charter.goal == "test"
    assert [above.agent for above in ctx.ancestors] == ["root"]
    assert core.progress == ["half way"]
    assert "test.it" in repr(ctx)
    times = (
        datetime.fromtimestamp(START_MS / 1_000, UTC),
        datetime.fromtimestamp(START_MS / 1_000 + 600, UTC),
    )
    assert str(times) in core.result.decode()


async def test_time_is_that_of_the_latest_result_of_the_path() -> None:
    async def lane(ctx: Context) -> float:
        await ctx.spend(usd="0.01", because="x")
        return ctx.now().timestamp()

    async def work(ctx: Context) -> object:
        before = ctx.now().timestamp()
        lanes = await asyncio.gather(lane(ctx), lane(ctx))
        return [round(1_000 * (own - before)) for own in (*lanes, ctx.now().timestamp())]

    core = await begun(work)
    core.answer("1.0")
    core.answer("0.0")
    await core.settle()
    assert core.result == b'{"text":"[20, 10, 20]"}'


async def test_random_numbers_are_the_same_again_and_differ_between_paths_and_restarts() -> None:
    async def lane(ctx: Context) -> float:
        return ctx.random().random()

    async def work(ctx: Context) -> object:
        lanes = await asyncio.gather(lane(ctx), lane(ctx))
        return [ctx.random().random(), ctx.random().random(), *lanes]

    first, again = await begun(work), await begun(work)
    assert first.result == again.result
    numbers = first.result.decode()[10:-3].split(", ")
    assert len(set(numbers)) == 4
    assert (await begun(work, restart=1)).result != first.result


# --- delegating ----------------------------------------------------------------------------------


async def test_delegate_says_what_was_asked_for() -> None:
    async def work(ctx: Context) -> object:
        first = await ctx.delegate(count, Word(text="a"))
        second = await ctx.delegate(
            "some.thing",
            Word(text="b"),
            Number,
            after=[first],
            budget={"usd": "0.05", "tokens": 7},
            timeout="30s",
            check=lambda _: None,
        )
        third = await ctx.delegate(count, Word(text="c"), agent="somebody")
        return first.value + second.value + third.value

    core = await begun(work)
    for step in ("0", "1", "2"):
        core.answer(step, value=Number(value=int(step) + 1))
        await core.settle()
    assert core.result == b'{"text":"6"}'
    first, second, third = (core.calls[step] for step in "012")
    assert isinstance(first, c.Delegate)
    assert isinstance(second, c.Delegate)
    assert isinstance(third, c.Delegate)
    assert (first.capability, first.mode, first.grant) == ("other.count", Mode.AUCTION, None)
    assert (first.timeout_ms, first.acceptance) == (None, Acceptance.AUTOMATIC)
    assert first.input.content == b'{"text":"a"}'
    assert second.after == (child_id(TASK, "0", first.input.hash),)
    assert second.grant == Amount(50_000, 7, -1, -1, -1)
    assert (second.timeout_ms, second.acceptance) == (30_000, Acceptance.REVIEWED)
    assert (third.mode, third.named_agent) == (Mode.NAMED, "somebody")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.FAILED, TaskFailed),
        (Status.REJECTED, TaskRejected),
        (Status.EXPIRED, TaskExpired),
    ],
)
async def test_other_ends_are_raised(status: Status, kind: type[Exception]) -> None:
    async def work(ctx: Context) -> object:
        with pytest.raises(kind, match=r"other\.count"):
            await ctx.delegate(count, Word(text="a"))
        return "caught"

    core = await begun(work)
    core.answer("0", status=status)
    await core.settle()
    assert core.result == b'{"text":"caught"}'


async def test_result_of_another_type_is_a_failure_of_the_task() -> None:
    async def work(ctx: Context) -> object:
        with pytest.raises(TaskFailed, match="no Number: /value") as problem:
            await ctx.delegate(count, Word(text="a"))
        return problem.value.task == core.child("0")

    core = core_for(work)
    core.start()
    await core.settle()
    core.answer("0", value=Word(text="x"))
    await core.settle()
    assert core.result == b'{"text":"True"}'


Refused = tuple[Any, ...]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((count, Number(value=1)), {}, "takes Word, not Number"),
        (("a.b", Word(text="")), {}, "needs a pydantic model and the type"),
        (("a.b", {"text": ""}, Number), {}, "needs a pydantic model and the type"),
        ((count, Word(text="")), {"mode": "named"}, "agent="),
        ((count, Word(text="")), {"mode": "best"}, "direct or auction"),
        ((count, Word(text="")), {"mode": "auction", "agent": "x"}, "direct or auction"),
        ((count, Word(text="")), {"budget": {"usd": 0.5}}, "budget.usd"),
        ((count, Word(text="")), {"budget": {"cents": 5}}, "cents"),
        ((count, Word(text="")), {"timeout": "soon"}, "timeout"),
        ((count, Word(text="")), {"after": [Word(text="mine")]}, "result of ctx.delegate"),
        ((count, Word(text="")), {"after": 9 * ["x" * MAX_REASON]}, "put them into an artifact"),
        ((count, Word(text="")), {"budget": {"usd": 0, "tokens": 0, "tool_calls": 0}}, "is zero"),
        (("a.B!", Word(text=""), Word), {}, "domain.verb in lower case"),
        (("a." + "b" * 300_000, Word(text=""), Word), {}, "domain.verb in lower case"),
        ((count, Word(text="")), {"agent": "x" * 300_000}, "is no agent's name"),
    ],
)
async def test_malformed_delegations_are_refused_before_anything_is_done(
    arguments: Refused, options: dict[str, Any], words: str
) -> None:
    problem = await raised(lambda ctx: ctx.delegate(*arguments, **options))
    assert isinstance(problem, UsageError)
    assert words in str(problem)


async def test_large_bodies_go_to_the_artifact_store() -> None:
    store = MemoryArtifacts()
    large = "x" * MAX_BODY_BYTES

    async def work(ctx: Context) -> object:
        told = await ctx.delegate("a.b", Word(text=large), Word, check=lambda _: None)
        return len(told.text)

    core = core_for(work, artifacts=store)
    core.start()
    await core.until(lambda: bool(core.calls))
    call = core.calls["0"]
    assert isinstance(call, c.Delegate)
    assert call.input.content is None
    assert store.get(call.input.hash) == b'{"text":"%s"}' % large.encode()
    away = Body(store.put(b'{"text":"%s"}' % large.encode()), "application/json", None)
    core.review("0", away)
    await core.until(lambda: bool(core.of(c.Reviewed)))
    assert core.of(c.Reviewed)[0].refusal == ""
    core.answer("0", contents=away)
    await core.until(lambda: core.finished is not None)
    assert core.result == b'{"text":"%d"}' % MAX_BODY_BYTES


async def test_large_results_and_inputs_of_the_handler_itself() -> None:
    store = MemoryArtifacts()
    agent = Agent("tester", owner="team")

    @agent.capability("test.echo")
    async def echo(ctx: Context, word: Word) -> Word:
        return word

    content = b'{"text":"%s"}' % (b"x" * MAX_BODY_BYTES)
    core = FakeCore(agent, echo, content, artifacts=store)
    given = Body(store.put(content), "application/json", None)
    fact = type(core.work.opened)(
        **{name: getattr(core.work.opened, name) for name in core.work.opened.__slots__}
        | {"input": given}
    )
    core.work = core.work._replace(opened=fact)
    core.start()
    await core.until(lambda: core.finished is not None)
    assert core.finished is not None
    assert core.finished.body == given


async def test_large_body_without_a_store_is_a_usage_error() -> None:
    large = Word(text="x" * MAX_BODY_BYTES)
    problem = await raised(lambda ctx: ctx.delegate("a.b", large, Word))
    assert "artifact store" in str(problem)


# --- spending ------------------------------------------------------------------------------------


async def test_spend_says_how_much_and_why() -> None:
    core = await begun(lambda ctx: ctx.spend(usd="0.02", tokens=5, because="look-up"))
    assert core.calls["0"] == c.Spend(step="0", amount=Amount(20_000, 5), because="look-up")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"because": "x"}, "say how much"),
        ({"because": "", "usd": 1}, "because"),
        ({"because": "x" * (MAX_REASON + 1), "usd": 1}, "because"),
        ({"because": "x", "usd": 0.1}, "not exact"),
        ({"because": "x", "usd": "-1"}, "zero or more"),
        ({"because": "x", "tokens": -1}, "zero or more"),
    ],
)
async def test_malformed_spending_is_refused(options: dict[str, Any], words: str) -> None:
    assert words in str(await raised(lambda ctx: ctx.spend(**options)))


# --- recording -----------------------------------------------------------------------------------


async def test_artifact_is_stored_and_its_reference_recorded() -> None:
    store = MemoryArtifacts()
    kept: list[Artifact] = []

    async def work(ctx: Context) -> object:
        kept.append(await ctx.artifact("report.txt", "hello", media_type="text/plain"))
        return (await ctx.load(kept[0])).decode()

    core = core_for(work, artifacts=store)
    core.start()
    await core.until(lambda: bool(core.calls))
    call = core.calls["0"]
    assert isinstance(call, c.Keep)
    assert (call.name, store.get(call.input_hash)) == ("report.txt", b"hello")
    core.answer("0")
    await core.until(lambda: core.finished is not None)
    assert core.result == b'{"text":"hello"}'
    assert kept == [
        Artifact(name="report.txt", sha256=call.input_hash.hex(), media_type="text/plain", size=5)
    ]


async def test_decisions_and_ratings_name_what_they_rest_on() -> None:
    artifact = Artifact(name="a", sha256="0" * 64, media_type="x", size=1)

    async def work(ctx: Context) -> object:
        told = await ctx.delegate(count, Word(text="a"))
        await ctx.record_decision("yes", because="it is", evidence=[told, artifact, "page 3"])
        ctx.rate(confidence=0.5, sources=[told])
        ctx.rate(sources=["a book"])
        return "done"

    core = await begun(work)
    core.answer("0", value=Number(value=1))
    await core.settle()
    child = core.child("0")
    assert core.calls["1"] == c.Decide(
        step="1", choice="yes", because="it is", evidence=(child, f"sha256:{'0' * 64}", "page 3")
    )
    core.answer("1")
    await core.settle()
    assert core.finished is not None
    assert core.finished.confidence_permille == 500
    assert core.finished.sources == (child, "a book")


@pytest.mark.parametrize(
    "work",
    [
        lambda ctx: ctx.record_decision("", because="x"),
        lambda ctx: ctx.record_decision("x", because=7),
        lambda ctx: ctx.record_decision("x", because="y", evidence=[""]),
        lambda ctx: ctx.record_decision("x", because="y", evidence=1_000 * ["\ud800" * 9]),
        lambda ctx: ctx.sleep(0),
        lambda ctx: ctx.artifact("", b"x"),
        lambda ctx: ctx.artifact("x", b"x"),
    ],
)
async def test_malformed_records_are_refused(work: Work) -> None:
    assert isinstance(await raised(work), UsageError)


async def test_rating_out_of_range_is_refused() -> None:
    async def work(ctx: Context) -> object:
        ctx.rate(confidence=1.5)
        return ""

    assert "between 0 and 1" in str(await raised(work))


async def test_a_result_rests_on_no_more_than_fits_into_one_event() -> None:
    async def work(ctx: Context) -> object:
        for number in range(20_000):
            ctx.rate(sources=[f"row {number}"])
        return ""

    problem = await raised(work)
    assert isinstance(problem, UsageError)
    assert "rate: sources" in str(problem)


async def test_sleep_is_in_milliseconds() -> None:
    core = await begun(lambda ctx: ctx.sleep("1h30m"))
    assert core.calls["0"] == c.Sleep(step="0", ms=5_400_000)
