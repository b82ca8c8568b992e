"""Workflows told in a few lines, as facts that count: what the detectors' scenarios are made of.

A `Story` is a log of one workflow, judged by a real ledger, with a real watch over it. A `Part` is
one of its tasks; what a test lets it do is written as its worker, or its supervisor, would write
it. A fact that does not count is a mistake of the test, unless it says that it is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.detectors.frame import Detector, Finding
from mesh.core.detectors.limits import LimitTable
from mesh.core.detectors.watch import Watch
from mesh.core.facts import Record
from mesh.core.ids import child_id
from mesh.core.ledger import Ledger
from mesh.core.tasks import TaskState, next_cause
from mesh.core.values import (
    NOTHING,
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Cause,
    Charter,
    Effect,
    Holder,
    Inbox,
    Mode,
    Offer,
    Outcome,
    StepKind,
    TaskPartition,
    Terms,
    Wait,
)
from mesh.wire.canonical import body_of

START_MS = 1_763_700_000_000
TICK_MS = 5
"""Between two facts."""
RENEWAL_MS = 2_000
"""A supervisor renews so often while time passes."""
LONG_MS = 10**12
BUDGET = Amount(*5 * [10**14])
"""So much that it can be halved 30 times."""
SMALL = Amount(micro_usd=100_000, tokens=1_000, tool_calls=1_000, hops=10, attempts=10)
"""Enough for one of many."""
SOURCE = TaskPartition("demo.root", 0)


class First(NamedTuple):
    """When something was first found: in which turn, with how many tasks, after what spending."""

    turn: int
    tasks: int
    micro_usd: int
    record: int


class Story:
    """Mutable: one workflow's log, what counts of it, and what the watch finds."""

    def __init__(
        self,
        given: object = None,
        *,
        capability: str = "demo.root",
        agent: str = "lead",
        budget: Amount = BUDGET,
        timeout_ms: int = 600_000,
        limits: LimitTable | None = None,
        detectors: Sequence[Detector] | None = None,
    ) -> None:
        self.now_ms = START_MS
        self.jump_ms = 0
        self.ledger = Ledger()
        self.watch = Watch(limits, detectors)
        self.records: list[Record] = []
        self.verdicts: list[str] = []
        self.found: list[Finding] = []
        self.first: dict[str, First] = {}
        self.turn = 0
        self.tasks = 0
        self._sequences: Counter[Holder] = Counter()
        self.boss = holder("boss")
        taken = f.SupervisionTaken(
            source=SOURCE, by=self.boss, inbox=Inbox("inbox.boss", 0), lease_ms=LONG_MS
        )
        self.supervision = self.add(taken).offset
        self.root = self.open(given, capability, agent, budget=budget, timeout_ms=timeout_ms)

    # --- the log --------------------------------------------------------------------------------

    def add(self, fact: f.Fact, *, void: bool = False) -> Record:
        """Append a fact; it counts, or is meant not to."""
        self.now_ms += TICK_MS
        record = Record(
            len(self.records), self.now_ms + self.jump_ms, self._sequences[fact.by], fact
        )
        self._sequences[fact.by] += 1
        verdict = self.ledger.add(record)
        assert bool(verdict) is void, verdict
        self.records.append(record)
        self.verdicts.append(verdict)
        self.tasks += isinstance(fact, f.TaskOpened)
        for finding in self.watch.see(record, self.ledger, verdict):
            self.found.append(finding)
            here = First(self.turn, self.tasks, self.spent, record.offset)
            self.first.setdefault(finding.kind, here)
        return record

    @property
    def spent(self) -> int:
        """Money that the workflow cost so far."""
        root = self.ledger.tasks.get(self.root.task)
        return self.ledger.cost(root).micro_usd if root else 0

    @property
    def kinds(self) -> set[str]:
        """What kinds of things were found."""
        return {finding.kind for finding in self.found}

    def wait(self, ms: int) -> None:
        """Let time pass, as it does in a log: the supervisor renews."""
        until_ms = self.now_ms + ms
        while self.now_ms + RENEWAL_MS < until_ms:
            self.now_ms += RENEWAL_MS - TICK_MS
            self.renew()
        self.now_ms = until_ms

    def renew(self) -> None:
        """Let the supervisor renew its lease."""
        self.add(f.SupervisionRenewed(source=SOURCE, by=self.boss, authority=self.supervision))

    def turns(self, count: int) -> Iterator[int]:
        """Yield so many turns, and count them."""
        for number in range(1, count + 1):
            self.turn = number
            yield number

    # --- tasks ----------------------------------------------------------------------------------

    def open(
        self, given: object, capability: str, agent: str, *, budget: Amount, timeout_ms: int
    ) -> Part:
        """Open the root task and award it."""
        self.deadline_ms = self.now_ms + TICK_MS + timeout_ms
        content = body(given)
        fact = f.TaskOpened(
            **shared(content, self.deadline_ms),
            workflow="0-root",
            task="0-root",
            by=self.boss,
            authority=self.supervision,
            offset=0,
            parent="",
            step="",
            capability=capability,
            ancestors=(),
            grant=budget,
            award=terms(agent, budget),
        )
        self.root = Part(self, "0-root", agent)
        self.add(fact)
        return self.root


class Part:
    """Mutable: one task, as a test lets it act."""

    def __init__(self, story: Story, task: str, agent: str) -> None:
        self.story = story
        self.task = task
        self.agent = agent
        self.steps = 0

    @property
    def state(self) -> TaskState:
        """What the ledger knows of it."""
        return self.story.ledger.tasks[self.task]

    def says(self) -> dict[str, Any]:
        """Return what stands in each fact of its worker."""
        lease = self.state.lease
        assert lease is not None
        return {
            "workflow": self.story.root.task,
            "task": self.task,
            "by": holder(self.agent),
            "authority": lease.position,
        }

    def next_step(self) -> str:
        """Return the name of its next step."""
        self.steps += 1
        return str(self.steps)

    def _supervised(self) -> dict[str, Any]:
        lease = self.story.ledger.authority_over(self.state)
        assert lease is not None
        return {
            "workflow": self.story.root.task,
            "task": self.task,
            "by": lease.holder,
            "authority": lease.position,
        }

    # --- delegating -----------------------------------------------------------------------------

    def asks(self, capability: str, given: object, agent: str = "worker", **other: Any) -> Part:
        """Delegate a task, which is awarded at once; its part of the budget is half."""
        own, step, content = self.state, self.next_step(), body(given)
        free = own.purse.free
        grant = other.pop("grant", None) or Amount(*(max(part // 2 - 1, 1) for part in free))
        ancestors = (
            *own.opened.ancestors,
            Ancestor(self.task, own.opened.capability, self.agent, own.opened.input.hash),
        )
        child = child_id(self.task, step, content.hash)
        basis = {
            **shared(content, self.story.deadline_ms),
            **self.says(),
            "task": child,
            "offset": -1,
            "parent": self.task,
            "step": step,
            "capability": capability,
            "ancestors": ancestors,
            "grant": grant,
            "award": terms(agent, grant),
        }
        part = Part(self.story, child, agent)
        self.story.add(f.TaskOpened(**{**basis, **other}))
        return part

    def gets(self, capability: str, given: object, answer: object, agent: str = "worker") -> None:
        """Delegate a task that is done at once."""
        self.asks(capability, given, agent, grant=SMALL).finishes(answer)

    # --- steps ----------------------------------------------------------------------------------

    def calls(
        self,
        name: str,
        given: object,
        answer: object = None,
        *,
        cost: int = 0,
        error: str = "",
        kind: StepKind = StepKind.TOOL,
    ) -> None:
        """Call a tool or a model, for so many millionths of a dollar."""
        step, price = self.next_step(), Amount(micro_usd=cost)
        signed: dict[str, Any] = {
            "step": step,
            "kind": kind,
            "name": name,
            "input_hash": body(given).hash,
        }
        self.story.add(
            f.StepBegun(**self.says(), **signed, effect=Effect.PURE, reserve=price, until_ms=0)
        )
        result = NOTHING if error else body(answer)
        self.story.add(
            f.StepFinished(**self.says(), **signed, spent=price, error=error, result=result)
        )

    def thinks(self, given: object, answer: object, cost: int = 10_000) -> None:
        """Ask a model."""
        self.calls("model", given, answer, cost=cost, kind=StepKind.MODEL)

    def pays(self, cost: int) -> None:
        """Spend money on something that is no step of its own."""
        step, amount = self.next_step(), Amount(micro_usd=cost)
        said: dict[str, Any] = {**self.says(), "step": step, "number": 0, "amount": amount}
        self.story.add(f.SpendReserved(**said, because="it costs"))
        self.story.add(f.SpendSettled(**said))

    def sleeps(self, ms: int) -> None:
        """Sleep, as a step."""
        step, until_ms = self.next_step(), self.story.now_ms + ms
        signed: dict[str, Any] = {
            "step": step,
            "kind": StepKind.SLEEP,
            "name": "sleep",
            "input_hash": b"",
        }
        self.story.add(
            f.StepBegun(
                **self.says(), **signed, effect=Effect.PURE, reserve=ZERO, until_ms=until_ms
            )
        )
        self.story.wait(ms)
        self.story.add(
            f.StepFinished(**self.says(), **signed, spent=ZERO, error="", result=NOTHING)
        )

    def decides(self, choice: str) -> None:
        """Write a line of the decision chain."""
        said: dict[str, Any] = {
            "step": self.next_step(),
            "choice": choice,
            "because": "it is so",
            "evidence": (),
        }
        self.story.add(f.DecisionRecorded(**self.says(), **said))

    def keeps(self, name: str) -> None:
        """Keep an artifact."""
        signed: dict[str, Any] = {
            "step": self.next_step(),
            "kind": StepKind.ARTIFACT,
            "name": name,
            "input_hash": b"",
        }
        self.story.add(
            f.StepFinished(**self.says(), **signed, spent=ZERO, error="", result=body(name))
        )

    # --- looking for a worker -------------------------------------------------------------------

    def is_called_out(self, *candidates: str, declines: str = "") -> None:
        """Let the supervisor call for bids; with `declines` it says so of its own."""
        supervised = self._supervised()
        own = None
        if declines:
            me = supervised["by"].instance
            own = Offer(me, me.partition("-")[0], 0, 0, 0, False, 500, 0, declines)
        self.story.add(
            f.BidsCalled(
                **supervised,
                round=0,
                seed=1,
                candidates=tuple(holder(agent).instance for agent in candidates),
                bids_until_ms=self.story.now_ms + 50,
                own_offer=own,
            )
        )

    def is_declined(self, reason: str) -> None:
        """Let the worker give its award up before it began."""
        self.story.add(f.AwardDeclined(**self.says(), reason=reason))

    def waits_for_lifting(self) -> None:
        """Suspend until a halt is lifted."""
        wait = Wait("", "halt", "", 0, "workflow 0-root")
        self.story.add(f.WorkSuspended(**self.says(), waiting_for=(wait,)))

    def suspends(self) -> None:
        """Give the slot up; the next award goes on."""
        self.story.add(f.WorkSuspended(**self.says(), waiting_for=()))

    def expires(self) -> None:
        """Let the deadline pass, and the supervisor end the task."""
        self.story.wait(self.state.opened.deadline_ms + 1 - self.story.now_ms)
        self.story.renew()
        self.story.add(f.TaskExpired(**self._supervised(), reason="the deadline passed"))

    # --- ends -----------------------------------------------------------------------------------

    def _finished(self, **other: Any) -> None:
        cost = self.story.ledger.cost(self.state)
        basis: dict[str, Any] = {
            **self.says(),
            "outcome": Outcome.COMPLETED,
            "spent": cost,
            "confidence_permille": 900,
            "sources": (),
            "error": "",
            "field": "",
            "result": NOTHING,
        }
        self.story.add(f.WorkFinished(**{**basis, **other}))

    def finishes(self, answer: object = None) -> None:
        """Return a result."""
        self._finished(result=answer if isinstance(answer, Body) else body(answer))

    def fails(self, error: str) -> None:
        """Raise; the task is open for another attempt."""
        self._finished(outcome=Outcome.FAILED, error=error)

    def tries_again(self, agent: str = "", offers: tuple[Offer, ...] = ()) -> None:
        """Let the supervisor award the task once more; time passes first, if a lease is running."""
        if self.story.ledger.is_running(self.state) and self.state.lease is not None:
            self.story.wait(self.state.lease.end_ms - self.story.now_ms + 1)
        own, cause = self.state, next_cause(self.state)
        attempt = own.attempts + 1
        award = terms(agent or self.agent, own.purse.free, own.epoch + 1, cause, attempt)
        award = replace(award, offers=offers)
        self.agent = award.agent
        self.story.add(f.TaskAwarded(**self._supervised(), award=award))

    def ends(self, reason: str) -> None:
        """Let the supervisor end the task as failed."""
        self.story.add(f.TaskFailed(**self._supervised(), reason=reason))

    def is_cancelled(self) -> None:
        """Let the supervisor cancel the task, and the worker give it up."""
        said: dict[str, Any] = {"because": "enough", "person": ""}
        self.story.add(f.CancelRequested(**self._supervised(), **said))
        cost = self.story.ledger.cost(self.state)
        self.story.add(f.WorkCancelled(**self.says(), reason="asked", spent=cost))
        self.story.add(f.TaskCancelled(**self._supervised(), reason="asked"))

    def is_cancelled_with(self, *children: Part) -> None:
        """Let the worker end its children, and be cancelled itself."""
        for child in children:
            cost = self.story.ledger.cost(child.state)
            supervised = child._supervised()
            self.story.add(f.CancelRequested(**supervised, because="enough", person=""))
            self.story.add(f.WorkCancelled(**child.says(), reason="asked", spent=cost))
        self.is_cancelled()

    def is_refused(self, reason: str) -> None:
        """Let the supervisor's check refuse the result."""
        lease = self.state.lease
        assert lease is not None
        said: dict[str, Any] = {"award": lease.position, "reason": reason}
        self.story.add(f.ResultRejected(**self._supervised(), **said))

    def is_accepted(self) -> None:
        """Let the supervisor's check accept the result."""
        lease = self.state.lease
        assert lease is not None
        self.story.add(f.TaskCompleted(**self._supervised(), award=lease.position))


def holder(agent: str) -> Holder:
    """Return the one instance of an agent."""
    return Holder(f"{agent}-1", 1)


def body(given: object) -> Body:
    """Return a value as the body of a fact; a body stays what it is."""
    return given if isinstance(given, Body) else body_of(given)


def shared(content: Body, deadline_ms: int) -> dict[str, Any]:
    """Return what is the same in every opening."""
    return {
        "source": SOURCE,
        "input": content,
        "charter": Charter(goal="test", constraints=(), root_hash=b""),
        "after": (),
        "deadline_ms": deadline_ms,
        "lease_ms": LONG_MS,
        "max_attempts": 3,
        "mode": Mode.DIRECT,
        "named_agent": "",
        "acceptance": Acceptance.AUTOMATIC,
        "event_id": "",
        "reply_topic": "",
        "correlation_id": "",
        "traceparent": "",
    }


def terms(
    agent: str,
    free: Amount,
    epoch: int = 1,
    cause: Cause = Cause.FIRST,
    attempt: int = 1,
    lease_ms: int = LONG_MS,
) -> Terms:
    """Return the terms of an award."""
    return Terms(
        epoch=epoch,
        worker=holder(agent),
        worker_inbox=Inbox(f"inbox.{agent}", 0),
        agent=agent,
        digest="d1",
        lease_ms=lease_ms,
        free=free,
        resume_from=-1,
        cause=cause,
        attempt=attempt,
        reason="",
        mode=Mode.DIRECT,
        call=-1,
        offers=(),
        why="test",
    )


def replayed(story: Story, limits: LimitTable | None = None) -> list[Finding]:
    """Return what a new watch finds in the same log."""
    ledger, watch = Ledger(), Watch(limits)
    found: list[Finding] = []
    for record in story.records:
        found += watch.see(record, ledger, ledger.add(record))
    return found
