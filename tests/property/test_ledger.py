"""The fold over any log: total, conserving, deaf to replays, unmoved by what is void."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mesh.core import facts as f
from mesh.core.budget import ZERO, add, fits
from mesh.core.facts import Fact, Record
from mesh.core.ledger import Ledger
from mesh.core.tasks import TaskState
from mesh.core.values import Acceptance, Amount, Cause, Effect, Holder, Outcome, StepKind, Wait
from tests.simulation.scribe import (
    ANN,
    BOB,
    BOSS,
    ELSEWHERE,
    INBOX,
    RIVAL,
    ROOT,
    SOURCE,
    START_MS,
    Scribe,
    body,
    terms,
)

HOLDERS = st.sampled_from((BOSS, RIVAL, ANN, BOB, ANN._replace(incarnation=2)))
SOURCES = st.sampled_from((SOURCE, ELSEWHERE))
TASKS = st.sampled_from(
    (ROOT, "", "0-x", Scribe().child_name("0"), Scribe().child_name("1"), "0-root2")
)
STEPS = st.sampled_from(("0", "1", "2", ""))
PLACES = st.integers(-1, 12)
AMOUNTS = st.builds(Amount, *(st.integers(-2, 40) for _ in range(5)))
TIMES = st.integers(START_MS - 100, START_MS + 70_000)
TERMS = st.builds(
    terms,
    HOLDERS,
    st.integers(-1, 3),
    st.sampled_from(Cause),
    lease_ms=st.integers(-5, 3_000),
)


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    """Draw any fact at all about a few tasks, mostly nonsense."""
    log = Scribe()
    task, by, authority = draw(TASKS), draw(HOLDERS), draw(PLACES)
    about: dict[str, Any] = {
        "workflow": draw(st.sampled_from((task, ROOT))),
        "task": task,
        "by": by,
    }
    under: dict[str, Any] = {**about, "authority": authority}
    step, amount = draw(STEPS), draw(AMOUNTS)
    kind = draw(st.sampled_from(StepKind))

    def opened() -> Fact:
        return replace(
            log.opened(**under),
            source=draw(SOURCES),
            parent=draw(st.sampled_from(("", ROOT, "0-x"))),
            step=step,
            input=draw(st.sampled_from((body("child"), body("root")))),
            grant=amount,
            deadline_ms=draw(TIMES),
            acceptance=draw(st.sampled_from(Acceptance)),
            award=draw(st.none() | TERMS),
        )

    supervisory: dict[str, Any] = {"source": draw(SOURCES), "by": by}
    choices: tuple[Callable[[], Fact], ...] = (
        opened,
        opened,
        lambda: f.SupervisionTaken(**supervisory, inbox=INBOX, lease_ms=-5),
        lambda: f.SupervisionTaken(**supervisory, inbox=INBOX, lease_ms=9_000),
        lambda: f.SupervisionRenewed(**supervisory, authority=authority),
        lambda: f.SupervisionReleased(**supervisory, authority=authority),
        lambda: f.BidsCalled(
            **under, round=0, seed=0, candidates=(), bids_until_ms=0, own_offer=None
        ),
        lambda: f.TaskAwarded(**under, award=draw(TERMS)),
        lambda: f.ResultRejected(**under, award=draw(PLACES), reason="no"),
        lambda: f.CancelRequested(**under, because="no", person=""),
        lambda: f.TaskCompleted(**under, award=draw(PLACES)),
        lambda: f.TaskFailed(**under, reason="no"),
        lambda: f.TaskRejected(**under, reason="no", field=""),
        lambda: f.TaskExpired(**under, reason="no"),
        lambda: f.TaskCancelled(**under, reason="no"),
        lambda: f.AwardDeclined(**under, reason="no"),
        lambda: f.StepBegun(
            **under, step=step, kind=kind, name="n", input_hash=b"", effect=Effect.PURE,
            reserve=amount, until_ms=0,
        ),
        lambda: f.StepFinished(
            **under, step=step, kind=kind, name="n", input_hash=b"", spent=amount, error="",
            result=body("r"),
        ),
        lambda: f.SpendReserved(
            **under, step=step, number=draw(st.integers(0, 2)), amount=amount, because=""
        ),
        lambda: f.SpendSettled(**under, step=step, number=draw(st.integers(0, 2)), amount=amount),
        lambda: f.DecisionRecorded(**under, step=step, choice="c", because="", evidence=()),
        lambda: f.LeaseRenewed(by=by, awards=(authority,)),
        lambda: f.WorkSuspended(**under, waiting_for=(Wait("0", "sleep", "", 0, ""),)),
        lambda: f.WorkCancelled(**under, reason="no", spent=draw(st.just(ZERO) | AMOUNTS)),
        lambda: f.WorkFinished(
            **under, outcome=draw(st.sampled_from(Outcome)), spent=draw(st.just(ZERO) | AMOUNTS),
            confidence_permille=0, sources=(), error="", field="", result=body("r"),
        ),
    )  # fmt: skip
    return draw(st.sampled_from(choices))()


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Draw a log: a taking, a root task, then anything; times may jump back."""
    log = Scribe()
    log.take(lease_ms=30_000)
    log.open_root(terms(ANN))
    records = list(log.records)
    sequences: dict[Holder, int] = {BOSS: 1}
    for fact in draw(st.lists(facts(), max_size=12)):
        sequence = sequences.get(fact.by, -1) + draw(st.sampled_from((1, 1, 1, 0)))
        sequences[fact.by] = max(sequence, sequences.get(fact.by, -1))
        records.append(Record(len(records), draw(TIMES), sequence, fact))
    return records


def seen(ledger: Ledger) -> object:
    """Return what a ledger has come to, without time, leases and sequences."""
    return {
        name: (
            (task.phase, task.epoch, task.attempts, task.cause, repr(task.purse)),
            (list(task.children), dict(task.reserved), task.waiting_for, task.cancel),
            {step: repr(state) for step, state in task.steps.items()},
            task.lease is not None and task.lease.held,
        )
        for name, task in ledger.tasks.items()
    }, dict(ledger.ended)  # fmt: skip


def balanced(task: TaskState) -> bool:
    held = ZERO
    for amount in task.reserved.values():
        held = add(held, amount)
    return task.purse.balanced() and held == task.purse.reserved


@given(logs())
@settings(max_examples=150)
def test_the_fold_is_total_and_conserves_and_what_is_void_changes_nothing(
    records: list[Record],
) -> None:
    ledger, again = Ledger(), Ledger()
    for record in records:
        before = seen(ledger)
        void = ledger.add(record)
        assert all(balanced(task) for task in ledger.tasks.values())
        assert again.add(record) == void, "the same log gives the same answer"
        if void:
            assert seen(ledger) == before


@given(logs(), st.data())
@settings(max_examples=50)
def test_a_replay_changes_nothing(records: list[Record], data: st.DataObject) -> None:
    ledger = Ledger()
    for record in records:
        ledger.add(record)
    before, time_ms = seen(ledger), ledger.log_time_ms
    again = data.draw(st.sampled_from(records))
    assert ledger.add(again._replace(offset=len(records), append_ms=time_ms))
    assert seen(ledger) == before
    assert ledger.log_time_ms == time_ms


@given(logs())
@settings(max_examples=50)
def test_nothing_that_a_peer_says_breaks_a_ledger(records: list[Record]) -> None:
    ledger = Ledger()
    for record in records:
        if not isinstance(record.fact, f.StepFact):  # no message carries them
            ledger.learn(record)
            assert ledger.log_time_ms >= record.append_ms


@given(logs())
@settings(max_examples=50)
def test_a_holders_judgement_is_never_milder_than_historys(records: list[Record]) -> None:
    holder, history = Ledger(), Ledger()
    for record in records:
        mild = history.add(record)
        if isinstance(record.fact, f.SupervisionTaken):
            holder.add(record)  # a taking is judged by who reads it
        elif mild:
            assert holder.add(record, 500)
        else:
            holder.add(record)


class Conservation(RuleBasedStateMachine):
    """Mutable: mostly legal moves on one workflow; all that was given is somewhere, always."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Scribe()
        self.children: list[str] = []

    @initialize()
    def open(self) -> None:
        self.log.take(lease_ms=10**9)
        self.log.open_root(terms(ANN))

    def _task(self, pick: int) -> str:
        names = [ROOT, *self.children]
        return names[pick % len(names)]

    @rule(step=STEPS, award=st.booleans(), grant=AMOUNTS)
    def delegate(self, step: str, award: bool, grant: Amount) -> None:
        if not self.log.open_child(step, terms(BOB) if award else None, grant=grant):
            self.children.append(self.log.child_name(step))

    @rule(pick=st.integers(0, 3), step=STEPS, amount=AMOUNTS)
    def begin(self, pick: int, step: str, amount: Amount) -> None:
        self.log.write(self.log.begun(step, of=self._task(pick), reserve=amount))

    @rule(pick=st.integers(0, 3), step=STEPS, amount=AMOUNTS)
    def finish_step(self, pick: int, step: str, amount: Amount) -> None:
        self.log.write(self.log.done(step, of=self._task(pick), spent=amount))

    @rule(step=STEPS, number=st.integers(0, 1), amount=AMOUNTS)
    def reserve(self, step: str, number: int, amount: Amount) -> None:
        self.log.write(self.log.reserved(step, number, amount=amount))

    @rule(step=STEPS, number=st.integers(0, 1), amount=AMOUNTS)
    def settle(self, step: str, number: int, amount: Amount) -> None:
        self.log.write(self.log.settled(step, number, amount=amount))

    @rule(pick=st.integers(0, 3), outcome=st.sampled_from(Outcome))
    def finish(self, pick: int, outcome: Outcome) -> None:
        self.log.write(self.log.finished(self._task(pick), outcome=outcome))

    @rule(pick=st.integers(0, 3))
    def suspend(self, pick: int) -> None:
        self.log.write(self.log.suspended(self._task(pick)))

    @rule(pick=st.integers(0, 3), cause=st.sampled_from(Cause), after_ms=st.integers(1, 1_500))
    def award(self, pick: int, cause: Cause, after_ms: int) -> None:
        name = self._task(pick)
        task = self.log.ledger.tasks.get(name)
        epoch = task.epoch + 1 if task is not None else 1
        fact = self.log.awarded(terms(BOB, epoch, cause), name)
        over = task and self.log.ledger.authority_over(task)
        if over:
            fact = replace(fact, by=over.holder, authority=over.position)
        self.log.write(fact, after_ms=after_ms)

    @rule(pick=st.integers(0, 3))
    def fail(self, pick: int) -> None:
        self.log.write(f.TaskFailed(**self.log.rule(self._task(pick)), reason="no"))

    @invariant()
    def every_purse_balances(self) -> None:
        assert all(balanced(task) for task in self.log.ledger.tasks.values())

    @invariant()
    def what_children_were_given_left_their_parent(self) -> None:
        for task in self.log.ledger.tasks.values():
            given = ZERO
            for child in self.log.ledger.children(task):
                given = add(given, child.opened.grant)
            assert given == task.purse.granted

    @invariant()
    def the_tree_costs_at_most_its_budget(self) -> None:
        ledger = self.log.ledger
        root = ledger.tasks.get(ROOT)
        if root is not None:
            assert fits(ledger.cost(root), root.opened.grant)


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=50, stateful_step_count=30)
