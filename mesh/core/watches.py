"""The watches of a supervisor: what it has in hand about each task, and when to look again.

A watch is `busy` while an append or a read about its task is under way. `Watches` appends and reads
for `mesh.core.supervisor`, brings the answers back, and tells of a task's end. What sleeps it packs
(`mesh.core.asleep`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, NamedTuple, TypedDict

from mesh.core import facts as f
from mesh.core.allocation import Allocation, Choice
from mesh.core.asleep import Asleep
from mesh.core.desk import Desk, Then
from mesh.core.ids import audit_partition_of
from mesh.core.jobs import Job
from mesh.core.tasks import Header, Phase, TaskState
from mesh.core.values import Holder, Mode, Terms
from mesh.core.worker import Worker

SWEEP_MS: Final = 100
"""How often what is due is looked at: fine enough beside leases of seconds, and cheap."""
NAP_MS: Final = 1_000
"""Who sleeps for less is not packed: packing and unpacking take some 0.1 ms."""
PACKED_AT_ONCE: Final = 200
"""In one sweep: the loop is not held for longer than some 15 ms."""
TENURE_AND_WATCH: Final = 2
"""Who holds a root task that nobody is busy with."""
FAR: Final = 2**62
NOT_ASKED: Final = (-1, -1)
"""Instead of the award that is checked, and the award of who checks it."""


class Over(TypedDict):
    """The fields that every fact of a task's supervisor begins with."""

    workflow: str
    task: str
    by: Holder
    authority: int


class Defect(NamedTuple):
    """Why a request cannot be served; `field` is a JSON pointer into the input."""

    reason: str
    field: str


class Wanted(NamedTuple):
    """Whom a task needs: where one of a kind finds nobody, the others do not either."""

    capability: str
    named_agent: str
    mode: Mode


class Watch:
    """Mutable: what this node has in hand about one task that it supervises.

    `known` its journal, `exact` what it has cost without what is open below; `fresh` while the
    answer to a read is looked at: then what is open below is known, too. `due_ms` is when to look
    next, `silent_ms` when the worker is suspected, `again_ms` when to go on after a fact that was
    void; all local time.
    """

    __slots__ = (
        "adopting", "again_ms", "asking", "busy", "calling", "declines", "defect", "due_ms",
        "exact", "failing", "fresh", "known", "parent", "paused_ms", "rests_ms", "reviewing",
        "silent_ms", "step", "task", "tried", "unwanted", "wanted", "workflow",
    )  # fmt: skip

    def __init__(self, opened: f.TaskOpened) -> None:
        self.workflow = opened.workflow
        self.task = opened.task
        self.parent = opened.parent
        self.step = opened.step
        self.wanted = Wanted(opened.capability, opened.named_agent, opened.mode)
        self.busy = False
        self.exact = True
        self.fresh = False
        self.known = True
        self.adopting = False
        self.asking = False
        self.calling = False
        self.failing = ""
        self.defect: Defect | None = None
        self.unwanted: tuple[str, str] | None = None
        self.reviewing = NOT_ASKED
        self.paused_ms = 0
        self.declines = 0
        self.rests_ms = 0
        self.silent_ms = 0
        self.again_ms = 0
        self.due_ms = FAR
        self.tried: dict[str, str] = {}

    def __repr__(self) -> str:
        names = ("busy", "exact", "known", "adopting", "asking")
        flags = [name for name in names if getattr(self, name)]
        return f"Watch({self.task} {' '.join(flags)} due={self.due_ms})"


class Sleeper(NamedTuple):
    """All that is known of a workflow that sleeps."""

    watch: Watch
    task: TaskState
    header: Header


class Roots:
    """Hears of root tasks; `mesh.core.partitions` is the one that does something about it."""

    def root_opened(self, opened: f.TaskOpened, void: str) -> None:
        """Hear the report of a root task's first fact."""

    def root_suspended(self, workflow: str) -> None:
        """Hear that a root task waits without a worker."""

    def root_awarded(self, workflow: str) -> None:
        """Hear that a root task has a worker, though it had been suspended."""

    def root_ended(self, workflow: str) -> None:
        """Hear that a root task has ended."""


class Watches(ABC):
    """Mutable: the watches of one node."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.watches: dict[str, Watch] = {}
        self._nobody: dict[Wanted, dict[str, None]] = {}
        self.allocation: Allocation
        self.worker: Worker
        self.roots = Roots()
        self._sweeping = False
        self._tired: dict[str, None] = {}
        self._asleep: Asleep[Sleeper] = Asleep()
        desk.wake = self._wake

    def supervises(self, task_id: str) -> bool:
        """Tell whether a task is watched here."""
        return task_id in self.watches or task_id in self._asleep

    def _watch(self, opened: f.TaskOpened) -> Watch:
        watch = self.watches[opened.task] = Watch(opened)
        self.desk.hold(opened.workflow)
        return watch

    def _drop(self, watch: Watch) -> None:
        if self.watches.get(watch.task) is watch:
            del self.watches[watch.task]
            self._wants_no_more(watch)
            self.allocation.forget(watch.task)
            self.desk.release(watch.workflow)

    def _known(self, watch: Watch) -> TaskState | None:
        return self.desk.ledger(watch.workflow).tasks.get(watch.task)

    def _task(self, task_id: str) -> TaskState | None:
        return self.desk.ledger(task_id).tasks.get(task_id)

    def _own_job(self, watch: Watch) -> Job | None:
        return self.worker.jobs.get(watch.task)

    def _is_ours(self, task: TaskState) -> bool:
        lease = self.desk.ledger(task.opened.workflow).authority_over(task)
        return lease is not None and lease.held and lease.holder == self.desk.me

    def _over(self, task: TaskState) -> Over:
        opened = task.opened
        lease = self.desk.ledger(opened.workflow).authority_over(task)
        return {
            "workflow": opened.workflow,
            "task": opened.task,
            "by": self.desk.me,
            "authority": lease.position if lease is not None else -1,
        }

    def _append(self, task: TaskState, fact: f.SupervisorFact, then: Then, watch: Watch) -> None:
        watch.busy = True
        partition = audit_partition_of(task.opened.workflow)
        self.desk.append(partition, fact, self._appended, then, watch)

    def _appended(self, record: f.Record, void: str, then: Then, watch: Watch) -> None:
        watch.busy = False
        if void:  # this node knows less than it thought: no storm of such facts
            watch.again_ms = self.desk.now_ms + self.desk.settings.retry_pause_ms
        if self.watches.get(watch.task) is watch:
            then(record, void, watch)
        elif isinstance(record.fact, f.TaskAwarded):
            self._settle_slot(record.fact.award)

    def _look_at(self, watch: Watch, at_ms: int) -> None:
        watch.due_ms = min(watch.due_ms, at_ms)
        if not self._sweeping:
            self._sweeping = True
            self.desk.at(self.desk.now_ms + SWEEP_MS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        now = self.desk.now_ms
        for workflow in self._asleep.due(now):
            self._wake(workflow)
        for watch in [watch for watch in self.watches.values() if watch.due_ms <= now]:
            self.look(watch.task)
        for task_id in list(self._tired)[:PACKED_AT_ONCE]:
            self.pack(task_id)
        if (self.watches or self._asleep) and not self._sweeping:
            self._sweeping = True
            self.desk.at(now + SWEEP_MS, self._sweep)

    def pack(self, task_id: str) -> None:
        """Pack a root task that sleeps, if nothing else is known of its workflow or under way."""
        if task_id not in self._tired:
            return
        del self._tired[task_id]
        watch, task = self.watches.get(task_id), self._task(task_id)
        if watch is None or task is None or task.phase is not Phase.SUSPENDED:
            return
        workflow, desk = watch.workflow, self.desk
        alone = len(desk.ledger(workflow).open_tasks(workflow)) == 1
        under_way = watch.busy or watch.asking or desk.held_by(workflow) != TENURE_AND_WATCH
        if alone and not under_way and watch.due_ms >= desk.now_ms + NAP_MS:
            del self.watches[task_id]
            self._wants_no_more(watch)
            sleeper = Sleeper(watch, task, desk.put_away(workflow))
            self._asleep.pack(workflow, watch.due_ms, sleeper)

    def forget_asleep(self, workflow: str) -> bool:
        """Forget a workflow if it is packed, and tell whether it was: then nobody else holds it."""
        return self._asleep.drop(workflow)

    def _wake(self, workflow: str) -> None:
        """Unpack a workflow, if it is packed; it is looked at with the next sweep."""
        if workflow not in self._asleep:
            return
        watch, task, header = self._asleep.unpack(workflow)
        self.desk.bring_back(task, header, TENURE_AND_WATCH)
        self.watches[watch.task] = watch
        self._look_at(watch, self.desk.now_ms)

    def _read(self, watch: Watch) -> None:
        """Read the log before anything is claimed."""
        watch.busy = True
        self.desk.read(watch.workflow, self._was_read, watch)

    def _was_read(self, watch: Watch) -> None:
        watch.busy = False
        task, ledger = self._known(watch), self.desk.ledger(watch.workflow)
        if task is not None and self._is_outdated(task):
            self._read(watch)
            return
        if task is not None:
            watch.known = watch.exact = not ledger.is_running(task)
            if not watch.known:
                self._stand_by(watch, task)
        self.settle(watch.workflow)
        watch.fresh = True
        self.look(watch.task)
        watch.fresh = False

    def _is_outdated(self, task: TaskState) -> bool:
        """Tell whether more happened to a task, or below it, while it was being read."""
        ledger = self.desk.ledger(task.opened.workflow)
        outdated = False
        for one in (task, *ledger.descendants(task)):
            name = one.opened.task
            if name in ledger.unmerged and name not in self.worker.jobs:
                one.last = -1  # what was read next stands, even if this node thought to know better
                outdated = True
        return outdated

    def _is_elsewhere(self, task: TaskState) -> bool:
        """Tell whether somebody else works on a task, as far as is known."""
        ledger = self.desk.ledger(task.opened.workflow)
        ours = task.lease is not None and task.lease.holder == self.desk.me
        return ledger.is_running(task) and not ours

    def _stand_by(self, watch: Watch, task: TaskState) -> None:
        """Wait for the end of a lease that runs: another supervisor may have given it since."""
        assert task.lease is not None
        left_ms = task.lease.end_ms - self.desk.ledger(watch.workflow).log_time_ms
        watch.known = watch.exact = False
        watch.silent_ms = self.desk.now_ms + left_ms + self.desk.settings.clock_skew_ms
        self._look_at(watch, watch.silent_ms)

    def settle(self, workflow: str) -> None:
        """After a read: end what the log has ended, here too."""
        ledger = self.desk.ledger(workflow)
        for job in [job for job in self.worker.jobs.values() if job.workflow == workflow]:
            task = ledger.tasks.get(job.task)
            if task is None or task.lease is None or task.lease.position != job.award:
                self.worker.lose(job)
        for watch in [w for w in self.watches.values() if w.workflow == workflow]:
            task = ledger.tasks.get(watch.task)
            if watch.busy:
                continue
            if task is None:
                self._after(watch)
            elif watch.known and self._is_elsewhere(task):
                watch.adopting = True
                self._stand_by(watch, task)

    def _after(self, watch: Watch) -> None:
        """Go on after a task changed: tell of its end, or look at it."""
        if watch.task in self.desk.ledger(watch.workflow).tasks:
            self.look(watch.task)
            return
        ledger = self.desk.ledger(watch.workflow)
        if watch.parent and watch.parent in ledger.tasks:
            if not self.worker.child_ended(watch.parent, watch.step):
                self.look(watch.parent)
        elif watch.task in ledger.ended:
            self.roots.root_ended(watch.workflow)
        self._drop(watch)

    def given_up(self, task_id: str) -> None:
        """Go on with a task that this node no longer works on, if it supervises it."""
        watch = self.watches.get(task_id)
        if watch is not None:
            watch.known = watch.exact = True
            self._after(watch)

    def _usable(self, watch: Watch, choice: Choice | None) -> Choice | None:
        """Hold a slot for an award to this very node; None if it has none, or nobody was found."""
        if choice is not None and choice.presence.instance == self.desk.me.instance:
            if self.worker.free_slots < 1:
                choice = None
            else:
                self.worker.held_slots += 1
        if choice is None:
            self._nobody.setdefault(watch.wanted, {})[watch.task] = None
        else:
            self._wants_no_more(watch)
            self.desk.directory.placed(choice.presence.instance, 1)
        return choice

    def _settle_slot(self, terms: Terms | None) -> None:
        """Undo `_usable` when the report of the award is there."""
        if terms is not None and terms.worker == self.desk.me:
            self.worker.held_slots -= 1

    def slot_freed(self) -> None:
        """Look again at who found nobody, the oldest of each kind in turn, until one is served."""
        for wanted in list(self._nobody):
            if self._serve_oldest(wanted):
                if wanted in self._nobody:
                    self._nobody[wanted] = self._nobody.pop(wanted)
                return

    def fleet_changed(self) -> None:
        """Look again at the tasks that nobody could be had for, until there is nobody again."""
        for wanted in list(self._nobody):
            if wanted.mode is Mode.AUCTION:
                for task_id in list(self._nobody.get(wanted, ())):
                    self.look(task_id)
            else:
                while self._serve_oldest(wanted):
                    pass

    def _serve_oldest(self, wanted: Wanted) -> bool:
        """Look at the oldest task of a kind that found nobody; tell whether it did now."""
        waiting = self._nobody.get(wanted, {})
        task_id = next(iter(waiting), "")
        self.look(task_id)
        return bool(task_id) and task_id not in waiting

    def _wants_no_more(self, watch: Watch) -> None:
        waiting = self._nobody.get(watch.wanted, {})
        waiting.pop(watch.task, None)
        if not waiting:
            self._nobody.pop(watch.wanted, None)

    @abstractmethod
    def look(self, task_id: str) -> None:
        """Do what is to be done next about a task."""
