"""Processes that die, leave or come back with other code, on real Kafka: the journal goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.core import facts as f
from mesh.core.values import Cause, Status
from tests.integration.journal_agents import Job, planner, top, worker
from tests.integration.remote import Remote
from tests.integration.world import Submitted, World, eventually

pytestmark = pytest.mark.broker
PLANNER = "tests.integration.journal_agents:planner"
CHANGED = "tests.integration.changed_agents:planner"


class Plan:
    """Mutable: planners in processes of their own, and the job that one of them works on."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.remotes: dict[str, Remote] = {}

    async def start(self, *names: str, agent: str = PLANNER) -> None:
        for name in names:
            self.remotes[name] = await Remote.start(self.world.site, self.world.mesh, name, agent)

    async def begin(self, capability: str) -> Submitted:
        """Submit a job, and return when its first three steps are paid and its child runs."""
        story = self.world.story
        submitted = await self.world.submit(capability, Job(folder=str(self.folder)))
        await story.until(lambda: len(self.finished(submitted)) == 3)
        await eventually((self.folder / "child").exists, what="the child")
        return submitted

    def finished(self, submitted: Submitted) -> list[f.StepFinished]:
        facts: list[f.StepFinished] = self.world.story.of(submitted.workflow, f.StepFinished)
        return facts

    def holder(self, submitted: Submitted) -> Remote:
        """Return the process that works on the plan."""
        awards = self.world.story.awards(self.task(submitted))
        return self.remotes[awards[-1].worker.instance.removeprefix("planner.")]

    def task(self, submitted: Submitted) -> str:
        opened: list[f.TaskOpened] = self.world.story.of(submitted.workflow, f.TaskOpened)
        return next(fact.task for fact in opened if fact.capability == "plan.five")

    def open_gates(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def marks(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def check_once(self, submitted: Submitted, steps: int) -> None:
        """Assert that each step was done once, paid once, and that there was one child."""
        story = self.world.story
        keys = [self.marks(f"paid-{number}") for number in range(steps)]
        assert [len(done) for done in keys] == [1] * steps
        assert len({key for (key,) in keys}) == steps
        child = self.marks("child")
        opened = [o for o in story.children(submitted.workflow, "work.slow") if o.task in child]
        # whose worker loses its short lease on a busy machine runs again, as the same child
        assert len(set(child)) == len(opened) == 1
        assert len(story.awards(child[0])) == 1
        settled = [fact.spent.micro_usd for fact in self.finished(submitted)]
        assert settled == [10_000] * steps


@pytest.fixture
async def plan(kafka_world: World, tmp_path: Path) -> AsyncIterator[Plan]:
    made = Plan(kafka_world, tmp_path)
    yield made
    for remote in made.remotes.values():
        await remote.kill()


async def test_a_killed_workers_task_goes_on_from_its_journal(plan: Plan) -> None:
    world = plan.world
    await world.open(top, planner, worker)
    await world.start(top, worker, name="here")
    await plan.start("one", "two")
    await world.acquainted_with("planner.one", "planner.two")
    submitted = await plan.begin("top.go")
    await plan.holder(submitted).kill()
    plan.open_gates("go")
    await world.story.until(lambda: len(plan.finished(submitted)) == 5)
    plan.open_gates("go-child")
    answer = await world.reply(submitted)
    # a death is an award's end and no verdict: the handler sees the number that the dead one saw
    assert answer.result == {"paid": [0, 1, 2, 3, 4], "child": "done", "attempt": 1}
    await world.ended(submitted.workflow)
    plan.check_once(submitted, 5)
    first, second = world.story.awards(plan.task(submitted))
    assert (second.epoch, second.cause, second.attempt) == (2, Cause.DIED, 2)
    assert first.worker.instance != second.worker.instance
    assert first.digest == second.digest
    # the child, which nobody repeated, was supervised by the dead worker and by its successor
    end = world.story.of(submitted.workflow, f.WorkFinished)[-1]
    assert (end.task, end.spent.micro_usd) == (submitted.workflow, 50_000)


async def test_a_killed_root_supervisor_is_followed_by_another(plan: Plan) -> None:
    world = plan.world
    await world.open(planner, worker)
    await world.start(worker, name="here")
    await plan.start("one", "two")
    submitted = await plan.begin("plan.five")
    killed = plan.holder(submitted)
    await killed.kill()
    plan.open_gates("go")
    await world.story.until(lambda: len(plan.finished(submitted)) == 5)
    plan.open_gates("go-child")
    answer = await world.reply(submitted)
    assert answer.result == {"paid": [0, 1, 2, 3, 4], "child": "done", "attempt": 1}
    await world.ended(submitted.workflow)
    plan.check_once(submitted, 5)
    story = world.story
    taken = [t.fact.by.instance for t in story.told if isinstance(t.fact, f.SupervisionTaken)]
    assert {f"planner.{name}" for name in ("one", "two")} <= set(taken)
    assert len(world.replies.answers[submitted.correlation_id]) == 1


async def test_a_drained_process_hands_its_work_over(plan: Plan) -> None:
    """SIGTERM: suspended, released, left; no attempt, nothing lost, nothing twice."""
    world = plan.world
    await world.open(planner, worker)
    await world.start(worker, name="here")
    await plan.start("one", "two")
    submitted = await plan.begin("plan.five")
    left = plan.holder(submitted)
    await left.stop()
    assert left.told == ["ready", "drained"]
    plan.open_gates("go")
    # it goes on although its child still runs: nothing says that it waited for that alone
    await world.story.until(lambda: len(plan.finished(submitted)) == 5)
    plan.open_gates("go-child")
    answer = await world.reply(submitted)
    assert answer.result == {"paid": [0, 1, 2, 3, 4], "child": "done", "attempt": 1}
    await world.ended(submitted.workflow)
    plan.check_once(submitted, 5)
    # on a busy machine a short lease may run out later on, and the work is handed over once more
    first, second, *_ = world.story.awards(submitted.workflow)
    assert (second.cause, second.attempt) == (Cause.RESUMED, 1)
    assert first.worker.instance == f"planner.{left.name}"
    assert second.worker.instance != first.worker.instance
    released = [t.fact for t in world.story.told if isinstance(t.fact, f.SupervisionReleased)]
    assert [fact.by.instance for fact in released] == [f"planner.{left.name}"]
    # a supervision with nothing open may lapse: the first record after that is void, and repeated
    assert {told.kind for told in world.story.void()} <= {"TaskOpened"}


async def test_changed_code_parks_the_task_with_both_sides(plan: Plan) -> None:
    world = plan.world
    await world.open(top, planner, worker)
    here = await world.start(top, worker, name="here")
    await plan.start("one")
    await world.acquainted_with("planner.one")
    submitted = await plan.begin("top.go")
    await plan.start("two", agent=CHANGED)
    await world.acquainted_with("planner.two")
    await plan.holder(submitted).kill()
    found = world.incidents.found
    await world.incidents.until(lambda: [i for i in found if i.kind == "journal-mismatch"])
    task = plan.task(submitted)
    told = next(i for i in found if i.kind == "journal-mismatch")
    assert told.task == task
    assert "step 2: the journal has tool pay" in told.text
    assert "the handler called delegate work.slow" in told.text
    await world.story.until(lambda: world.story.of(submitted.workflow, f.WorkSuspended))
    suspended = world.story.of(submitted.workflow, f.WorkSuspended)[0]
    assert [wait.kind for wait in suspended.waiting_for] == ["person"]
    assert suspended.waiting_for[0].note == told.text
    # parked: no attempt is lost for it, nobody tries again, nothing was paid twice
    second = world.story.awards(task)[1]
    assert (second.cause, second.attempt) == (Cause.DIED, 2)
    plan.open_gates("go", "go-child")
    await world.story.until(lambda: _child_ended(world, submitted))
    await world.cancel(here, submitted.workflow, "the code has changed")
    answer = await world.reply(submitted)
    assert (answer.status, answer.error) == (Status.CANCELLED, "the code has changed")
    await world.ended(submitted.workflow)
    assert len(world.story.awards(task)) == 2, str(world.story)
    plan.check_once(submitted, 3)


def _child_ended(world: World, submitted: Submitted) -> bool:
    ends = world.story.of(submitted.workflow, f.WorkFinished)
    child = world.story.children(submitted.workflow, "work.slow")[0].task
    return child in [end.task for end in ends]
