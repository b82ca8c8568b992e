"""A halt on real Kafka: many running tasks, in several processes, stop at once and go on later."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.halts import Halts
from mesh.core.values import Terms
from mesh.ports import Report
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from tests.integration.halting_agents import Done, Job, crew
from tests.integration.remote import Remote
from tests.integration.world import Story, World

AGENT = "tests.integration.halting_agents:crew"
HANDS = 50
PROCESSES = 3
SLOTS = 20
"""Of each process: one alone cannot do it all."""
STEPS = 60
HALTS = 3
LAST_STEP_MS = 1_000
"""The log's own time from an order to the last step that is begun under it."""
RENEWED = 2
"""So many renewals of the supervision, of half a second each, go by while all is halted."""


async def order(world: World, halts: Halts, target: str, *, halted: bool) -> Report:
    """Write an order, and return its place in the log."""
    given = halts.next_order(target, halted=halted, because="a test", person="eve")
    halts.see(given)
    return await world.append(topics.control(world.mesh), encode_entry(given), key=target.encode())


def count(story: Story, workflow: str, kind: type[f.Fact]) -> int:
    return len(story.of(workflow, kind))


def suspended(story: Story) -> bool:
    """Tell whether every open task waits for a halt to be lifted."""
    tasks = [task for audit in story.audits.values() for task in audit.ledger.tasks.values()]
    return all(any(wait.kind == "halt" for wait in task.waiting_for) for task in tasks)


def renewals(story: Story) -> int:
    return sum(isinstance(told.fact, f.SupervisionRenewed) for told in story.told)


def begun_after_seen(story: Story) -> list[str]:
    """Return the tasks of which a step was begun between a suspension and the next award."""
    stopped: set[str] = set()
    found = []
    for told in story.told:
        if isinstance(told.fact, f.WorkSuspended):
            stopped.add(told.task)
        elif isinstance(told.fact, f.TaskAwarded) and not told.void:
            stopped.discard(told.task)
        elif isinstance(told.fact, f.StepBegun) and told.task in stopped:
            found.append(told.task)
    return found


async def halted_and_lifted(world: World, halts: Halts, workflow: str) -> int:
    """Halt the workflow while all are busy, and lift it; return when the last step was begun."""
    story, target = world.story, f"workflow/{workflow}"
    steps = count(story, workflow, f.StepBegun)
    await story.until(lambda: count(story, workflow, f.StepBegun) >= steps + 3 * HANDS)
    halted = await order(world, halts, target, halted=True)
    await story.until(lambda: suspended(story))
    quiet, later = count(story, workflow, f.StepBegun), renewals(story)
    await story.until(lambda: renewals(story) >= later + RENEWED)
    assert count(story, workflow, f.StepBegun) == quiet
    begun = [told.record.append_ms for told in story.told if isinstance(told.fact, f.StepBegun)]
    await order(world, halts, target, halted=False)
    return max(begun) - halted.append_ms


@pytest.mark.broker
async def test_a_workflow_of_many_running_tasks_is_halted_and_lifted(kafka_world: World) -> None:
    world = kafka_world
    await world.open(crew)
    names = [f"p{number}" for number in range(PROCESSES)]
    busy = replace(world.settings, slots=SLOTS)
    starts = (Remote.start(world.site, world.mesh, own, AGENT, settings=busy) for own in names)
    remotes = await asyncio.gather(*starts)
    budget = json.dumps({"hops": 1_000, "tool_calls": 1_000_000, "attempts": 1_000})
    job = Job(hands=HANDS, steps=STEPS)
    submitted = await world.submit("crew.lead", job, {"budget": budget, "timeout-ms": "300000"})
    story, workflow, halts = world.story, submitted.workflow, Halts()
    took_ms = [await halted_and_lifted(world, halts, workflow) for _ in range(HALTS)]
    answer = await world.reply(submitted)
    assert answer.result == Done(steps=HANDS * STEPS).model_dump()
    given = (getattr(told.fact, "award", None) for told in story.told if not told.void)
    awards = [own for own in given if isinstance(own, Terms)]
    assert len({own.worker.instance for own in awards}) == PROCESSES
    assert max(took_ms) <= LAST_STEP_MS, took_ms
    assert begun_after_seen(story) == []
    assert {own.attempt for own in awards} == {1}
    sys.stdout.write(f"the last step was begun after the order by {took_ms} ms\n")
    for remote in remotes:
        await remote.stop()
