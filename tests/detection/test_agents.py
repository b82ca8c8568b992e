"""Agents as authors write them: one that never ends is found, the ten of the example are not."""

from __future__ import annotations

import json
from importlib import import_module

from pydantic import BaseModel

from agents.procurement import demo, lead
from agents.procurement.models import ReviewRequest
from mesh import Agent, Context, Priced, tool
from mesh.core.detectors.frame import Finding
from mesh.core.detectors.watch import Watch
from mesh.core.facts import StepFinished, TaskOpened
from mesh.core.ledger import Ledger
from mesh.testing import MemoryMesh

RELEASES = [line.input for line in demo.releases(None) if line.input is not None]


class Job(BaseModel):
    job: str
    attempt: int = 0


@tool(effect="pure")
def look_up(what: str) -> Priced[str]:
    return Priced(f"nothing about {what}", usd="0.02")


agent = Agent("planner", owner="team", purpose="Plans.", calls=["demo.*"], tools=[look_up])


@agent.capability("demo.plan", effect="pure")
async def plan(ctx: Context, job: Job) -> Job:
    await ctx.tool(look_up, job.job)
    return await ctx.delegate("demo.plan", Job(job=job.job, attempt=job.attempt + 1), Job)


def found(mesh: MemoryMesh) -> tuple[list[Finding], int, int]:
    """Return what is found in a mesh's log, and the tasks and paid calls up to the first."""
    ledgers: dict[int, Ledger] = {}
    watches: dict[int, Watch] = {}
    findings: list[Finding] = []
    tasks = calls = 0
    for partition, record in mesh._records():
        ledger = ledgers.setdefault(partition, Ledger())
        watch = watches.setdefault(partition, Watch())
        tasks += not findings and isinstance(record.fact, TaskOpened)
        calls += not findings and isinstance(record.fact, StepFinished)
        findings += watch.see(record, ledger, ledger.add(record))
    return findings, tasks, calls


async def test_an_agent_that_hands_its_task_to_itself() -> None:
    async with MemoryMesh(agent) as mesh:
        await mesh.submit(plan, Job(job="the trip"), budget={"hops": 40, "usd": "5"})
        findings, tasks, calls = found(mesh)
    # unstopped, it ends by its budget, and each task on the way up is tried three times
    assert [own.kind for own in findings] == ["loop", "retry-storm"]
    finding = findings[0]
    assert (tasks, calls) == (3, 2)
    assert [own.agent for own in finding.chain][:2] == ["planner", "planner"]


async def test_nothing_is_found_in_reviews_of_public_procurement() -> None:
    everyone = [getattr(import_module(e.split(":")[0]), e.split(":")[1]) for e in demo.AGENTS]
    async with MemoryMesh(*everyone) as mesh:
        for given in RELEASES[::4]:
            await mesh.submit(lead.review, ReviewRequest.model_validate_json(json.dumps(given)))
        findings, tasks, _ = found(mesh)
    assert findings == []
    assert tasks > 100
