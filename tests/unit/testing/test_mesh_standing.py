"""A mesh in memory whose auctions go by what agents have done, as a watchman has written it."""

from __future__ import annotations

from pydantic import BaseModel

from mesh import Agent, Bid, Context
from mesh.core import facts as f
from mesh.core.standing import permille
from mesh.errors import MeshError, TaskError
from mesh.processor.watchman import Watchman
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryLog
from mesh.wire import topics


class Question(BaseModel):
    number: int


class Answer(BaseModel):
    by: str


def worker(name: str, *, fails: bool) -> Agent:
    agent = Agent(name, owner="team")

    @agent.capability("risk.screen", effect="pure", mode="auction", max_attempts=1)
    async def screen(ctx: Context, question: Question) -> Answer:
        if fails:
            raise ValueError("no idea")
        return Answer(by=name)

    @screen.bid
    def bid(question: Question) -> Bid:
        return Bid(price_usd="0.01", eta_s=1, confidence=0.9)

    return agent


def boss() -> Agent:
    agent = Agent("boss", owner="team", calls=["risk.*"])

    @agent.capability("work.ask")
    async def ask(ctx: Context, question: Question) -> Answer:
        try:
            return await ctx.delegate("risk.screen", question, Answer)
        except TaskError:
            return Answer(by="nobody")

    return agent


class Watching:
    """Mutable: a watchman over all audit partitions of a mesh in memory."""

    def __init__(self, mesh: MemoryMesh) -> None:
        self.failures: list[MeshError] = []
        self._mesh = mesh
        self._log = MemoryLog(mesh.broker)
        self._watchman = Watchman(self._log, "test", failed=self.failures.append)

    async def start(self) -> None:
        await self._log.open()
        for partition in range(len(self._mesh.broker.partitions(topics.audit("test")))):
            await self._watchman.take(partition, 0)

    async def see(self) -> None:
        """Fold what there is, write it, and let everybody read it."""
        for record in self._mesh.broker.records(topics.audit("test")):
            await self._watchman.see(record)
        assert await self._watchman.settle(5)
        await self._mesh.advance("1s")


async def test_auctions_go_by_standing() -> None:
    agents = (boss(), worker("good", fails=False), worker("bad", fails=True))
    async with MemoryMesh(*agents) as mesh:
        watching = Watching(mesh)
        await watching.start()
        won = []
        for number in range(40):
            result = await mesh.submit("work.ask", Question(number=number), Answer)
            won.append(result.value.by)
            await watching.see()
        assert 2 <= won.count("nobody") <= 10, "it is on trial now and then"
        assert not watching.failures
        assert mesh.violations() == []
        awards = [fact.award for fact in mesh.facts() if isinstance(fact, f.TaskAwarded)]
        offers = {own.agent: own for own in awards[-1].offers}
        assert permille(offers["good"].good, offers["good"].bad) == 1_000
        assert offers["bad"].bad > offers["bad"].good
        assert [own.offset > 0 for own in offers["good"].versions] == [True]
        first = {own.agent: own for own in awards[0].offers}
        assert first["good"].versions == ()
        assert first["good"].standing_permille == 500
