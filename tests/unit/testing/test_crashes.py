from __future__ import annotations

import pytest
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.testing import crash_at_every_step


class Word(BaseModel):
    text: str


lead = Agent("lead", owner="team", calls=["*"], tools=["*"])
helper = Agent("helper", owner="team")


async def look_up(word: str) -> str:
    return word.upper()


@helper.capability("helper.shout")
async def shout(ctx: Context, word: Word) -> Word:
    await ctx.spend(usd="0.01", because="loud")
    return Word(text=word.text + "!")


@lead.capability("lead.work")
async def work(ctx: Context, word: Word) -> Word:
    found = await ctx.tool(look_up, word.text)
    told = await ctx.delegate(shout, Word(text=found))
    await ctx.record_decision("shout", because="it was asked for", evidence=[told])
    scripted = await ctx.delegate("far.away", told, Word)
    return Word(text=scripted.text)


async def test_every_crash_ends_in_the_same_result() -> None:
    killed = await crash_at_every_step(
        lead, work, Word(text="go"), peers=[helper], scripts={"far.away": [Word(text="done")]}
    )
    # opened; tool begun, finished; child opened; decision; child opened; finished: each three times
    assert killed == 21


async def test_a_handler_that_is_not_repeatable_is_found() -> None:
    runs: list[int] = []
    careless = Agent("careless", owner="team")

    @careless.capability("careless.count")
    async def count(ctx: Context, word: Word) -> Word:
        runs.append(1)
        await ctx.spend(usd="0.01", because="x")
        return Word(text=str(len(runs)))

    with pytest.raises(AssertionError, match=r"killed \w+ \w+ \(fact \d of \d\): completed"):
        await crash_at_every_step(careless, count, Word(text="go"))


async def test_a_check_of_one_s_own_may_accept_more() -> None:
    runs: list[int] = []
    careless = Agent("careless", owner="team")

    @careless.capability("careless.count")
    async def count(ctx: Context, word: Word) -> Word:
        runs.append(1)
        return Word(text=str(len(runs)))

    killed = await crash_at_every_step(
        careless, count, Word(text="go"), check=lambda result, whole: result.returned is not None
    )
    assert killed == 6


async def test_a_workflow_that_does_not_complete_is_told_at_once() -> None:
    broken = Agent("broken", owner="team")

    @broken.capability("broken.work", max_attempts=1)
    async def fail(ctx: Context, word: Word) -> Word:
        raise ValueError("always")

    with pytest.raises(AssertionError, match="undisturbed: failed"):
        await crash_at_every_step(broken, fail, Word(text="go"))
