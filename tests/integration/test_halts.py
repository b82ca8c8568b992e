"""A halt on real Kafka: many running tasks, in several processes, stop at once and go on later."""

from __future__ import annotations

import asyncio
import json

import pytest

from mesh.core import facts as f
from mesh.core.halts import HaltOrder, Halts
from mesh.ports import Place, Report
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from tests.integration.halting_agents import Done, Job, crew
from tests.integration.remote import Remote
from tests.integration.world import Story, World

HANDS = 50
PROCESSES = 3
STEPS = 60
HALTS = 3
LAST_STEP_MS = 1_000
"""The log's own time from an order to the last step that is begun under it."""
RENEWED = 2
"""So many renewals of the supervision, of half a second each, go by while all is halted."""


async def order(world: World, halts: Halts, target: str, *, halted: bool) -> Report:
    """Write an order, and return its place in the log."""
    given: HaltOrder = halts.next_order(target, halted=halted, because="a test", person="eve")
    halts.see(given)
    landed: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
    place = Place(topics.control(world.mesh), 0)
    world.client.append(place, target.encode(), encode_entry(given), (), landed.set_result)
    return await landed


def count(story: Story, workflow: str, kind: type[f.Fact]) -> int:
    return len(story.of(workflow, kind))


def open_tasks(story: Story) -> dict[str, object]:
    return {
        name: task for audit in story.audits.values() for name, task in audit.ledger.tasks.items()
    }


def suspended(story: Story) -> bool:
    """Tell whether every open task waits for a halt to be lifted."""
    tasks = [task for audit in story.audits.values() for task in audit.ledger.tasks.values()]
    return all(any(wait.kind == "halt" for wait in task.waiting_for) for task in tasks)


def renewals(story: Story) -> int:
    return sum(isinstance(told.fact, f.SupervisionRenewed) for told in story.told)


def begun_after_seen(story: Story, workflow: str) -> list[str]:
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


@pytest.mark.broker
async def test_a_workflow_of_many_running_tasks_is_halted_and_lifted(kafka_world: World) -> None:
    world = kafka_world
    await world.open(crew)
    remotes = await asyncio.gather(
        *(
            Remote.start(
                world.site, world.mesh, f"p{number}", "tests.integration.halting_agents:crew"
            )
            for number in range(PROCESSES)
        )
    )
    budget = json.dumps({"hops": 1_000, "tool_calls": 1_000_000, "attempts": 1_000})
    job = Job(hands=HANDS, steps=STEPS)
    submitted = await world.submit("crew.lead", job, {"budget": budget, "timeout-ms": "300000"})
    story, workflow, halts = world.story, submitted.workflow, Halts()
    took_ms: list[int] = []
    for _ in range(HALTS):
        before = {told.task for told in story.told if isinstance(told.fact, f.StepBegun)}
        steps = count(story, workflow, f.StepBegun)
        await story.until(lambda: count(story, workflow, f.StepBegun) >= steps + 3 * HANDS)
        assert len(open_tasks(story)) > HANDS, before
        halted = await order(world, halts, f"workflow/{workflow}", halted=True)
        await story.until(lambda: suspended(story))
        quiet, later = count(story, workflow, f.StepBegun), renewals(story)
        await story.until(lambda: renewals(story) >= later + RENEWED)
        assert count(story, workflow, f.StepBegun) == quiet
        begun = [t.record.append_ms for t in story.told if isinstance(t.fact, f.StepBegun)]
        took_ms.append(max(begun) - halted.append_ms)
        await order(world, halts, f"workflow/{workflow}", halted=False)
    answer = await world.reply(submitted)
    assert answer.result == Done(steps=HANDS * STEPS).model_dump()
    workers = {
        told.fact.award.worker.instance
        for told in story.told
        if isinstance(told.fact, f.TaskAwarded | f.TaskOpened) and told.fact.award is not None
    }
    assert len(workers) == PROCESSES
    assert max(took_ms) <= LAST_STEP_MS, took_ms
    assert begun_after_seen(story, workflow) == []
    assert {own.attempt for own in story.awards(workflow)} == {1}
    print(f"last step begun after the order: {took_ms} ms")
    for remote in remotes:
        await remote.stop()
