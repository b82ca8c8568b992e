"""A page on a mesh at work: its server is killed and started again, and it misses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import aiohttp
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.dashboard.server import Dashboard, Plan
from mesh.wire import topics
from tests.integration.world import LEASE, WITHIN_S, World

BASE = "/api/v1"


class Number(BaseModel):
    n: int


clerk = Agent("clerk", owner="team-a", calls=["office.add"])
adder = Agent("adder", owner="team-b")


@clerk.capability("office.count", lease=LEASE)
async def count(ctx: Context, start: Number) -> Number:
    await ctx.record_decision("begin", because="<script>alert(1)</script>\u202e")
    for _ in range(5):
        start = await ctx.delegate("office.add", start, Number)
    return start


@adder.capability("office.add", lease=LEASE)
async def add(ctx: Context, number: Number) -> Number:
    await ctx.spend(usd="0.01", because="to add is not free")
    return Number(n=number.n + 1)


class Page:
    """Follows the events as a browser does: it says where it was when it comes back."""

    def __init__(self) -> None:
        self.last = ""
        self.seen: list[str] = []
        self.resets = 0

    async def follow(self, address: str, until: Callable[[], bool]) -> None:
        headers = {"Last-Event-ID": self.last} if self.last else {}
        async with (
            asyncio.timeout(WITHIN_S),
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{address}{BASE}/events") as stream,
        ):
            event = ""
            async for line in stream.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                    self.resets += event == "reset"
                elif name == "id":
                    self.last = value
                elif name == "data" and event == "facts":
                    self.seen += [fact["where"] for fact in json.loads(value)["facts"]]
                if not line.strip() and self.last and until():
                    return


async def served(world: World) -> Dashboard:
    dashboard = Dashboard(world.site.log("page"), Plan(mesh=world.mesh))
    await dashboard.start()
    return dashboard


async def test_a_page_misses_nothing_when_its_server_is_started_again(world: World) -> None:
    await world.run(clerk, adder)
    page, first = Page(), await served(world)
    await page.follow(first.address, lambda: True)
    begun = [int(offset) for offset in page.last.split(".")]
    tasks = [await world.submit("office.count", {"n": 0}) for _ in range(4)]
    await page.follow(first.address, lambda: len(page.seen) > 10)
    await first.close()
    tasks += [await world.submit("office.count", {"n": 10}) for _ in range(4)]
    workflows = [own.workflow for own in tasks]
    await asyncio.gather(*(world.ended(own) for own in workflows))
    ends = await world.client.ends(topics.audit(world.mesh))
    second = await served(world)
    every = {
        f"{number}/{offset}"
        for number, (_, high) in ends.items()
        for offset in range(begun[number], high)
    }
    await page.follow(second.address, lambda: every <= set(page.seen))
    assert len(page.seen) == len(set(page.seen)), "no fact came twice"
    assert page.resets == 0
    async with aiohttp.ClientSession() as session:
        for own in workflows:
            async with session.get(f"{second.address}{BASE}/workflows/{own}") as answer:
                chain = await answer.json()
            assert chain["story"]["status"] == "completed"
            assert chain["story"]["tasks"] == 6
            assert any("<script>" in line["text"] for line in chain["lines"])
    await second.close()
