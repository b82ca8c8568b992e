"""Children whose opening was under way when their parent's award changed hands."""

from __future__ import annotations

import pytest

from mesh.core import facts as f
from mesh.core.values import Mode, Status
from tests.unit.core.fleet import Fleet, Peer, boss_and, delegate

SUB = "demo.sub"
DIED_MS = 18_000
BOTH_MODES = pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.AUCTION])


def delegated() -> tuple[Fleet, Peer, Peer, str]:
    """Return Ann at work on a part, and Carl who would do what she delegates."""
    fleet, (boss, ann) = boss_and("ann")
    carl = fleet.join("carl", SUB)
    return fleet, ann, carl, boss.delegate(boss.submit())


def awarded_again(fleet: Fleet, ann: Peer, task: str) -> None:
    """Let Ann's lease run out and the task be given to her once more, for nobody else is there."""
    first = ann.works[task].award
    ann.stall()
    fleet.wait(DIED_MS)
    assert ann.works[task].award != first


def finishes(carl: Peer, ann: Peer, task: str) -> None:
    (sub,) = carl.works
    carl.finish(sub)
    assert ann.results(task)["0"].status is Status.COMPLETED
    assert sub not in ann.node.supervisor.watches


@BOTH_MODES
def test_a_child_that_was_opened_in_vain_is_opened_again_and_watched(mode: Mode) -> None:
    """The report of the first opening comes while the second is on its way."""
    fleet, ann, carl, task = delegated()
    ann.stall()
    ann.call(task, delegate(capability=SUB, mode=mode))
    fleet.wait(DIED_MS)
    ann.call(task, delegate(capability=SUB, mode=mode))
    ann.flow()
    fleet.wait(1_000)
    assert fleet.story()[-1] in ("TaskOpened ann-1", "TaskAwarded ann-1")
    assert "void TaskOpened ann-1" in fleet.story()
    finishes(carl, ann, task)


@BOTH_MODES
def test_a_child_whose_opening_was_reported_to_the_award_before_is_watched(mode: Mode) -> None:
    fleet, ann, carl, task = delegated()
    fleet.hold(f.TaskOpened, ann)
    ann.call(task, delegate(capability=SUB, mode=mode))
    awarded_again(fleet, ann, task)
    ann.call(task, delegate(capability=SUB, mode=mode))
    assert len(fleet.facts(f.TaskOpened)) == 3, "the journal has it"
    ann.flow()
    fleet.let_go()
    fleet.wait(DIED_MS)
    finishes(carl, ann, task)


def test_a_child_that_died_meanwhile_is_given_to_somebody_else() -> None:
    fleet, ann, carl, task = delegated()
    ann.stall()
    ann.call(task, delegate(capability=SUB))
    fleet.wait(DIED_MS)
    ann.call(task, delegate(capability=SUB))
    ann.flow()
    dora = fleet.join("dora", SUB)
    (sub,) = carl.works
    carl.die()
    fleet.wait(DIED_MS)
    assert dora.works[sub].epoch == 2
