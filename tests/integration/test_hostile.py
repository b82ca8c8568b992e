"""The worst that authors and submitters do, in memory: the task ends, the instance goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from pydantic import BaseModel

from mesh import Agent, Bid, Context, Decline
from mesh.core.settings import MAX_BODY_BYTES, MAX_EVENT_BYTES
from mesh.ports import Place
from mesh.testing import MemoryMesh
from mesh.testing.mesh import NAME, REPLIES
from mesh.wire import topics
from mesh.wire.canonical import body_of
from mesh.wire.requests import TaskRequest, decode_reply, encode_request

Handler = Callable[[Context], Awaitable[object]]
Bidder = Callable[[], Bid | Decline | None]


class Number(BaseModel):
    n: int = 0


class Text(BaseModel):
    text: str = ""
    share: float = 0.0


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it cannot be told")


def agent_of(work: Handler, bidder: Bidder | None = None) -> Agent:
    agent = Agent("boss", owner="team", calls=["work.*"])

    @agent.capability("work.hostile", max_attempts=1)
    async def hostile(ctx: Context, number: Number) -> Text:
        made = await work(ctx)
        return made if isinstance(made, Text) else Text(text=str(made))

    @agent.capability("work.fine")
    async def fine(ctx: Context, number: Number) -> Text:
        return Text(text=f"{number.n}")

    if bidder is not None:
        given = bidder

        @fine.bid
        def bid(number: Number) -> Bid | Decline | None:
            return given()

    return agent


async def end_of(agent: Agent, work: str = "work.hostile") -> tuple[str, str]:
    """Return how it ended; assert that the same incarnation serves on, and the log is sound."""
    async with MemoryMesh(agent) as mesh:
        hostile, fine = agent.capabilities[work], agent.capabilities["work.fine"]
        result = await mesh.submit(hostile, Number(n=1))
        assert (await mesh.submit(fine, Number(n=7))).value == Text(text="7")
        assert {fact.by.incarnation for fact in mesh.facts()} == {mesh.facts()[0].by.incarnation}
        assert mesh.violations() == []
        return result.status, result.error


async def _raise(problem: BaseException) -> object:
    raise problem


WORST: dict[str, tuple[Handler, str]] = {
    "half a surrogate pair": (lambda _: _raise(ValueError("file \ud800")), "file \\ud800"),
    "no text": (lambda _: _raise(Mute()), "Mute: <exception str() failed>"),
    "a book": (lambda _: _raise(ValueError("x" * 10**6)), "ValueError: xxx"),
    "evidence": (
        lambda ctx: ctx.record_decision("x", because="y", evidence=["z" * 99] * 9_999),
        "put them into an artifact",
    ),
    "a name": (
        lambda ctx: ctx.delegate("work." + "x" * 300_000, Number(), Text),
        "must be domain.verb in lower case",
    ),
    "nothing to spend": (
        lambda ctx: ctx.delegate(
            "work.fine", Number(), Text, budget={"usd": 0, "tokens": 0, "tool_calls": 0}
        ),
        "budget: it is zero",
    ),
    "no number": (lambda _: _share(float("nan")), "Text.share: nan is no JSON number"),
    "no UTF-8": (lambda _: _text("\ud800"), "surrogates not allowed"),
}


async def _share(share: float) -> Text:
    return Text(share=share)


async def _text(text: str) -> Text:
    return Text(text=text)


@pytest.mark.parametrize("name", WORST)
async def test_a_handler_fails_and_its_instance_goes_on(name: str) -> None:
    work, said = WORST[name]
    status, error = await end_of(agent_of(work))
    assert status == "failed"
    assert "attempt 1 of 1" in error
    assert said in error


def _bid(problem: BaseException) -> Bid:
    raise problem


@pytest.mark.parametrize(
    ("bidder", "said"),
    [
        (lambda: _bid(SystemExit(3)), "raised SystemExit: 3"),
        (lambda: _bid(Mute()), "raised test_hostile.Mute"),
        (lambda: _bid(ValueError("\ud800" + "x" * 10**6)), "raised ValueError"),
        (lambda: Bid(eta_s=1e30), "Bid.eta_s"),
        (lambda: Bid(eta_s=1, price_usd="-1"), "zero or more"),
        (lambda: Decline(because="x" * 10**6), "at most 2000 characters"),
        (lambda: "cheap", "returned str"),
    ],
)
async def test_a_bid_function_is_declined_for_and_its_instance_goes_on(
    bidder: Bidder, said: str
) -> None:
    offer = agent_of(_raise_nothing, bidder).capabilities["work.fine"].offer(b'{"n": 1}')
    assert isinstance(offer, Decline)
    assert said in offer.because.replace("tests.integration.", "")

    async def auction(ctx: Context) -> object:
        return await ctx.delegate("work.fine", Number(), Text, mode="auction", timeout="2s")

    status, error = await end_of(agent_of(auction, bidder))
    assert status == "failed"
    assert "nobody took work.fine before the deadline" in error


async def _raise_nothing(ctx: Context) -> object:
    return Text()


async def test_a_charter_that_is_no_charter_is_rejected_and_the_partition_goes_on() -> None:
    """The record itself is below the limit of an event: the fact made of it would be above."""
    agent = agent_of(_raise_nothing)
    fine = agent.capabilities["work.fine"]
    async with MemoryMesh(agent) as mesh:
        given = body_of({"n": 1, "text": "x" * (MAX_BODY_BYTES - 100)})
        sent = TaskRequest(input=given, reply_topic=REPLIES, correlation_id="poison")
        room = "y" * (MAX_EVENT_BYTES - len(encode_request(sent)) - 8)
        for poison in (replace(sent, goal=room), replace(sent, constraints=(room,))):
            place = Place(topics.tasks(NAME, "work.fine"), 0)
            mesh._client.append(place, None, encode_request(poison))
        assert (await mesh.submit(fine, Number(n=7))).value == Text(text="7")
        kinds = [type(fact).__name__ for fact in mesh.facts()]
        assert kinds.count("TaskRejected") == 2
        assert {fact.by.incarnation for fact in mesh.facts()} == {mesh.facts()[0].by.incarnation}
        (partition,) = mesh.broker.partitions(REPLIES)
        records, _ = partition.read(0, partition.high)
        said = [decode_reply(own.value) for own in records if own.key == b"poison"]
        assert [own.status for own in said] == ["rejected", "rejected"]
        assert all("goal and constraints" in own.error for own in said)


async def test_a_large_result_is_read_from_the_store() -> None:
    large = "x" * (2 * MAX_BODY_BYTES)
    agent = agent_of(lambda _: _text(large))
    async with MemoryMesh(agent) as mesh:
        result = await mesh.submit(agent.capabilities["work.hostile"], Number())
        assert result.value == Text(text=large)
