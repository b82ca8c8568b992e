"""Planted bugs that the simulator must find: `python -m tests.simulation.mutants [NAME ...]`.

Each mutant changes what nodes do or believe, never what judges them: the checker's own ledger is
`mesh.core.ledger.Ledger` itself, nodes get a subclass. Each must be found within `WITHIN` seeds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import mesh.core.desk
import mesh.core.journal
import mesh.core.recall
import mesh.testing.programs
import mesh.testing.world
from mesh.core import facts as f
from mesh.core.asleep import Asleep
from mesh.core.budget import ZERO, add, subtract
from mesh.core.calls import Perform
from mesh.core.desk import UNKNOWN, Desk
from mesh.core.effects import CommitOffset, DropOpen
from mesh.core.ids import derive, effect_key
from mesh.core.jobs import Jobs
from mesh.core.journal import Journal
from mesh.core.ledger import Ledger
from mesh.core.node import Node
from mesh.core.partitions import Partitions
from mesh.core.recall import Entry
from mesh.core.supervisor import Supervisor
from mesh.core.tasks import TaskState
from mesh.core.values import Amount, Effect
from mesh.core.watches import Watch, Watches
from mesh.core.worker import Worker
from mesh.testing.sim_run import Simulation

WITHIN = 2_000
"""Seeds within which each mutant must be found."""

RAISES = "the core raises nothing"

Patch = tuple[Any, str, Any]
Mutant = Callable[[], list[Patch]]
MUTANTS: dict[str, Mutant] = {}


def mutant(make: Mutant) -> Mutant:
    """Put a mutant into the table, under its function's name."""
    MUTANTS[make.__name__.replace("_", "-")] = make
    return make


def of_nodes(ledger: type[Ledger]) -> list[Patch]:
    """Give nodes, and nobody else, another ledger."""
    return [(mesh.core.desk, "Ledger", ledger), (mesh.testing.world, "Ledger", ledger)]


@mutant
def an_acknowledgement_without_a_look_at_its_time() -> list[Patch]:
    """Any report is good enough, however late it came."""

    class Trusting(Ledger):
        __slots__ = ()

        def add(self, record: f.Record, margin_ms: int | None = None) -> str:
            if margin_ms is not None and not isinstance(record.fact, f.LeaseRenewed):
                lease = self._authority(record.fact, 0) if _has_authority(record.fact) else ""
                task = self.tasks.get(getattr(record.fact, "task", ""))
                own = task.lease if task is not None else None
                for held in (lease, own):
                    if not isinstance(held, str) and held is not None:
                        held.end_ms = max(held.end_ms, record.append_ms + 60_000)
            return super().add(record, margin_ms)

    return of_nodes(Trusting)


def _has_authority(fact: f.Fact) -> bool:
    return not isinstance(fact, f.SupervisionTaken | f.LeaseRenewed)


@mutant
def a_lease_is_over_before_it_is() -> list[Patch]:
    """Whoever reads believes that leases end three seconds early, and awards again."""

    class Hasty(Ledger):
        __slots__ = ()

        def is_running(self, task: TaskState) -> bool:
            return task.lease is not None and task.lease.running(self.log_time_ms + 3_000)

    return of_nodes(Hasty)


@mutant
def no_read_before_an_award() -> list[Patch]:
    """A silent worker is taken for dead, and what it did for known."""

    def read(self: Watches, watch: Watch) -> None:
        task = self.desk.ledger(watch.workflow).tasks.get(watch.task)
        if task is not None and task.lease is not None:
            task.lease.held = False
        watch.known = watch.exact = True
        self.look(watch.task)

    return [(Watches, "_read", read)]


@mutant
def no_read_after_a_taking() -> list[Patch]:
    """The supervision is believed to be taken as soon as its fact is acknowledged."""
    genuine = Partitions._was_read

    def was_read(self: Partitions, read: Ledger, *about: Any) -> None:
        _, record = about
        blind = Ledger()
        blind.observe(read.log_time_ms)
        blind._take(record.offset, record.fact, record.append_ms)
        genuine(self, blind, *about)

    return [(Partitions, "_was_read", was_read)]


@mutant
def deduplicated_before_it_is_judged() -> list[Patch]:
    """A task that was ever named by an opening, void or not, is not opened again."""

    class Deduplicating(Ledger):
        __slots__ = ("seen",)

        def _judge(self, record: f.Record, margin_ms: int, at_ms: int) -> str:
            fact = record.fact
            if isinstance(fact, f.TaskOpened):
                seen: set[str] = getattr(self, "seen", set())
                self.seen = seen
                if fact.task in seen:
                    return "it was seen"
                seen.add(fact.task)
            return super()._judge(record, margin_ms, at_ms)

    return of_nodes(Deduplicating)


@mutant
def a_key_that_includes_the_epoch() -> list[Patch]:
    """Each performance of an effect has another idempotency key."""
    calls = count()

    def key(task: TaskState, name: str) -> str:
        return derive("effect", task.opened.task, name, next(calls))

    return [(mesh.core.journal, "key_of", key)]


@mutant
def a_child_and_its_step_are_named_by_the_epoch() -> list[Patch]:
    """Another worker does not find what was done or delegated before it."""

    def find(task: TaskState, call: Any, *_: Any) -> Entry:
        name = f"{call.step}~{task.epoch}"
        return Entry(name, task.steps.get(name))

    def key(task: TaskState, name: str) -> str:
        return effect_key(task.opened.task, name, task.steps[name].name)

    return [(mesh.core.journal, "find", find), (mesh.core.journal, "key_of", key)]


@mutant
def what_has_left_a_mark_is_left_behind() -> list[Patch]:
    """An attempt after a verdict does at another place what was done outside already."""
    return [(mesh.core.recall, "_has_left_a_mark", lambda *_: False)]


@mutant
def a_failed_call_is_made_again_under_another_key() -> list[Patch]:
    """The target cannot know that it had done it."""

    def key(task: TaskState, name: str) -> str:
        return effect_key(task.opened.task, name, task.steps[name].name)

    return [(mesh.core.journal, "key_of", key)]


@mutant
def refund_on_a_timeout() -> list[Patch]:
    """Nodes take what a dead worker had reserved for free again."""

    class Generous(Ledger):
        __slots__ = ()

        def _apply(self, record: f.Record) -> None:
            task = self.tasks.get(getattr(record.fact, "task", ""))
            open_before = task.purse.reserved if task is not None else ZERO
            super()._apply(record)
            if task is not None and isinstance(record.fact, f.TaskAwarded):
                task.purse.spent = subtract(task.purse.spent, open_before)
                task.purse.free = add(task.purse.free, open_before)

    return of_nodes(Generous)


@mutant
def an_offset_committed_past_an_open_task() -> list[Patch]:
    """Whatever was handed over is committed, ended or not."""

    def commit(self: Partitions, tenure: Any) -> None:
        if tenure.next_offset > tenure.committed:
            tenure.committed = tenure.next_offset
            header = self._header(tenure, self.desk.now_ms)
            self.desk.step.commits.append(CommitOffset(tenure.source, tenure.next_offset, header))

    return [(Partitions, "_commit", commit)]


@mutant
def an_end_with_a_childs_lease_running() -> list[Patch]:
    """A worker finishes whether or not its children have ended."""

    class Careless(Ledger):
        __slots__ = ()

        def running_below(self, task: TaskState) -> bool:
            return False

    genuine = Worker._leave

    def leave(self: Worker, job: Any) -> None:
        ledger = self.desk.ledger(job.workflow)
        task = ledger.tasks.get(job.task)
        hidden = dict(task.children) if task is not None and job.done is not None else {}
        if task is not None and hidden:
            task.children.clear()
        genuine(self, job)
        if task is not None:
            task.children.update(hidden)

    return [*of_nodes(Careless), (Worker, "_leave", leave)]


@mutant
def one_counter_for_concurrent_steps() -> list[Patch]:
    """Steps are numbered in the order in which they happen to be called."""
    numbers: dict[int, Iterator[int]] = {}

    def numbered(path: str, ordinal: int, restart: int = 0) -> str:
        frame = sys._getframe(1)
        owner = id(frame.f_locals.get("self"))
        return str(next(numbers.setdefault(owner, count())))

    return [(mesh.testing.programs, "step_id", numbered)]


@mutant
def performed_before_it_is_reserved() -> list[Patch]:
    """The effect leaves when its first fact is appended, not when that counts."""
    genuine = Journal._use

    def use(self: Journal, job: Any, task: TaskState, call: Any) -> None:
        genuine(self, job, task, call)
        if call.step in job.calls:
            key = effect_key(job.task, call.step, call.name)
            self.desk.step.handlers.append(Perform(job.task, job.award, call.step, key))

    return [(Journal, "_use", use)]


@mutant
def a_void_award_is_told() -> list[Patch]:
    """The worker hears of an award whether or not it counts."""
    genuine = Supervisor._awarded

    def awarded(self: Supervisor, record: f.Record, void: str, watch: Watch) -> None:
        task = self._known(watch)
        if void and void != UNKNOWN and task is not None and isinstance(record.fact, f.TaskAwarded):
            self.desk.ledger(watch.workflow)._apply(record)
            void = ""
        genuine(self, record, void, watch)

    return [(Supervisor, "_awarded", awarded)]


@mutant
def a_lost_award_is_worked_on() -> list[Patch]:
    """A worker whose authority is gone goes on, and acts on facts that are void."""
    genuine = Jobs._appended

    def appended(self: Jobs, record: f.Record, void: str, job: Any, then: Any) -> None:
        if void and void != UNKNOWN and job.task in self.desk.ledger(job.workflow).tasks:
            self.desk.ledger(job.workflow)._apply(record)
            void = ""
        genuine(self, record, void, job, then)

    return [(Jobs, "_appended", appended)]


@mutant
def incarnations_are_ignored() -> list[Patch]:
    """A message for an earlier start of the process is taken for one's own."""
    received, offered = Node._received, Worker.offered

    def taken(self: Node, given: Any) -> None:
        envelope = given.envelope
        if envelope.to.instance == self.desk.me.instance:
            self._messages[type(envelope.content)](envelope, envelope.content)
        else:
            received(self, given)

    def accepted(self: Worker, envelope: Any, award: Any) -> None:
        me, record = self.desk.me, award.awarded or award.opened
        worker = record.fact.award.worker
        if worker.instance == me.instance:
            self.desk.me = worker
        offered(self, envelope, award)
        self.desk.me = me

    return [(Node, "_received", taken), (Worker, "offered", accepted)]


@mutant
def a_lost_supervision_is_not_taken_again() -> list[Patch]:
    """A supervisor whose lease ran out waits for ever."""

    def lose(self: Partitions, tenure: Any) -> None:
        """Do nothing."""

    return [(Partitions, "_lose", lose)]


@mutant
def every_begun_step_is_done_again() -> list[Patch]:
    """What may not happen twice is repeated after a death like what may."""
    return [(mesh.core.journal, "REPEATABLE", frozenset(Effect))]


@mutant
def the_note_of_an_open_task_is_dropped_at_once() -> list[Patch]:
    """The tombstone in `M.open` is written before the task has ended."""
    genuine = Partitions._note

    def note(self: Partitions, tenure: Any, workflow: str) -> None:
        before = workflow in self._noted
        genuine(self, tenure, workflow)
        if not before and workflow in self._noted:
            self.desk.step.messages.append(DropOpen(tenure.source, workflow))

    return [(Partitions, "_note", note)]


@mutant
def reports_that_are_passed_over_count() -> list[Patch]:
    """A fact without a report is acted on as if it had one."""
    genuine = Desk.appended

    def appended(self: Desk, token: int, record: f.Record) -> None:
        for waiting, (partition, then, about) in list(self._awaited.items()):
            if then.__name__ != "_appended" and waiting < token:
                continue
            if waiting < token and partition >= 0:
                self._awaited[waiting] = (partition, _as_counted(then), about)
        genuine(self, token, record)

    return [(Desk, "appended", appended)]


def _as_counted(then: Callable[..., None]) -> Callable[..., None]:
    def counted(record: f.Record, void: str, *about: Any) -> None:
        try:
            then(record, "" if void == UNKNOWN else void, *about)
        except KeyError:
            then(record, void, *about)

    return counted


@mutant
def spending_is_free() -> list[Patch]:
    """A node forgets what it has reserved while its fact is on its way."""

    def affordable(self: Journal, job: Any, task: TaskState, step: str, amount: Amount) -> bool:
        job.promised = add(job.promised, amount)
        return True

    class Blind(Ledger):
        __slots__ = ()

        def _refusal(self, record: f.Record, fact: Any) -> str:
            reason = super()._refusal(record, fact)
            return "" if "above what is free" in reason else reason

    return [(Journal, "_affordable", affordable), *of_nodes(Blind)]


@mutant
def a_halt_is_no_reason_to_wait() -> list[Patch]:
    """A supervisor awards and calls for bids, whatever is halted."""

    def is_halted(_: Supervisor, __: Watch, ___: TaskState) -> bool:
        return False

    return [(Supervisor, "_is_halted", is_halted)]


@mutant
def a_call_is_made_under_a_halt() -> list[Patch]:
    """A handler's calls are begun whatever is halted; what only waits is suspended."""
    genuine = Journal._halt_over

    def halt_over(self: Journal, job: Any) -> Any:
        return genuine(self, job) if job.calls else None

    return [(Journal, "_halt_over", halt_over)]


@mutant
def a_lift_is_not_heard_of() -> list[Patch]:
    """A supervisor looks at nothing when a halt is lifted."""

    def lifted(_: Supervisor) -> None:
        """Do nothing."""

    return [(Supervisor, "lifted", lifted)]


@mutant
def what_sleeps_oversleeps() -> list[Patch]:
    """A workflow that is packed is looked at by nobody when its time has come."""

    def due(_: Asleep[Any], __: int) -> list[str]:
        return []

    return [(Asleep, "due", due)]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have a mutant's patches in place for the time of a block."""
    patches = MUTANTS[name]()
    kept = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in kept:
            setattr(owner, attribute, value)


def find(name: str, within: int = WITHIN) -> tuple[int, str]:
    """Return the first seed that finds a mutant and what it says, (-1, "") if none does."""
    with planted(name):
        for seed in range(within):
            result = Simulation(seed).run()
            # a mutant that only breaks the code was not found by an invariant
            found = [v for v in result.violations if v.invariant != RAISES]
            if found:
                first = found[0]
                return seed, f"{first.invariant}: {first.text}"
    return -1, ""


def main(names: list[str]) -> int:
    """Hunt mutants, all or those named; return 1 if one got away."""
    escaped = 0
    for name in names or list(MUTANTS):
        began = time.perf_counter()
        seed, text = find(name)
        escaped += seed < 0
        told = f"seed {seed}: {text}"[:110] if seed >= 0 else f"NOT FOUND in {WITHIN} seeds"
        sys.stdout.write(f"{name:48} {time.perf_counter() - began:6.1f} s  {told}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(names or MUTANTS)} mutants, {escaped} not found\n")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
