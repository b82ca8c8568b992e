"""The watch over one audit partition: runs all detectors, and says each thing once.

Whoever folds the partition gives every record to the ledger and then, with the verdict, to the
watch. Both begin where the oldest open workflow began; read again from there, they find the same,
under the same ids. What the watch keeps is plain data and grows with the open workflows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mesh.core import facts as f
from mesh.core.detectors.contradiction import Contradiction
from mesh.core.detectors.depth import Depth
from mesh.core.detectors.fan_out import FanOut
from mesh.core.detectors.frame import (
    Detector,
    Finding,
    Pace,
    Patient,
    Seen,
    Sight,
    agent_of,
    quote,
)
from mesh.core.detectors.limits import LimitTable
from mesh.core.detectors.loop import Loop
from mesh.core.detectors.lost_update import LostUpdate
from mesh.core.detectors.missed_dependency import MissedDependency
from mesh.core.detectors.no_progress import NoProgress
from mesh.core.detectors.nobody_bids import NobodyBids
from mesh.core.detectors.ping_pong import PingPong
from mesh.core.detectors.retry_storm import RetryStorm
from mesh.core.detectors.stale_read import Inquiry, Reads
from mesh.core.detectors.velocity import Velocity
from mesh.core.halts import HaltOrder
from mesh.core.ledger import OF_NO_TASK, Ledger
from mesh.core.tasks import TaskState
from mesh.core.values import Amount

MAX_FINDINGS = 64
"""Findings about one workflow: whoever has not looked after so many will not after one more."""
AGAIN = 2
"""After a lift the same is told again when so many times as much was seen: a person who let it go
on had seen the first, and each further one grants as much as there was."""
MAX_FAILURES = 16
"""Times that a detector may raise before it is set aside: it is broken, not unlucky."""
BROKEN = "detector-failed"
"""The kind of the incident that says that a detector raised."""


def runaway_detectors() -> list[Detector]:
    """Return one of each detector of runaway chains."""
    return [Loop(), PingPong(), RetryStorm(), FanOut(), Depth(), Velocity(), NoProgress()]


def miscoordination_detectors() -> list[Detector]:
    """Return one of each detector of agents that work side by side and not together."""
    return [LostUpdate(), Contradiction(), MissedDependency(), NobodyBids(), Reads()]


def all_detectors() -> list[Detector]:
    """Return one of each detector that one audit partition is enough for."""
    return [*runaway_detectors(), *miscoordination_detectors()]


class _Workflow:
    """Mutable: the open tasks of one workflow, and what was found about it.

    `tasks` are the ledger's own; the ledger drops a task with the fact that ends it, and the
    detectors are to see that fact with its task. `told` has of each finding how much was seen
    before the next lift, and the number of the lift after which it was told.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, TaskState] = {}
        self.told: dict[str, tuple[int, int]] = {}


class Watch:
    """Mutable: the detectors of one audit partition, and what they have said.

    A person who lifts a halt lets the workflow go on, and not for ever: what was told is told again
    when there is twice as much of it. `lifts` are the orders by which workflows were lifted last,
    by their names; a live view.
    """

    def __init__(
        self,
        limits: LimitTable | None = None,
        detectors: Sequence[Detector] | None = None,
        lifts: Mapping[str, HaltOrder] | None = None,
    ) -> None:
        self.limits = limits or LimitTable()
        self.lifts: Mapping[str, HaltOrder] = {} if lifts is None else lifts
        self.detectors = list(all_detectors() if detectors is None else detectors)
        self._reads = [own for own in self.detectors if isinstance(own, Reads)]
        self._patient = [(own, own) for own in self.detectors if isinstance(own, Patient)]
        self._pace = Pace()
        self._workflows: dict[str, _Workflow] = {}
        self._failures: dict[str, int] = {}

    def __repr__(self) -> str:
        names = ", ".join(own.name for own in self.detectors)
        return f"Watch({names}; {len(self._workflows)} workflows)"

    def see(self, record: f.Record, ledger: Ledger, void: str) -> list[Finding]:
        """Take a record that `ledger` has just judged, with its verdict; return what is found.

        Call it for every record, in the log's order: what does not count still moves time.
        """
        now_ms = self._pace.observe(record.append_ms)
        fact = record.fact
        found = self._late()
        if void or isinstance(fact, OF_NO_TASK):
            return found
        known = self._workflows.get(fact.workflow)
        if known is None:
            known = self._workflows[fact.workflow] = _Workflow()
        task = known.tasks.get(fact.task) or ledger.tasks.get(fact.task)
        if task is not None:
            known.tasks[fact.task] = task
            sight = self._sight(record, fact, ledger, now_ms, task)
            for detector in [own for own in self.detectors if type(fact) in own.kinds]:
                found += self._ask(detector, detector.see, sight)
        self._tidy(fact, ledger, known)
        return found

    def asked(self) -> Sequence[Inquiry]:
        """Return what is asked since the last call, for who knows more than this partition."""
        return [inquiry for own in self._reads for inquiry in own.take()]

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow, for whoever drops it from the ledger before its end."""
        self._workflows.pop(workflow, None)
        for detector in self.detectors:
            detector.forget(workflow)

    def _lift_of(self, workflow: str, offset: int) -> int:
        """Return the number of the order by which a person lets a workflow go on, 0 for none."""
        order = self.lifts.get(workflow)
        return order.number if order is not None and offset >= order.through else 0

    def _sight(
        self,
        record: f.Record,
        fact: f.SupervisorFact | f.WorkerFact,
        ledger: Ledger,
        now_ms: int,
        task: TaskState,
    ) -> Sight:
        root = self._workflows[fact.workflow].tasks.get(fact.workflow)
        root = root or ledger.tasks.get(fact.workflow) or task
        limits = self.limits.of(
            agent=agent_of(task),
            capability=task.opened.capability,
            root=root.opened.capability,
            workflow=fact.workflow,
        )
        return Sight(record, fact, ledger, now_ms, task, root, limits, self._pace.moved_ms)

    def _late(self) -> list[Finding]:
        """Return what is found of what did not happen in time."""
        moved_ms, found = self._pace.moved_ms, list[Finding]()
        for detector, patient in self._patient:
            if moved_ms < patient.due_ms or detector not in self.detectors:
                continue
            for sight in patient.overdue(moved_ms):
                found += self._ask(detector, patient.late, sight)
        return found

    def _ask(
        self, detector: Detector, look: Callable[[Sight], Sequence[Finding]], sight: Sight
    ) -> Sequence[Finding]:
        """Return what a detector finds that was not told yet; that it raised is a finding, too."""
        known = self._workflows[sight.opened.workflow]
        try:
            found = look(sight)
        except Exception as error:  # noqa: BLE001 - one broken detector must not silence the others
            found = [self._broken(detector, sight, error)]
        if not found:
            return found
        lift = self._lift_of(sight.opened.workflow, sight.record.offset) if self.lifts else 0
        new = []
        for one in found:
            if _is_due(one, lift, known):
                known.told[one.id] = (one.seen, lift)
                spent = _spent(sight)
                new.append(replace(one, at=sight.record.offset, spent=spent, lift=lift))
            else:
                _note_more(one, lift, known)
        return new

    def _broken(self, detector: Detector, sight: Sight, error: Exception) -> Finding:
        """Drop what a detector that raised knows of the workflow; set it aside at the last."""
        detector.forget(sight.opened.workflow)
        count = self._failures.get(detector.name, 0) + 1
        self._failures[detector.name] = count
        aside = count >= MAX_FAILURES
        if aside:
            self.detectors.remove(detector)
        kind = type(sight.fact).__name__
        says = quote(f"{type(error).__name__}: {error}")
        then = "it is set aside until the watch starts again" if aside else "the others go on"
        seen = Seen(
            thing="set aside" if aside else type(error).__name__,
            measure="times that the detector raised",
            seen=count,
            limit=MAX_FAILURES,
            evidence=[sight.record.offset],
            text=f"The detector {detector.name} failed at a {kind} ({says}); {then}.",
        )
        return replace(seen.of(detector.name, sight.task), kind=BROKEN)

    def _tidy(
        self, fact: f.SupervisorFact | f.WorkerFact, ledger: Ledger, known: _Workflow
    ) -> None:
        """Forget what ended: a workflow with its root, a task by itself."""
        members = ledger.members.get(fact.workflow)
        if members is None:
            self.forget(fact.workflow)
        elif len(known.tasks) > 2 * len(members) + 1:
            known.tasks = {name: own for name, own in known.tasks.items() if name in members}


def _spent(sight: Sight) -> Amount | None:
    """Return what the workflow has cost so far; None where its root task is not known."""
    if sight.root.opened.task != sight.opened.workflow:
        return None
    return sight.ledger.cost(sight.root)


def _is_due(finding: Finding, lift: int, known: _Workflow) -> bool:
    """Tell whether a finding is to be told: the first time, or when a lift was used up."""
    told = known.told.get(finding.id)
    if told is None:
        return len(known.told) < MAX_FINDINGS
    seen, since = told
    return lift > since and finding.seen >= AGAIN * seen


def _note_more(finding: Finding, lift: int, known: _Workflow) -> None:
    """Note how much there is of what was told, until a person has lifted it.

    Twice that is told again. Who begins anew knows the last lift alone, and not what was told after
    those before it: by what there was at the last both come to the same.
    """
    told = known.told.get(finding.id)
    if told is not None and lift <= told[1]:
        known.told[finding.id] = (max(told[0], finding.seen), told[1])
