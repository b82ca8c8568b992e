"""The invariants of the log, checked record by record, over a simulated log or a real one.

The verdict on each fact (does it count?) is the ledger's. Everything else is counted here anew, by
other means than the ledger's, so that a mistake there is not repeated here:

- `Sequences`: no gap in what one emitter wrote, and nobody's replay counts.
- `Authorities`: who counted, had the authority; one running award a task; epochs grow; an end ends
  once, above nothing that runs; nobody writes under what he gave up.
- `Budgets`: at each prefix a workflow has spent and reserved at most its budget, in each
  dimension; a finished task says what it cost.
- `Journals`: a step has one result, and stays the step that it was.
- `Decisions`: an award follows from the figures that it quotes.

`Audit` drives them over one audit partition. `check` takes a whole log, as `mesh audit check` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from mesh.core import facts as f
from mesh.core import negotiation
from mesh.core.ids import child_id
from mesh.core.ledger import Ledger
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.values import Acceptance, Amount, Cause, Holder, Outcome, TaskPartition, Terms

GIVES_UP = (f.AwardDeclined, f.WorkSuspended, f.WorkCancelled, f.WorkFinished)
ENDS = (f.TaskCompleted, f.TaskFailed, f.TaskRejected, f.TaskExpired, f.TaskCancelled)


class Violation(NamedTuple):
    """An invariant that does not hold; `where` are coordinates: audit partition and offset."""

    invariant: str
    where: str
    text: str


class Checker(Protocol):
    """Looks at each record, with the ledger's verdict."""

    def see(self, record: f.Record, counts: bool) -> Iterator[tuple[str, str]]:
        """Yield (invariant, text) for each that this record breaks."""
        ...


class Audit:
    """Mutable: all checks over one audit partition, fed in log order from its first record."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.ledger = Ledger()
        self.verdicts: list[str] = []
        self.authorities = Authorities()
        self.budgets = Budgets()
        self.journals = Journals()
        self._checkers: tuple[Checker, ...] = (
            Sequences(),
            self.authorities,
            self.budgets,
            self.journals,
            Decisions(),
        )

    def add(self, record: f.Record) -> list[Violation]:
        """Judge the next record; return what it breaks."""
        verdict = self.ledger.add(record)
        self.verdicts.append(verdict)
        if not verdict:
            self._begin_anew(record)
        where = f"{self.partition}/{record.offset}"
        return [
            Violation(invariant, where, text)
            for checker in self._checkers
            for invariant, text in checker.see(record, not verdict)
        ]

    def _begin_anew(self, record: f.Record) -> None:
        """Forget a run whose event came again after the window in which it would be answered."""
        fact = record.fact
        if isinstance(fact, f.TaskOpened) and self.authorities.may_run_again(fact, record):
            names = self.authorities.forget(fact.workflow)
            self.budgets.forget(names)
            self.journals.forget(names)

    def unended(self) -> list[Violation]:
        """Return a violation for each task that was opened and has no end."""
        return [
            Violation("every task ends", f"{self.partition}/{task.offset}", f"task {name} is open")
            for name, task in self.authorities.tasks.items()
            if not task.ended
        ]


def check(
    partitions: Mapping[int, Iterable[f.Record]], *, all_ended: bool = False
) -> tuple[int, list[Violation]]:
    """Check a whole log.

    Args:
        partitions: The records of each audit partition, from the first on, in log order.
        all_ended: Whether a task without an end is a violation.

    Returns:
        How many records there were, and all violations, in the order of partition and offset.
    """
    found: list[Violation] = []
    count = 0
    for partition in sorted(partitions):
        audit = Audit(partition)
        for record in partitions[partition]:
            count += 1
            found += audit.add(record)
        if all_ended:
            found += audit.unended()
    return count, found


# --- sequences ----------------------------------------------------------------------------------


class Sequences:
    """Mutable: the last number of each emitter."""

    def __init__(self) -> None:
        self._last: dict[Holder, int] = {}

    def see(self, record: f.Record, counts: bool) -> Iterator[tuple[str, str]]:
        """Look for a gap, and for a replay that counts."""
        by, last = record.fact.by, self._last.get(record.fact.by, -1)
        if record.sequence > last + 1:
            yield (
                "no gap in a sequence",
                f"{by.instance}/{by.incarnation} wrote {record.sequence} after {last}",
            )
        if record.sequence <= last and counts:
            yield "a replay changes nothing", f"{record.sequence} of {by.instance} counts again"
        self._last[by] = max(last, record.sequence)


# --- authority ----------------------------------------------------------------------------------


class _Lease:
    __slots__ = ("end_ms", "given_up", "holder", "length_ms", "limit_ms", "position")

    def __init__(
        self, position: int, holder: Holder, length_ms: int, limit_ms: int | None, now_ms: int
    ) -> None:
        self.position = position
        self.holder = holder
        self.length_ms = length_ms
        self.limit_ms = limit_ms
        self.given_up = False
        self.end_ms = 0
        self.extend(now_ms)

    def extend(self, now_ms: int) -> None:
        end_ms = now_ms + self.length_ms
        if self.limit_ms is not None:
            end_ms = min(end_ms, self.limit_ms)
        self.end_ms = max(self.end_ms, end_ms)

    def runs(self, now_ms: int) -> bool:
        return not self.given_up and now_ms <= self.end_ms


class _Task:
    __slots__ = ("children", "ended", "ended_ms", "epoch", "lease", "offset", "opened", "parent")

    def __init__(self, offset: int, opened: f.TaskOpened, parent: _Task | None) -> None:
        self.offset = offset
        self.opened = opened
        self.parent = parent
        self.children: list[_Task] = []
        self.lease: _Lease | None = None
        self.epoch = 0
        self.ended = False
        self.ended_ms = 0

    def below(self) -> Iterator[_Task]:
        for child in self.children:
            if not child.ended:
                yield child
                yield from child.below()


class Authorities:
    """Mutable: every lease, told by the rules of the design alone, and every task's end."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.tasks: dict[str, _Task] = {}
        self._supervisions: dict[TaskPartition, _Lease] = {}
        self._awards: dict[int, _Task] = {}
        self._silent: set[tuple[Holder, int]] = set()
        self._sequences: dict[Holder, int] = {}

    def may_run_again(self, opened: f.TaskOpened, record: f.Record) -> bool:
        """Tell whether this opens an event's root task that ended longer ago than is remembered."""
        task = self.tasks.get(opened.task)
        if task is None or opened.parent or not opened.event_id or not task.ended:
            return False
        return max(self.now_ms, record.append_ms) > task.ended_ms + EVENT_WINDOW_MS

    def forget(self, workflow: str) -> frozenset[str]:
        """Forget all tasks of a workflow; return their names."""
        names = [name for name, task in self.tasks.items() if task.opened.workflow == workflow]
        for name in names:
            del self.tasks[name]
        return frozenset(names)

    def _renewed(self, fact: f.LeaseRenewed) -> None:
        for position in fact.awards:
            task = self._awards.get(position)
            lease = task.lease if task is not None else None
            if lease is not None and lease.position == position and lease.holder == fact.by:
                self._extend(lease)

    def see(self, record: f.Record, counts: bool) -> Iterator[tuple[str, str]]:
        """Compare the verdict with who may write, and follow the leases."""
        fact = record.fact
        self.now_ms = max(self.now_ms, record.append_ms)
        if record.sequence <= self._sequences.get(fact.by, -1):
            return  # a replay: `Sequences` looks after it
        self._sequences[fact.by] = record.sequence
        if isinstance(fact, f.LeaseRenewed):
            self._renewed(fact)
            return
        if isinstance(fact, f.SupervisionTaken):
            yield from self._taken(record, fact, counts)
            return
        lease = self._authority(fact)
        valid = (
            lease is not None
            and lease.position == fact.authority
            and lease.holder == fact.by
            and lease.runs(self.now_ms)
        )
        by_renewal = lease is not None and lease.limit_ms is None
        extends = not by_renewal or isinstance(fact, f.SupervisionRenewed)
        if valid and extends and lease is not None:
            lease.extend(self.now_ms)
        if counts and not valid:
            yield "only who has the authority counts", f"{fact.by.instance}: {_short(fact)}"
        if (fact.by, fact.authority) in self._silent:
            yield (
                "nothing is written under what was given up",
                f"{fact.by.instance} under {fact.authority}: {_short(fact)}",
            )
        if counts:
            yield from self._counted(record, fact)

    def _extend(self, lease: _Lease) -> None:
        if lease.runs(self.now_ms):
            lease.extend(self.now_ms)

    def _taken(
        self, record: f.Record, fact: f.SupervisionTaken, counts: bool
    ) -> Iterator[tuple[str, str]]:
        lease = self._supervisions.get(fact.source)
        free = lease is None or lease.holder == fact.by or not lease.runs(self.now_ms)
        if counts is not free:
            yield "nobody takes a running lease", f"{fact.by.instance} takes {fact.source}"
        if counts:
            self._supervisions[fact.source] = _Lease(
                record.offset, fact.by, fact.lease_ms, None, self.now_ms
            )

    def _authority(self, fact: f.Fact) -> _Lease | None:
        if isinstance(fact, f.SupervisionFact):
            return self._supervisions.get(fact.source)
        if isinstance(fact, f.LeaseRenewed):
            return None
        if isinstance(fact, f.TaskOpened):
            if not fact.parent:
                return self._supervisions.get(fact.source)
            parent = self.tasks.get(fact.parent)
            return parent.lease if parent is not None and not parent.ended else None
        task = self.tasks.get(fact.task)
        if task is None or task.ended:
            return None
        if isinstance(fact, f.SupervisorFact):
            return self._above(task)
        return task.lease

    def _above(self, task: _Task) -> _Lease | None:
        above = task.parent
        while above is not None:
            if above.lease is not None and above.lease.runs(self.now_ms):
                return above.lease
            above = above.parent
        return self._supervisions.get(task.opened.source)

    def _runs(self, task: _Task) -> bool:
        return task.lease is not None and task.lease.runs(self.now_ms)

    def _counted(self, record: f.Record, fact: f.Fact) -> Iterator[tuple[str, str]]:
        if isinstance(fact, f.SupervisionReleased):
            self._supervisions[fact.source].given_up = True
            self._silent.add((fact.by, fact.authority))
        elif isinstance(fact, f.TaskOpened):
            yield from self._opened(record, fact)
        elif isinstance(fact, f.TaskAwarded):
            yield from self._awarded(record.offset, self.tasks[fact.task], fact.award)
        elif isinstance(fact, GIVES_UP):
            yield from self._gave_up(self.tasks[fact.task], fact)
        elif isinstance(fact, ENDS):
            task = self.tasks[fact.task]
            if self._runs(task):
                yield "an end is above nothing that runs", f"{_short(fact)}: its own lease runs"
            yield from self._end(task, _short(fact))

    def _opened(self, record: f.Record, fact: f.TaskOpened) -> Iterator[tuple[str, str]]:
        if fact.task in self.tasks:
            yield "a task is opened once", f"{fact.task} is opened again"
            return
        parent = self.tasks.get(fact.parent)
        task = self.tasks[fact.task] = _Task(record.offset, fact, parent)
        if parent is not None:
            parent.children.append(task)
            if fact.task != child_id(fact.parent, fact.step, fact.input.hash):
                yield "a child is named by its cause", fact.task
            if fact.deadline_ms > parent.opened.deadline_ms:
                yield "a child's deadline is its parent's at most", fact.task
        if fact.award is not None:
            yield from self._awarded(record.offset, task, fact.award)

    def _awarded(self, offset: int, task: _Task, terms: Terms) -> Iterator[tuple[str, str]]:
        name = task.opened.task
        if self._runs(task):
            yield "one running award a task", f"{name} is awarded while its lease runs"
        if terms.epoch <= task.epoch:
            yield "epochs grow", f"{name}: {terms.epoch} after {task.epoch}"
        task.epoch = terms.epoch
        limit_ms = task.opened.deadline_ms
        task.lease = _Lease(offset, terms.worker, terms.lease_ms, limit_ms, self.now_ms)
        self._awards[offset] = task

    def _gave_up(self, task: _Task, fact: f.WorkerFact) -> Iterator[tuple[str, str]]:
        if task.lease is not None:
            task.lease.given_up = True
        self._silent.add((fact.by, fact.authority))
        if isinstance(fact, f.WorkFinished):
            completed = fact.outcome is Outcome.COMPLETED
            if completed and task.opened.acceptance is Acceptance.AUTOMATIC:
                yield from self._end(task, _short(fact))
        if isinstance(fact, f.WorkFinished | f.WorkCancelled) and any(
            map(self._runs, task.below())
        ):
            yield "an end is above nothing that runs", _short(fact)

    def _end(self, task: _Task, how: str) -> Iterator[tuple[str, str]]:
        if task.ended:
            yield "a task ends once", how
        for below in list(task.below()):
            if self._runs(below):
                yield "an end is above nothing that runs", f"{how}: {below.opened.task} runs"
            below.ended = True
        task.ended = True
        task.ended_ms = self.now_ms


# --- budgets ------------------------------------------------------------------------------------


class _Account:
    """What a task and all below it cost; what is reserved counts in full until it is settled."""

    __slots__ = ("cost", "open", "parent", "total")

    def __init__(self, parent: _Account | None, total: Amount) -> None:
        self.parent = parent
        self.total = total
        self.cost = [0, 0, 0, 0, 0]
        self.open: dict[tuple[str, int], Amount] = {}

    def add(self, amount: Iterable[int]) -> None:
        parts = tuple(amount)
        account: _Account | None = self
        while account is not None:
            for place, part in enumerate(parts):
                account.cost[place] += part
            account = account.parent


class Budgets:
    """Mutable: sums over reservations, settlements, hops and attempts; no purse, no refund.

    A reservation counts in full from its fact on, until a settlement that counts says less.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, _Account] = {}
        self._steps: dict[tuple[str, str], int] = {}

    def forget(self, names: frozenset[str]) -> None:
        """Forget what these tasks have cost."""
        self.accounts = {task: own for task, own in self.accounts.items() if task not in names}
        self._steps = {name: count for name, count in self._steps.items() if name[0] not in names}

    def see(self, record: f.Record, counts: bool) -> Iterator[tuple[str, str]]:
        """Add up what counts."""
        if not counts:
            return
        fact = record.fact
        if isinstance(fact, f.LeaseRenewed | f.SupervisionFact):
            return
        if isinstance(fact, f.TaskOpened):
            parent = self.accounts.get(fact.parent)
            self.accounts[fact.task] = _Account(parent, fact.grant)
            if parent is not None:
                parent.add(Amount(hops=1))
                yield from self._ceiling(parent, record)
            return
        account = self.accounts[fact.task]
        if isinstance(fact, f.WorkFinished) and tuple(account.cost) != tuple(fact.spent):
            text = f"{fact.task} says {tuple(fact.spent)}, the log {tuple(account.cost)}"
            yield "a result says what it cost", text
        yield from self._moved(account, record, fact)

    def _moved(
        self, account: _Account, record: f.Record, fact: f.Fact
    ) -> Iterator[tuple[str, str]]:
        match fact:
            case f.StepBegun():
                self._reserve(account, fact.task, fact.step, fact.reserve)
                yield from self._ceiling(account, record)
            case f.SpendReserved():
                self._reserve(account, fact.task, fact.step, fact.amount)
                yield from self._ceiling(account, record)
            case f.StepFinished():
                number = self._steps.get((fact.task, fact.step), 0) - 1
                yield from self._settle(account, (fact.step, number), fact.spent)
            case f.SpendSettled():
                yield from self._settle(account, (fact.step, fact.number), fact.amount)
            case f.TaskAwarded():
                account.open.clear()  # charged: what was reserved is gone
                if fact.award.cause in (Cause.FAILED, Cause.REJECTED, Cause.DIED):
                    account.add(Amount(attempts=1))
                    yield from self._ceiling(account, record)
            case f.WorkFinished() | f.WorkSuspended() | f.WorkCancelled():
                account.open.clear()
            case _:
                pass

    def _reserve(self, account: _Account, task: str, step: str, amount: Amount) -> None:
        if not any(amount):
            return
        number = self._steps.get((task, step), 0)
        self._steps[task, step] = number + 1
        account.open[step, number] = amount
        account.add(amount)

    def _settle(
        self, account: _Account, name: tuple[str, int], spent: Amount
    ) -> Iterator[tuple[str, str]]:
        reserved = account.open.pop(name, None)
        if reserved is None:
            if any(spent):
                yield "one settlement a reservation", f"{name} is settled, and is not open"
            return
        if any(part > most or part < 0 for part, most in zip(spent, reserved, strict=True)):
            yield "a settlement is at most its reservation", f"{name}: {spent} of {reserved}"
        account.add(part - whole for part, whole in zip(spent, reserved, strict=True))

    def _ceiling(self, account: _Account, record: f.Record) -> Iterator[tuple[str, str]]:
        above: _Account | None = account
        while above is not None:
            if any(part > most for part, most in zip(above.cost, above.total, strict=True)):
                text = f"{tuple(above.cost)} of {tuple(above.total)} after {_short(record.fact)}"
                yield "spent and reserved is at most the budget", text
            above = above.parent


# --- journals and decisions ---------------------------------------------------------------------


class Journals:
    """Mutable: the steps that have a result."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], tuple[object, ...]] = {}
        self._done: set[tuple[str, str]] = set()

    def forget(self, names: frozenset[str]) -> None:
        """Forget the steps of these tasks."""
        self._steps = {name: what for name, what in self._steps.items() if name[0] not in names}
        self._done = {name for name in self._done if name[0] not in names}

    def see(self, record: f.Record, counts: bool) -> Iterator[tuple[str, str]]:
        """Look for a step that changes, or is finished twice."""
        fact = record.fact
        if not counts or not isinstance(fact, f.StepBegun | f.StepFinished | f.DecisionRecorded):
            return
        name = (fact.task, fact.step)
        if name in self._done:
            yield "a step has one result", f"{_short(fact)} of step {fact.step}"
        if isinstance(fact, f.DecisionRecorded):
            self._done.add(name)
            return
        what = (fact.kind, fact.name, fact.input_hash)
        if self._steps.setdefault(name, what) != what:
            yield "a step stays what it was", f"{_short(fact)} of step {fact.step}"
        if isinstance(fact, f.StepFinished):
            self._done.add(name)


class Decisions:
    """Mutable: the calls for bids that awards rest on."""

    def __init__(self) -> None:
        self._opened: dict[str, f.TaskOpened] = {}
        self._calls: dict[int, f.BidsCalled] = {}

    def see(self, record: f.Record, counts: bool) -> Iterator[tuple[str, str]]:
        """Recompute each award from its figures."""
        if not counts:
            return
        fact = record.fact
        terms: Terms | None = None
        if isinstance(fact, f.TaskOpened):
            self._opened[fact.task] = fact
            terms = fact.award
        elif isinstance(fact, f.BidsCalled):
            self._calls[record.offset] = fact
        elif isinstance(fact, f.TaskAwarded):
            terms = fact.award
        if terms is None:
            return
        opened = self._opened[fact.task]  # type: ignore[union-attr] # it has terms, so it has a task
        called = self._calls.get(terms.call)
        disagreement = negotiation.recompute(opened, called, terms)
        if disagreement:
            yield "an award follows from its figures", f"{opened.task}: {disagreement}"


def _short(fact: f.Fact) -> str:
    task = getattr(fact, "task", "")
    return f"{type(fact).__name__} {task[:10]}".rstrip()
