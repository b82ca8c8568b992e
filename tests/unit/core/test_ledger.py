"""What counts: authority and time. Budgets and journals are in `test_ledger_work.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.tasks import Header, Phase
from mesh.core.values import Acceptance, Amount, Cause, Outcome, Status
from tests.simulation.scribe import (
    ANN,
    BOB,
    BOSS,
    BUDGET,
    ELSEWHERE,
    LEASE_MS,
    RIVAL,
    ROOT,
    SOURCE,
    Scribe,
    body,
    terms,
)


@pytest.fixture
def log() -> Scribe:
    return Scribe()


# --- supervision --------------------------------------------------------------------------------


def test_a_running_supervision_is_not_taken_by_another(log: Scribe) -> None:
    assert log.take(BOSS) == ""
    assert log.take(RIVAL) == "boss-1 holds the supervision"
    assert log.take(RIVAL, ELSEWHERE) == ""


def test_the_end_of_a_lease_is_still_inside(log: Scribe) -> None:
    log.take(BOSS)
    assert log.take(RIVAL, after_ms=LEASE_MS) == "boss-1 holds the supervision"
    assert log.take(RIVAL, after_ms=1) == ""


def test_another_incarnation_is_another_holder(log: Scribe) -> None:
    log.take(BOSS)
    assert log.take(BOSS._replace(incarnation=2)) == "boss-1 holds the supervision"


def test_who_takes_again_holds_under_the_new_position_alone(log: Scribe) -> None:
    log.take(BOSS)
    first = log.supervision
    assert log.take(BOSS) == ""
    stale = f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=first)
    assert log.write(stale) == f"the authority is boss-1's, given at {first + 1}"


def test_renewal_extends_and_release_gives_up(log: Scribe) -> None:
    log.take(BOSS)
    renew = f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=log.supervision)
    assert log.write(renew, after_ms=900) == ""
    assert log.take(RIVAL, after_ms=900) == "boss-1 holds the supervision"
    assert log.ledger.supervision(SOURCE) is not None
    release = f.SupervisionReleased(source=SOURCE, by=BOSS, authority=log.supervision)
    assert log.write(release) == ""
    assert log.write(renew) == "the authority was given up"
    assert log.ledger.supervision(SOURCE) is None
    assert log.take(RIVAL) == ""


def test_a_lapsed_supervision_cannot_be_renewed(log: Scribe) -> None:
    log.take(BOSS)
    renew = f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=log.supervision)
    assert log.write(renew, after_ms=LEASE_MS + 5) == "the lease was over 5 ms before"


def test_nobody_holds_what_was_never_taken(log: Scribe) -> None:
    assert log.open_root() == "nobody holds the authority that it needs"
    assert log.ledger.supervision(SOURCE) is None


def test_log_time_never_goes_back(log: Scribe) -> None:
    log.take(BOSS)
    log.ledger.observe(log.now_ms + LEASE_MS + 1)
    assert log.take(RIVAL) == "", "the append time is before the lease's end, log time is not"


def test_a_holder_judges_with_a_margin_and_history_without() -> None:
    holder, history = Scribe(), Scribe()
    for log in (holder, history):
        log.take(BOSS)
    fact = f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=0)
    record = Record(1, holder.now_ms + LEASE_MS - 100, 1, fact)
    assert holder.ledger.add(record, 500) == "the lease was over 400 ms before"
    assert history.ledger.add(record) == ""


def test_who_wrote_that_a_task_expired_does_not_believe_it_before_the_record_is_that_late() -> None:
    """Its ledger has heard of a later time; the log, in its order, may not have."""
    log = Scribe()
    log.take(lease_ms=90_000)
    log.open_root(deadline_ms=log.now_ms + 5_000)
    deadline_ms = log.task().opened.deadline_ms
    log.ledger.observe(deadline_ms + 1_000)
    expired = f.TaskExpired(**log.rule(), reason="late")
    unknown = "whether the deadline had passed is not known"
    assert log.ledger.add(Record(9, deadline_ms, 7, expired), 500) == unknown
    assert ROOT in log.ledger.tasks
    assert log.ledger.add(Record(10, deadline_ms + 1_000, 8, expired), 500) == ""
    assert log.ledger.ended[ROOT].status is Status.EXPIRED


# --- replays ------------------------------------------------------------------------------------


def test_a_repeat_of_an_emitters_fact_is_void(log: Scribe) -> None:
    log.take(BOSS)
    assert log.again(log.records[0]) == "repeats an earlier fact of its emitter"


def test_a_void_fact_does_not_make_its_successor_void(log: Scribe) -> None:
    log.take(BOSS)
    assert log.take(RIVAL)
    assert log.take(RIVAL, after_ms=2 * LEASE_MS) == ""


# --- opening ------------------------------------------------------------------------------------


def test_a_root_task_is_opened_once(log: Scribe) -> None:
    log.take(BOSS)
    assert log.open_root() == ""
    assert log.task().phase is Phase.OPEN
    assert log.open_root() == "the task exists already"
    assert log.write(f.TaskFailed(**log.rule(), reason="no")) == ""
    assert log.open_root() == "the task exists already"
    assert log.ledger.ended[ROOT].status is Status.FAILED


def test_a_root_task_is_named_like_its_workflow(log: Scribe) -> None:
    log.take(BOSS)
    void = "a root task is named like its workflow"
    assert log.open_root(workflow="0-other") == void
    assert log.open_root(task="", workflow="") == void
    assert ROOT not in log.ledger.tasks


def test_a_grant_is_not_negative(log: Scribe) -> None:
    log.take(BOSS)
    assert log.open_root(grant=Amount(tokens=-1)) == "a grant is not negative"
    log.open_root(terms(ANN))
    assert log.open_child(grant=Amount(hops=-1)) == "a grant is not negative"


def test_a_task_past_its_deadline_is_opened_only_to_be_ended(log: Scribe) -> None:
    log.take(BOSS)
    assert log.open_root(terms(ANN), deadline_ms=log.now_ms) == "the deadline has passed"
    assert log.open_root(deadline_ms=log.now_ms) == ""
    assert log.write(log.awarded(terms(ANN))) == "the deadline has passed"
    assert log.write(f.TaskExpired(**log.rule(), reason="late")) == ""


def test_the_first_award_is_a_first_one(log: Scribe) -> None:
    log.take(BOSS)
    void = "a task's first award begins with the first epoch and cause"
    assert log.open_root(terms(ANN, epoch=0)) == void
    assert log.open_root(terms(ANN, cause=Cause.DIED)) == void


def test_a_child_is_opened_by_its_parents_worker(log: Scribe) -> None:
    log.begin()
    assert log.open_child(award=terms(BOB)) == ""
    child = log.task(log.child_name())
    assert child.phase is Phase.WORKING
    assert list(log.ledger.descendants(log.task())) == [child]


@pytest.mark.parametrize(
    ("wrong", "void"),
    [
        ({"parent": "0-nobody"}, "nobody holds the authority that it needs"),
        ({"by": BOSS, "authority": 0}, "the authority is ann-1's, given at 1"),
        ({"workflow": "0-other"}, "a child belongs to its parent's workflow"),
        ({"source": ELSEWHERE}, "a child belongs to its parent's workflow"),
        ({"task": "0-free"}, "the child's id does not follow from parent, step and input"),
        ({"deadline_ms": 10_000}, "the deadline has passed"),
        ({"deadline_ms": 10**9}, "a child's deadline is not after its parent's"),
        ({"grant": Amount(micro_usd=1_001)}, "the grant is above what is free"),
        ({"grant": Amount(hops=20)}, "the grant is above what is free"),
    ],
)
def test_a_child_that_does_not_fit_its_parent_is_void(
    log: Scribe, wrong: dict[str, object], void: str
) -> None:
    log.begin()
    assert log.write(log.child(**wrong)) == void


def test_a_step_has_one_child(log: Scribe) -> None:
    log.begin()
    assert log.open_child() == ""
    again = log.child(input=body("another"))
    assert log.write(again) == "the step has a result or a child already"


def test_a_chain_has_a_limit(log: Scribe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.core.rules.MAX_ANCESTORS", 0)
    log.begin()
    above = (("0-root", "demo.work", "ann", b""),)
    assert log.open_child(ancestors=above) == "a chain is at most 0 long"


# --- awards -------------------------------------------------------------------------------------


def test_no_second_award_while_a_lease_runs(log: Scribe) -> None:
    log.begin()
    again = log.awarded(terms(BOB, epoch=2, cause=Cause.DIED))
    assert log.write(again, after_ms=LEASE_MS) == "the task's own lease is running"
    assert log.write(again) == ""
    assert log.task().attempts == 1
    assert log.task().lease is not None


def test_an_epoch_only_grows(log: Scribe) -> None:
    log.begin()
    late = log.awarded(terms(BOB, epoch=1, cause=Cause.DIED))
    assert log.write(late, after_ms=LEASE_MS + 1) == "epoch 1 is not above 1"


def test_the_log_knows_why_an_award_was_written(log: Scribe) -> None:
    log.begin()
    wrong = log.awarded(terms(BOB, epoch=2, cause=Cause.DECLINED))
    assert log.write(wrong, after_ms=LEASE_MS + 1) == "the log says that the award's cause is died"


def test_attempts_are_limited_by_the_task(log: Scribe) -> None:
    log.begin(max_attempts=2)
    second = log.awarded(terms(BOB, epoch=2, cause=Cause.DIED))
    assert log.write(second, after_ms=LEASE_MS + 1) == ""
    third = log.awarded(terms(BOB, epoch=3, cause=Cause.DIED))
    assert log.write(third, after_ms=LEASE_MS + 1) == "no attempt is left"


def test_attempts_are_limited_by_the_budget(log: Scribe) -> None:
    log.begin(grant=BUDGET._replace(attempts=0))
    second = log.awarded(terms(BOB, epoch=2, cause=Cause.DIED))
    assert log.write(second, after_ms=LEASE_MS + 1) == "the budget has no attempt left"


def test_a_declined_award_is_no_attempt(log: Scribe) -> None:
    log.begin()
    assert log.write(f.AwardDeclined(**log.work(), reason="full")) == ""
    assert log.write(log.awarded(terms(BOB, 2, Cause.DECLINED))) == ""
    assert log.task().attempts == 0
    assert log.task().purse.free == BUDGET


def test_what_was_begun_cannot_be_declined(log: Scribe) -> None:
    log.begin()
    assert log.write(log.decided()) == ""
    assert log.write(f.AwardDeclined(**log.work(), reason="full")) == "the work has begun"


def test_an_old_worker_has_no_authority_after_the_next_award(log: Scribe) -> None:
    log.begin()
    late = log.decided()
    assert log.write(log.awarded(terms(BOB, 2, Cause.DIED)), after_ms=LEASE_MS + 1) == ""
    assert log.write(late) == "the authority is bob-1's, given at 2"


def test_a_workers_facts_extend_its_lease_even_if_void(log: Scribe) -> None:
    log.begin()
    assert log.write(log.settled("9"), after_ms=900) == "no such reservation is open"
    assert log.write(log.decided(), after_ms=900) == ""
    assert log.write(log.decided("1"), after_ms=LEASE_MS + 7) == "the lease was over 7 ms before"


def test_a_lease_ends_at_the_deadline(log: Scribe) -> None:
    log.take(lease_ms=9_000)
    log.open_root(terms(ANN), deadline_ms=log.now_ms + 100)
    assert log.write(log.decided(), after_ms=50) == ""
    assert log.write(log.decided("1"), after_ms=50) == "the lease was over 1 ms before"
    assert log.write(f.TaskExpired(**log.rule(), reason="late")) == ""
    assert log.ledger.ended[ROOT].status is Status.EXPIRED


def test_one_renewal_extends_many_leases_of_its_author_alone(log: Scribe) -> None:
    log.begin()
    log.open_root(terms(ANN), task="0-b", workflow="0-b")
    log.open_root(terms(BOB), task="0-c", workflow="0-c")
    named = (*(log.award(name) for name in (ROOT, "0-b", "0-c")), 99)
    assert log.write(f.LeaseRenewed(by=ANN, awards=named), after_ms=900) == ""
    assert log.write(log.decided(), after_ms=900) == ""
    ends = [log.task(name).lease for name in ("0-b", "0-c")]
    assert [lease.running(log.now_ms) for lease in ends if lease] == [True, False]


def test_a_renewal_of_nothing_is_void(log: Scribe) -> None:
    log.begin()
    fact = f.LeaseRenewed(by=ANN, awards=(log.award(),))
    void = "no award that is named is the author's and running"
    assert log.write(fact, after_ms=LEASE_MS + 1) == void


# --- who supervises -----------------------------------------------------------------------------


def test_a_child_is_supervised_by_the_nearest_ancestor_that_works(log: Scribe) -> None:
    log.begin()
    log.open_child()
    name = log.child_name()
    by_boss = log.awarded(terms(BOB), name)
    assert log.write(by_boss).startswith("the authority is ann-1's")
    by_worker = log.awarded(terms(BOB), name, **log.under())
    assert log.write(by_worker) == ""


def test_with_no_worker_above_the_task_partition_supervises(log: Scribe) -> None:
    log.begin()
    log.open_child()
    name = log.child_name()
    log.write(log.suspended())
    assert log.write(log.awarded(terms(BOB), name)) == ""
    grandchild = log.child(parent=name)
    assert log.write(grandchild) == ""
    deep = log.awarded(terms(BOSS), grandchild.task, **log.under(name))
    assert log.write(deep) == ""
    assert len(list(log.ledger.descendants(log.task()))) == 2


def test_a_fact_about_an_unknown_task_or_of_another_workflow_is_void(log: Scribe) -> None:
    log.begin()
    assert log.write(replace(log.decided(), task="0-nobody")) == "no such open task"
    assert log.write(replace(log.decided(), workflow="0-other")) == "no such open task"


# --- ends ---------------------------------------------------------------------------------------


def test_a_completed_result_is_the_end(log: Scribe) -> None:
    log.begin()
    assert log.write(log.finished()) == ""
    end = log.ledger.ended[ROOT]
    assert (end.status, end.body) == (Status.COMPLETED, body("result"))
    assert not log.ledger.tasks
    assert not log.ledger.awards
    assert log.write(log.finished()) == "no such open task"


def test_a_reviewed_result_waits_for_its_check(log: Scribe) -> None:
    log.begin(acceptance=Acceptance.REVIEWED)
    award = log.award()
    assert log.write(log.finished()) == ""
    assert log.task().phase is Phase.REVIEW
    wrong = f.ResultRejected(**log.rule(), award=award + 99, reason="no")
    assert log.write(wrong) == "another award is current"
    assert log.write(f.ResultRejected(**log.rule(), award=award, reason="no sum")) == ""
    assert log.task().reason == "no sum"
    assert log.write(log.awarded(terms(BOB, 2, Cause.REJECTED))) == ""
    assert log.write(log.finished()) == ""
    assert log.write(f.TaskCompleted(**log.rule(), award=log.award())) == ""
    end = log.ledger.ended[ROOT]
    assert (end.status, end.body) == (Status.COMPLETED, body("result"))


def test_an_award_is_no_move_in_review(log: Scribe) -> None:
    log.begin(acceptance=Acceptance.REVIEWED)
    log.write(log.finished())
    void = log.write(log.awarded(terms(BOB, 2, Cause.REJECTED)))
    assert void == "a task that is review takes no TaskAwarded"


def test_a_failed_attempt_is_followed_by_another_or_by_the_end(log: Scribe) -> None:
    log.begin()
    assert log.write(log.finished(outcome=Outcome.FAILED, error="boom")) == ""
    assert (log.task().phase, log.task().attempts, log.task().reason) == (Phase.OPEN, 1, "boom")
    assert log.write(log.awarded(terms(BOB, 2, Cause.FAILED))) == ""
    assert log.write(log.finished(outcome=Outcome.REJECTED, error="unfit")) == ""
    assert log.write(f.TaskRejected(**log.rule(), reason="unfit", field="/x")) == ""
    assert log.ledger.ended[ROOT].status is Status.REJECTED


def test_the_supervisors_end_needs_the_whole_subtree_to_rest(log: Scribe) -> None:
    log.begin()
    log.open_child(award=terms(BOB, lease_ms=5_000))
    failed = f.TaskFailed(**log.rule(), reason="no attempt left")
    assert log.write(failed) == "the task's own lease is running"
    assert log.write(failed, after_ms=LEASE_MS + 1) == "a lease below is running"
    assert log.write(failed, after_ms=5_000) == ""
    assert not log.ledger.tasks


def test_a_deeper_lease_counts_as_well(log: Scribe) -> None:
    log.begin()
    log.open_child(award=terms(BOB))
    log.open_child(parent=log.child_name(), award=terms(BOSS, lease_ms=9_000))
    failed = f.TaskFailed(**log.rule(), reason="no")
    assert log.write(failed, after_ms=2_000) == "a lease below is running"


def test_a_worker_cannot_finish_over_a_running_child(log: Scribe) -> None:
    log.begin()
    log.open_child(award=terms(BOB, lease_ms=100))
    for fact in (log.finished(), log.cancelled()):
        assert log.write(fact) == "a lease below is running"
    assert log.task().phase is Phase.WORKING, "it gave nothing up"
    assert log.write(log.finished(), after_ms=200) == ""


def test_the_end_of_a_task_cancels_what_is_open_below(log: Scribe) -> None:
    log.begin()
    log.open_child(award=terms(BOB, lease_ms=100))
    grandchild = log.child(parent=log.child_name(), award=terms(BOSS, lease_ms=100))
    log.write(grandchild)
    assert log.write(log.finished(), after_ms=200) == ""
    assert not log.ledger.tasks
    late = replace(log.decided(), task=grandchild.task)
    assert log.write(late) == "no such open task"


def test_only_what_was_asked_for_is_cancelled(log: Scribe) -> None:
    log.take(lease_ms=9_000)
    log.open_root()
    gone = f.TaskCancelled(**log.rule(), reason="asked")
    assert log.write(gone) == "nobody asked for it"
    ask = f.CancelRequested(**log.rule(), because="too late", person="eve")
    assert log.write(ask) == ""
    assert log.write(replace(ask, because="once more")) == ""
    cancel = log.task().cancel
    assert cancel is not None
    assert cancel.because == "too late", "the first request is kept"
    assert log.write(gone) == ""


def test_a_request_to_cancel_changes_no_lease(log: Scribe) -> None:
    log.begin()
    log.write(f.CancelRequested(**log.rule(), because="too late", person=""))
    assert log.write(f.TaskCancelled(**log.rule(), reason="")) == "the task's own lease is running"
    assert log.write(log.cancelled()) == ""
    assert log.task().phase is Phase.OPEN
    assert log.write(f.TaskCancelled(**log.rule(), reason="")) == ""


def test_a_task_is_not_expired_before_its_deadline(log: Scribe) -> None:
    log.begin()
    expired = f.TaskExpired(**log.rule(), reason="late")
    void = log.write(expired, after_ms=LEASE_MS + 1)
    assert void == "the deadline has not passed"


def test_expiry_waits_for_what_runs_below() -> None:
    log = Scribe()
    log.begin()
    log.open_child(award=terms(BOB, lease_ms=10**6))
    log.ledger.tasks[log.child_name()].lease.limit_ms = 10**9  # type: ignore[union-attr] # set above
    log.ledger.tasks[log.child_name()].lease.extend(10**8)  # type: ignore[union-attr] # as above
    log.take(BOSS, after_ms=70_000, lease_ms=9_000)
    assert log.write(f.TaskExpired(**log.rule(), reason="late")) == "a lease below is running"


def test_bids_are_called_for_as_often_as_one_likes(log: Scribe) -> None:
    log.take()
    log.open_root()
    call = f.BidsCalled(
        **log.rule(), round=1, seed=1, candidates=("a",), bids_until_ms=1, own_offer=None
    )
    assert log.write(call) == ""
    assert log.write(replace(call, round=2)) == ""


# --- suspension ---------------------------------------------------------------------------------


def test_a_suspended_task_is_resumed_and_that_is_no_attempt(log: Scribe) -> None:
    log.begin()
    assert log.write(log.suspended()) == ""
    assert log.task().phase is Phase.SUSPENDED
    assert log.task().waiting_for[0].kind == "sleep"
    assert log.write(log.decided()) == "the authority was given up"
    assert log.write(log.awarded(terms(BOB, 2, Cause.RESUMED))) == ""
    assert (log.task().attempts, log.task().waiting_for) == (0, ())


def test_children_go_on_while_their_parent_is_suspended(log: Scribe) -> None:
    log.begin()
    log.open_child(award=terms(BOB))
    assert log.write(log.suspended()) == ""
    name = log.child_name()
    assert log.write(replace(log.decided(), task=name, **log.under(name))) == ""
    assert log.write(log.finished(name)) == ""
    step = log.task().steps["0"]
    assert step.result is not None
    assert step.result.status is Status.COMPLETED


# --- reading from the middle --------------------------------------------------------------------


def test_a_reader_that_begins_at_a_header_agrees_with_one_that_read_all(log: Scribe) -> None:
    log.take(lease_ms=500)
    log.open_root(task="0-a", workflow="0-a")
    seen = log.ledger.supervision(SOURCE)
    assert seen is not None
    header = Header(len(log.records), log.ledger.log_time_ms, (seen,))
    partial = Ledger.begin(header)
    log.open_root(terms(ANN))
    log.write(log.begun())
    log.take(RIVAL, after_ms=600)
    verdicts = [partial.add(record) for record in log.records[header.offset :]]
    assert verdicts == ["", "", ""]
    assert repr(partial.tasks[ROOT]) == repr(log.task())
    assert partial.log_time_ms == log.ledger.log_time_ms
    assert partial.supervision(SOURCE) == log.ledger.supervision(SOURCE)


def test_a_header_without_supervision_knows_none() -> None:
    ledger = Ledger.begin(Header(5, 123, ()))
    assert (ledger.log_time_ms, ledger.supervision(SOURCE)) == (123, None)
    assert repr(ledger) == "Ledger(log_time=123, open=0, ended=0)"


# --- learning from messages ---------------------------------------------------------------------


def test_a_peers_records_are_learnt_without_judgement(log: Scribe) -> None:
    log.begin()
    award = log.award()
    peer = Ledger()
    peer.learn(log.records[0])
    peer.learn(log.records[1])
    peer.learn(log.records[1])
    assert peer.awards[award].opened.task == ROOT
    assert log.write(log.begun()) == ""
    assert log.write(log.done()) == ""
    log.write(log.finished())
    peer.learn(log.records[-1], lease_end_ms=77_000)
    assert peer.ended[ROOT].spent == log.ledger.ended[ROOT].spent
    peer.learn(log.records[-1])
    assert not peer.tasks


def test_what_a_peer_knows_of_a_lease_is_taken_over(log: Scribe) -> None:
    log.begin()
    peer = Ledger()
    peer.learn(log.records[1])
    log.write(log.begun())
    peer.learn(log.records[-1], lease_end_ms=40_000)
    lease = peer.tasks[ROOT].lease
    assert lease is not None
    assert lease.end_ms == 40_000


def test_a_record_that_the_phase_does_not_allow_is_not_learnt(log: Scribe) -> None:
    log.take()
    log.open_root()
    peer = Ledger()
    peer.learn(log.records[1])
    peer.learn(Record(9, 20_000, 0, log.decided()))
    assert not peer.tasks[ROOT].steps


def test_forgetting_a_task_forgets_all_below(log: Scribe) -> None:
    log.begin()
    log.open_child(award=terms(BOB))
    log.ledger.forget(log.task())
    assert not log.ledger.tasks
    assert not log.ledger.awards


def test_states_show_themselves(log: Scribe) -> None:
    log.begin()
    log.write(log.begun())
    assert "working epoch=1" in repr(log.task())
    assert "ann-1/1 until" in repr(log.task().lease)
    assert repr(log.task().steps["0"]) == "StepState(tool post begun)"
    assert "total=(1000" in repr(log.task().purse)
    log.write(log.suspended())
    assert "given up" in repr(log.task().lease)


def test_costs_are_those_of_the_whole_subtree(log: Scribe) -> None:
    log.begin()
    assert log.ledger.cost(log.task()) == ZERO
    log.open_child(award=terms(BOB))
    log.write(log.begun(of=log.child_name()))
    assert log.ledger.cost(log.task()) == Amount(micro_usd=10, tool_calls=1, hops=1)
