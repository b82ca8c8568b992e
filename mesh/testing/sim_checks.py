"""What is checked beside the log: that nodes act on what counts, and that the outside agrees.

Each check compares what a node does, at the moment of doing it, with the full fold of the log:
nobody begins, pays, calls, tells or answers on the strength of a fact that does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.budget import ZERO, add
from mesh.core.ids import audit_partition_of
from mesh.core.ledger import Ledger
from mesh.core.recall import MOVABLE
from mesh.core.tasks import TaskState
from mesh.core.values import Amount, Effect, Holder, Status, StepKind
from mesh.testing.invariants import Violation
from mesh.testing.programs import Run, Script, Tool, has_flicker, is_wiser

if TYPE_CHECKING:
    from mesh.testing.sim_node import SimNode
    from mesh.testing.sim_run import Simulation

ONE_CALL = Amount(tool_calls=1)
SAMPLE = 3
"""One read in so many is compared with the full fold."""


class Checks:
    """Mutable: the checks of one simulation, and what they found."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.found: list[Violation] = []
        self.replies: dict[str, e.Reply] = {}
        self.grants: dict[str, Amount] = {}
        self._reads = 0
        self._effects: dict[type, Callable[..., None]] = {
            c.Start: self._started,
            c.Perform: self._performs,
            c.Resolve: self._resolves,
            e.Send: self._sends,
            e.Append: sim.control.appends,
        }

    def violation(self, invariant: str, where: str, text: str) -> None:
        """Take note of a violation; the run ends with it."""
        self.found.append(Violation(invariant, where, text))

    def _holds(self, condition: bool, invariant: str, node: SimNode, text: str) -> None:
        if not condition:
            self.violation(invariant, f"{node.instance}/{node.holder.incarnation}", text)

    def _counts(self, workflow: str, offset: int) -> bool:
        return self.sim.partitions[audit_partition_of(workflow)].counts(offset)

    # --- what a node does -----------------------------------------------------------------------

    def effect(self, node: SimNode, effect: object) -> None:
        """Look at an effect as it is performed."""
        check = self._effects.get(type(effect))
        if check is not None:
            check(node, effect)

    def _started(self, node: SimNode, effect: c.Start) -> None:
        work = effect.work
        fact = self.sim.partitions[audit_partition_of(work.workflow)].records[work.award].fact
        terms = fact.award if isinstance(fact, f.TaskOpened | f.TaskAwarded) else None
        mine = terms is not None and terms.worker == node.holder
        self._holds(
            mine and self._counts(work.workflow, work.award),
            "nobody works without an award",
            node,
            f"begins {work.task} under {work.award}",
        )

    def _performs(self, node: SimNode, effect: c.Perform) -> None:
        partition = self.sim.partitions[audit_partition_of(effect.task)]
        run = node.runs.get((effect.task, effect.award))
        tool = run.tools.get(effect.step) if run is not None else None
        reads = tool is not None and tool.kind is StepKind.READ and not effect.key
        self._holds(
            reads or (effect.task, effect.award, effect.step) in partition.begun,
            "no effect whose step did not count",
            node,
            f"performs step {effect.step} of {effect.task} under {effect.award}",
        )

    def _resolves(self, node: SimNode, effect: c.Resolve) -> None:
        self._holds(
            self._counts(effect.task, effect.result.offset),
            "no result that does not count",
            node,
            f"resolves step {effect.step} of {effect.task} by {effect.result.offset}",
        )

    def _sends(self, node: SimNode, effect: e.Send) -> None:
        content = effect.envelope.content
        records: list[f.Record] = []
        if isinstance(content, m.Award):
            records = [content.opened] + ([content.awarded] if content.awarded else [])
        elif isinstance(content, m.Outcome):
            records = [content.record]
        for record in records:
            self._holds(
                self._counts(content.workflow, record.offset),  # type: ignore[union-attr] # they have
                "nobody tells what does not count",
                node,
                f"{type(content).__name__} with {type(record.fact).__name__} at {record.offset}",
            )

    def incident(self, node: SimNode, effect: e.Incident) -> None:
        """Look at a finding: only a handler that changes may fall out with its journal."""
        self.sim.count(f"incident {effect.kind}")
        if effect.kind != "journal-mismatch":
            return
        task = self.sim.partitions[audit_partition_of(effect.task)].fold.tasks.get(effect.task)
        if task is not None:
            script = self.sim.library.find(task.opened.input.hash)
            changes = has_flicker(script) or is_wiser(script)
            self._holds(changes, "a handler replays", node, f"{effect.task}: {effect.text}")

    def received(self, node: SimNode, envelope: m.Envelope, step: e.Step) -> None:
        """See that a message for somebody else, or another incarnation, is refused."""
        to = envelope.to
        meant = to.instance == node.instance and to.incarnation in (node.holder.incarnation, -1)
        if not meant:
            self._holds(
                any(isinstance(effect, e.Refusal) for effect in step.messages),
                "a message for another incarnation is refused",
                node,
                f"takes {type(envelope.content).__name__} for {to.instance}/{to.incarnation}",
            )

    # --- reads ----------------------------------------------------------------------------------

    def was_read(self, node: SimNode, effect: e.Read, ledger: Ledger, end: int) -> None:
        """Compare what a partial reader knows with the full fold."""
        partition = self.sim.partitions[effect.partition]
        if end != len(partition.records):
            return
        self._reads += 1
        if self._reads % SAMPLE:
            return
        full = partition.fold
        for task in full.tasks.values():
            opened = task.opened
            if opened.workflow not in effect.workflows and opened.source != effect.source:
                continue
            known = ledger.tasks.get(opened.task)
            difference = "unknown" if known is None else _difference(known, task)
            self._holds(
                not difference,
                "a reader from a header agrees with the fold",
                node,
                f"{opened.task} from {effect.header.offset}: {difference}",
            )
        for name in ledger.tasks:
            self._holds(
                name in full.tasks,
                "a reader from a header agrees with the fold",
                node,
                f"{name} from {effect.header.offset}: has ended",
            )

    # --- what lands -----------------------------------------------------------------------------

    def lands(self, node: SimNode, effect: object) -> None:
        """Look at what arrives at the broker beside the log."""
        match effect:
            case e.Reply():
                self._replied(node, effect)
            case e.DropOpen():
                self._holds(
                    self._ended(effect.workflow),
                    "M.open keeps what is open",
                    node,
                    f"drops {effect.workflow}",
                )
            case e.PutOpen():
                fold = self.sim.partitions[audit_partition_of(effect.workflow)].fold
                task = fold.tasks.get(effect.workflow)
                self._holds(
                    task is None or effect.header.offset <= task.offset,
                    "a header lies before what it leads to",
                    node,
                    f"M.open: {effect.workflow} from {effect.header.offset}",
                )
            case e.CommitOffset():
                self._committed(node, effect)
            case _:
                raise AssertionError(effect)

    def _ended(self, workflow: str) -> bool:
        return workflow in self.sim.partitions[audit_partition_of(workflow)].fold.ended

    def _replied(self, node: SimNode, effect: e.Reply) -> None:
        self.replies[effect.correlation_id] = effect
        fold = self.sim.partitions[audit_partition_of(effect.workflow)].fold
        end = fold.ended.get(effect.workflow)
        agrees = end is not None and end.status.value == effect.status
        if agrees and end is not None and end.status is Status.COMPLETED:
            agrees = end.body.content == effect.result
        self._holds(agrees, "a reply is the end", node, f"replies {effect.status}, the log {end}")

    def _committed(self, node: SimNode, effect: e.CommitOffset) -> None:
        source, topics = effect.source, self.sim.topics
        for offset, workflow in self.sim.submitted(source, effect.offset):
            self._holds(
                self._ended(workflow) or workflow in topics.open[source],
                "no offset is committed past an open task",
                node,
                f"commits {effect.offset} of {source}, {workflow} at {offset} is open",
            )
        for workflow, task in self.sim.home(source).fold.tasks.items():
            root = not task.opened.parent and task.opened.source == source
            if root and workflow not in topics.open[source]:
                self._holds(
                    effect.header.offset <= task.offset,
                    "a header lies before what it leads to",
                    node,
                    f"commit: {workflow} at {task.offset}, header {effect.header.offset}",
                )

    # --- the outside ----------------------------------------------------------------------------

    def hit(self, holder: Holder, run: Run, step: str, key: str, tool: Tool) -> None:
        """Let an effect reach its target; a read of shared state has none."""
        sim, work = self.sim, run.work
        if tool.kind is StepKind.READ:
            sim.count("state reads")
            return
        target, partition = sim.target, sim.partitions[audit_partition_of(work.workflow)]
        where = f"{holder.instance}/{holder.incarnation}"
        what = f"step {step} of {work.task} under {work.award}"
        sim.count("calls")
        place = (work.task, work.award, step)
        if place not in partition.begun:
            self.violation("no effect whose step did not count", where, what)
        target.calls[place] = target.calls.get(place, 0) + 1
        if target.calls[place] > 1:
            self.violation("one paid call for each reservation", where, what)
        effect = (work.task, tool.uid)
        keys = target.applied.setdefault(effect, set())
        keys.add(key)
        # what may happen often is done again where a handler does otherwise after a verdict
        writes = tool.kind is StepKind.WRITE
        may_differ = (tool.effect in MOVABLE or tool.flicker or writes) and _changes(run.script)
        if len(keys) > 1 and not may_differ:
            self.violation("one effect for each key", where, f"{what}: {sorted(keys)}")
        target.once[effect] = target.once.get(effect, 0) + 1
        repeats = target.once[effect] > 1
        sim.count("calls repeated", repeats)
        if repeats and tool.effect in (Effect.COMPENSABLE, Effect.IRREVERSIBLE) and not tool.probe:
            self.violation("what cannot be asked about is not repeated", where, what)
        if not tool.error:
            target.results.setdefault(key, sim.result_of(tool))
        fee = ZERO if writes else ONE_CALL
        cost = Amount(*map(min, add(tool.cost, fee), add(tool.reserve, fee)))
        paid = target.pay(work.workflow, cost)
        recorded = partition.audit.budgets.accounts[work.workflow].cost
        limit = self.grants[work.workflow]
        if any(p > r for p, r in zip(paid, recorded, strict=True)):
            self.violation("what is paid is in the log", where, f"{what}: {paid}, {recorded}")
        if any(p > most for p, most in zip(paid, limit, strict=True)):
            self.violation("what is paid is in the budget", where, f"{what}: {paid}, {limit}")

    # --- the end --------------------------------------------------------------------------------

    def last(self) -> None:
        """Look at the whole once everything has come to rest."""
        for partition in self.sim.partitions:
            self.found += partition.audit.unended()
        for source in self.sim.sources:
            records = self.sim.topics.records[source]
            for place, workflow in self.sim.submitted(source, len(records)):
                request = records[place].request
                if request is None or not request.reply_topic:
                    continue
                # the offset of a repeat may pass with its task: then it is answered at best
                forgotten = workflow in self.sim.topics.noted and "again" in request.correlation_id
                if request.correlation_id not in self.replies and not forgotten:
                    where = f"{source.capability}/{source.partition}@{place}"
                    self.violation("every submitter is answered", where, request.correlation_id)


def _changes(script: Script) -> bool:
    """Tell whether a handler does not do the same in every run."""
    return has_flicker(script) or is_wiser(script)


def _difference(known: TaskState, full: TaskState) -> str:
    for name, mine, theirs in _compared(known, full):
        if mine != theirs:
            return f"{name} is {mine}, in the fold {theirs}"
    return ""


def _compared(known: TaskState, full: TaskState) -> Iterator[tuple[str, object, object]]:
    for name in (
        "offset",
        "phase",
        "epoch",
        "attempts",
        "cause",
        "quiet",
        "reserved",
        "waiting_for",
    ):
        yield name, getattr(known, name), getattr(full, name)
    yield "lease", repr(known.lease), repr(full.lease)
    yield "purse", repr(known.purse), repr(full.purse)
    yield "children", list(known.children), list(full.children)
    yield "steps", list(known.steps), list(full.steps)
    for name, step in known.steps.items():
        yield f"step {name}", step.result, full.steps[name].result
