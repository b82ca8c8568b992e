from __future__ import annotations

from mesh.core import facts as f
from mesh.core.values import Acceptance, Amount, Cause, Outcome, StepKind, Wait
from mesh.telling.story import PARENT_ENDED, Chronicle, Story, tell
from tests.simulation.scribe import ANN, BOB, ROOT, Scribe, terms
from tests.unit.cli.conftest import Recorded


def told(log: Scribe) -> Story:
    chronicle = Chronicle(ROOT)
    for record in log.records:
        chronicle.add(record)
    story = tell(chronicle, 0)
    assert story is not None
    return story


def test_nothing_is_told_of_a_workflow_that_was_never_opened() -> None:
    log = Scribe()
    log.take()
    chronicle = Chronicle(ROOT)
    for record in log.records:
        assert chronicle.add(record) is None
    assert tell(chronicle, 0) is None
    assert not chronicle.ended


def test_a_task_is_told_with_its_steps_cost_and_end() -> None:
    log = Scribe()
    log.begin()
    assert not log.write(log.begun("0"))
    assert not log.write(log.done("0"), after_ms=40)
    assert not log.write(log.reserved("1"))
    assert not log.write(log.settled("1"))
    assert not log.write(log.decided("2"))
    assert not log.write(log.finished())
    story = told(log)
    root = story.root
    assert (root.status, root.agent, root.confidence_permille) == ("completed", "ann", 900)
    assert root.cost == Amount(micro_usd=37, tool_calls=1)
    assert [(step.kind, step.cost.micro_usd) for step in root.steps] == [
        (StepKind.TOOL, 7),
        (StepKind.SPEND, 30),
        (StepKind.DECISION, 0),
    ]
    first = root.steps[0]
    assert first.ended_ms is not None
    assert first.ended_ms - first.began_ms == 40
    assert root.steps[2].text == "it is shorter"
    assert root.ended_ms == log.now_ms
    assert [award.ending for award in root.awards] == ["completed"]


def test_a_dead_worker_is_told_and_what_it_left_is_charged() -> None:
    log = Scribe()
    log.begin()
    log.write(log.begun("0"))
    assert not log.write(log.awarded(terms(BOB, 2, Cause.DIED, attempt=2)), after_ms=2_000)
    assert not log.write(log.begun("0"))
    assert not log.write(log.done("0"))
    root = told(log).root
    assert [(own.instance, own.ending, own.cause) for own in root.awards] == [
        ("ann-1", "died", Cause.FIRST),
        ("bob-1", "running", Cause.DIED),
    ]
    (step,) = root.steps
    assert (step.tries, step.cost.micro_usd) == (2, 17)
    assert root.cost == Amount(micro_usd=17, tool_calls=2, attempts=1)
    assert root.status == "working"
    assert root.ended_ms is None


def test_children_hang_under_the_step_that_delegated_them() -> None:
    log = Scribe()
    log.begin()
    assert not log.open_child("0", award=terms(BOB))
    child = log.child_name()
    assert not log.write(log.finished(child))
    assert not log.write(log.finished())
    story = told(log)
    (step,) = story.root.steps
    assert step.child is not None
    assert (step.child.task, step.child.parent, step.child.agent) == (child, ROOT, "bob")
    assert [task.task for task in story.tasks] == [ROOT, child]


def test_an_end_above_cancels_what_is_open_below() -> None:
    log = Scribe()
    log.begin()
    assert not log.open_child("0")
    log.write(f.CancelRequested(**log.rule(), because="ordered twice", person="eve"))
    assert not log.write(f.TaskCancelled(**log.rule(), reason="ordered twice"), after_ms=2_000)
    root = told(log).root
    assert (root.status, root.cancelled_because) == ("cancelled", "ordered twice (eve)")
    below = root.steps[0].child
    assert below is not None
    assert (below.status, below.reason) == ("cancelled", PARENT_ENDED)


def test_what_does_not_count_is_kept_beside_the_story() -> None:
    log = Scribe()
    log.begin()
    assert log.write(log.finished(by=BOB))
    story = told(log)
    assert story.root.status == "working"
    (entry,) = story.void
    assert "the authority is ann-1's" in entry.void
    assert entry.books is not None
    assert entry.books.free == entry.books.total


def test_a_result_sent_back_and_one_accepted() -> None:
    log = Scribe()
    log.begin(acceptance=Acceptance.REVIEWED)
    assert not log.write(log.finished())
    award = log.award()
    assert not log.write(f.ResultRejected(**log.rule(), award=award, reason="too short"))
    assert not log.write(log.awarded(terms(ANN, 2, Cause.REJECTED, attempt=2, reason="too short")))
    assert not log.write(log.finished())
    assert not log.write(f.TaskCompleted(**log.rule(), award=log.award()))
    root = told(log).root
    assert [(own.ending, own.because) for own in root.awards] == [
        ("sent back", "too short"),
        ("completed", ""),
    ]
    assert root.awards[1].reason == "too short"
    assert root.status == "completed"


def test_a_rejection_names_the_field() -> None:
    log = Scribe()
    log.take(lease_ms=30_000)
    log.open_root()
    assert not log.write(f.TaskRejected(**log.rule(), reason="is missing", field="/qty"))
    root = told(log).root
    assert (root.status, root.reason) == ("rejected", "/qty: is missing")


def test_a_parked_task_says_what_a_person_must_look_at() -> None:
    log = Scribe()
    log.begin()
    wait = Wait("0", "person", "", 0, "was it paid?")
    assert not log.write(log.suspended(waiting_for=(wait,)))
    root = told(log).root
    assert (root.status, root.parked, root.waiting) == ("suspended", "was it paid?", ("person",))
    assert root.awards[0].ending == "suspended"


def test_a_declined_award_and_a_failed_attempt() -> None:
    log = Scribe()
    log.begin()
    assert not log.write(f.AwardDeclined(**log.work(), reason="full"))
    assert not log.write(log.awarded(terms(BOB, 2, Cause.DECLINED)))
    assert not log.write(log.finished(outcome=Outcome.FAILED, error="ValueError: no"))
    root = told(log).root
    assert [(own.ending, own.because) for own in root.awards] == [
        ("declined", "full"),
        ("failed", "ValueError: no"),
    ]
    assert root.status == "open"


def test_a_story_of_a_real_mesh(recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    partition, records = recorded.records(workflow)
    chronicle = Chronicle(workflow)
    for record in records:
        chronicle.add(record)
    assert chronicle.ended
    story = tell(chronicle, partition)
    assert story is not None
    assert story.root.status == "completed"
    child = story.root.steps[0].child
    assert child is not None
    assert [award.ending for award in child.awards] == ["sent back", "completed"]
    assert [award.agent for award in child.awards] == ["ann", "bob"]
    assert story.root.cost.micro_usd == 50_000
    assert story.root.result is not None
