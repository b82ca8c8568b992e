"""The planner of `journal_agents` after somebody changed its code, and not its version."""

from __future__ import annotations

from mesh import Agent, Context
from tests.integration.journal_agents import LEASE, Job, Note, Report, pay

planner = Agent("planner", owner="team", calls=["work.*"], tools=[pay])


@planner.capability("plan.five", lease=LEASE)
async def five(ctx: Context, job: Job) -> Report:
    paid = [await ctx.tool(pay, job.folder, number) for number in range(2)]
    child = await ctx.delegate("work.slow", job, Note)
    return Report(paid=paid, child=child.text, attempt=ctx.attempt.number)
