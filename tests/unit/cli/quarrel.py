"""Two agents that want different values for one key, in workflows of their own: a recorded mesh."""

from __future__ import annotations

from pydantic import BaseModel

from mesh import Agent, Conflict, Context
from mesh.testing import MemoryMesh
from tests.unit.cli.conftest import Recorded

KEY = "suppliers/acme"


class Opinion(BaseModel):
    status: str
    objective: str
    because: str


class Word(BaseModel):
    said: str


buyer = Agent("buyer", owner="team-buying", reads=["suppliers"], writes=["suppliers"])
auditor = Agent("auditor", owner="team-audit", reads=["suppliers"], writes=["suppliers"])


async def judge(ctx: Context, own: Opinion) -> Word:
    """Say what is thought of a supplier, over what was read before a second passed."""
    found = await ctx.shared.read(KEY)
    await ctx.sleep("1s")
    try:
        written = await ctx.shared.write(
            KEY,
            {"status": own.status},
            expected_version=found.version,
            objective=own.objective,
            because=own.because,
        )
    except Conflict as refused:
        return Word(said=type(refused).__name__)
    return Word(said=written.verdict)


@buyer.capability("buyer.judge")
async def buys(ctx: Context, own: Opinion) -> Word:
    return await judge(ctx, own)


@auditor.capability("auditor.judge")
async def audits(ctx: Context, own: Opinion) -> Word:
    return await judge(ctx, own)


async def quarrelled(*, first: str = "risk", second: str = "cost") -> Recorded:
    """Let the auditor be judged first, for `first`, and the buyer too late, for `second`."""
    rules = {"suppliers/": "arbitrate"}
    async with MemoryMesh(buyer, auditor, rules=rules, objectives=["risk", "cost"]) as mesh:
        block = Opinion(status="blocked", objective=first, because="sanctions list of Monday")
        begun = await mesh.begin(audits, block)
        allow = Opinion(status="approved", objective=second, because="cheapest of three bids")
        later = await mesh.begin(buys, allow)
        one, two = await mesh.finish(begun), await mesh.finish(later)
        return Recorded(mesh.broker, {"auditor": one.workflow, "buyer": two.workflow})
