"""Agents that do each other wrong though each does its own work well, told in a mesh in memory.

One drafts from a plan that another changes meanwhile; and both are asked twice for the same.
"""

from __future__ import annotations

from pydantic import BaseModel

from mesh import Agent, Context

KEY = "plan/x"


class Order(BaseModel):
    order: int


class Done(BaseModel):
    version: int


def agents(lease: str = "10s", takes: str = "5s") -> tuple[Agent, Agent]:
    """Make them: a draft takes so long after the plan was read."""
    drafter = Agent("drafter", owner="team", reads=["plan"])
    planner = Agent("planner", owner="team", reads=["plan"], writes=["plan"])

    @drafter.capability("draft.write", lease=lease)
    async def write(ctx: Context, order: Order) -> Done:
        plan = await ctx.shared.read(KEY)
        await ctx.sleep(takes)
        return Done(version=plan.version)

    @planner.capability("plan.change", lease=lease)
    async def change(ctx: Context, order: Order) -> Done:
        plan = await ctx.shared.read(KEY)
        written = await ctx.shared.write(KEY, order.order, expected_version=plan.version)
        return Done(version=written.version)

    return drafter, planner
