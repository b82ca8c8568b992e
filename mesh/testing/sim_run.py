"""A seeded, deterministic simulation of a whole mesh under a hostile network.

The nodes are the real core. Everything around them is in memory and in one thread, and everything
that happens is drawn from the seed: so the seed is the bug report, and a run replays byte for byte.
All invariants are checked at every step; the first violation ends the run. After a while faults
stop, and then every task must end within a stated time.
"""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import NamedTuple

from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.ids import audit_partition, workflow_id
from mesh.core.registry import Presence
from mesh.core.values import Body, Holder, Inbox, TaskPartition
from mesh.testing import faults, sim_plan
from mesh.testing.faults import Profile
from mesh.testing.invariants import Violation
from mesh.testing.programs import Tool, body
from mesh.testing.sim_checks import Checks
from mesh.testing.sim_control import Control
from mesh.testing.sim_node import SimNode
from mesh.testing.sim_plan import Order, Plan
from mesh.testing.sim_standing import SimStanding
from mesh.testing.sim_trace import describe
from mesh.testing.world import START_MS, AuditPartition, Group, Loop, Target, TaskRecord, Topics

BOUND_MS = 90_000
"""After faults stop and the last deadline has passed, every task must have ended within this."""
REST_MS = 4_000
"""What is left when all has ended (replies, commits, tombstones) must be done within this, and what
the latest report needs that was on its way before faults stopped."""
LINES = 100_000
"""Events that a failure shows."""
MAX_STEPS = 400_000
"""A run that takes more is a storm."""
PERSON = Holder("person", 1)
PERSONS_INBOX = Inbox("m.inbox.person", 0)
PERSON_AGAIN_MS = 1_500


class Result(NamedTuple):
    """What came of one run."""

    seed: int
    steps: int
    violations: tuple[Violation, ...]
    counts: Counter[str]
    transcript: str
    lines: tuple[str, ...]


class Simulation:
    """Mutable: one run.

    Args:
        seed: Everything is drawn from it.
        tracing: Keep the last events in words, and hash them all into the transcript; slower.
        profile: The faults, drawn from the seed unless given.
        plan: The fleet and its work, drawn from the seed unless given.
        standing: Let nodes hear what agents have done, so that auctions go by it.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        tracing: bool = False,
        profile: Profile | None = None,
        plan: Plan | None = None,
        standing: bool = False,
    ) -> None:
        self.seed = seed
        self.tracing = tracing
        self.random = Random(seed)
        self.profile = profile or faults.draw(self.random)
        self.plan = plan or sim_plan.draw(self.random, self.profile)
        self.settings = self.plan.settings
        self.cards = self.plan.cards
        self.sources = self.plan.sources
        self.library = self.plan.library
        self.loop = Loop()
        self.partitions = [AuditPartition(p) for p in range(self.plan.audit_partitions)]
        self.topics = Topics(self.sources)
        self.target = Target()
        self.control = Control(self)
        self.standing = SimStanding(self) if standing else None
        self.checks = Checks(self)
        self.group = Group(self.loop, self.random, self.sources, self._assign, self._revoke)
        self.presences: dict[str, tuple[Presence, int]] = {}
        self.read_delay_ms = 0
        self.stormy = self.profile.calm_ms > 0
        self.steps = 0
        self.counts: Counter[str] = Counter()
        self._lines: deque[str] = deque(maxlen=LINES)
        self._hash = sha256()
        self._wanted: set[str] = set()
        self._ended = 0
        self._orders_left = len(self.plan.orders)
        self.nodes: dict[str, SimNode] = {}
        for member in self.plan.members:
            node = SimNode(self, member.instance, member.card, member.inbox)
            self.nodes[member.instance] = node

    # --- running --------------------------------------------------------------------------------

    def run(self) -> Result:
        """Run to the end, or to the first violation."""
        loop, found = self.loop, self.checks.found
        for node in self.nodes.values():
            loop.after(self.random.randint(0, 300), node.reboot)
        for order in self.plan.orders:
            loop.after(500 + order.at_ms, self._submit, order)
        if self.stormy:
            loop.after(self.profile.calm_ms, self._calm)
            loop.after(500, self._strike)
        loop.after(1_000, self._look_after_people)
        self.control.begin()
        if self.standing is not None:
            self.standing.begin()
        last_ms = START_MS + self.profile.calm_ms + sim_plan.TIMEOUT_MS + BOUND_MS
        resting_ms = 0
        while not found:
            if self.steps >= MAX_STEPS or loop.now_ms > last_ms or not self._step():
                if not found:
                    self.checks.last()
                ended = {name for p in self.partitions for name in p.fold.ended}
                left = " ".join(sorted(self._wanted - ended))
                text = f"not after {self.steps} steps: {left}"
                self.checks.violation("every task ends", "the run", text)
                break
            self.steps += 1
            if self._at_rest():
                resting_ms = resting_ms or loop.now_ms
                if loop.now_ms > resting_ms + REST_MS + self.profile.late_ms:
                    self.checks.last()
                    break
        return self._result()

    def _step(self) -> bool:
        try:
            return self.loop.step()
        except Exception as error:  # noqa: BLE001 - whatever the core raises is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            self.checks.violation("the core raises nothing", Path(where.filename).name, text)
            return True

    def _at_rest(self) -> bool:
        return self._ended == len(self._wanted) and not self._orders_left and not self.stormy

    def _result(self) -> Result:
        self.counts["simulated s"] = (self.loop.now_ms - START_MS) // 1_000
        self.counts["facts"] = sum(len(partition.records) for partition in self.partitions)
        for partition in self.partitions:
            for end in partition.fold.ended.values():
                self.counts[f"root {end.status}"] += 1
        return Result(
            self.seed,
            self.steps,
            tuple(self.checks.found),
            self.counts,
            self._hash.hexdigest(),
            tuple(self._lines),
        )

    def count(self, what: str, number: int = 1) -> None:
        """Count something for the statistics."""
        self.counts[what] += number

    # --- tracing --------------------------------------------------------------------------------

    def trace(self, node: SimNode | None, what: str, *about: object) -> None:
        """Note an event in words."""
        if self.tracing:
            who = f"{node.instance}/{node.holder.incarnation}" if node is not None else "-"
            told = " ".join(describe(item) for item in about)
            line = f"{self.steps:6} {self.loop.now_ms - START_MS:7} {who:8} {what} {told}".rstrip()
            self._lines.append(line)
            self._hash.update(line.encode())

    def note_input(self, node: SimNode, given: i.Input) -> None:
        """Note what a node is told."""
        if self.tracing:
            self.trace(node, "<-", given)

    def note_effect(self, node: SimNode, effect: object) -> None:
        """Note and check what a node does."""
        if self.tracing:
            self.trace(node, "->", effect)
        self.checks.effect(node, effect)

    # --- chance ---------------------------------------------------------------------------------

    def latency(self) -> int:
        """Draw how long something takes on its way."""
        random = self.random
        if self.stormy and random.random() < self.profile.late:
            return random.randint(1, self.profile.late_ms)
        return random.randint(1, 8)

    def draw_skew(self) -> int:
        """Draw the error of a clock."""
        return self.random.randint(-self.profile.node_skew_ms, self.profile.node_skew_ms)

    def result_of(self, tool: Tool) -> Body:
        """Return what a tool answers."""
        return body(f"result of {tool.uid}")

    # --- the log and the messages ---------------------------------------------------------------

    def home(self, source: TaskPartition) -> AuditPartition:
        """Return the audit partition of a task partition's workflows."""
        return self.partitions[audit_partition(source, len(self.partitions))]

    def land(
        self, node: SimNode, holder: Holder, partition: int, sequence: int, effect: object
    ) -> None:
        """Let something arrive at the broker: a fact, or what goes beside the log."""
        if not isinstance(effect, e.Append):
            self._land_beside(node, holder, effect)
            return
        record = self._land_fact(partition, sequence, effect.fact)
        node.report(holder, partition, i.Appended(effect.token, record))
        if self.stormy and self.random.random() < self.profile.repeated:
            self.count("repeated")
            self._land_fact(partition, sequence, effect.fact)

    def _land_fact(self, partition: int, sequence: int, fact: f.Fact) -> f.Record:
        log = self.partitions[partition]
        ended = len(log.fold.ended)
        record, found = log.append(self.loop.now_ms, sequence, fact)
        self.checks.found += found
        if self.standing is not None:
            self.standing.landed(log, record)
        self._ended += len(log.fold.ended) - ended
        if isinstance(fact, f.TaskOpened) and not fact.parent and log.counts(record.offset):
            self.checks.grants[fact.workflow] = fact.grant
        if self.tracing:
            void = log.audit.verdicts[record.offset]
            where = f"{partition}/{record.offset}@{record.append_ms - START_MS}"
            told = f"void: {void}" if void else "counts"
            self.trace(None, f"log {where} {fact.by.instance}#{sequence}", fact, told)
        return record

    def _land_beside(self, node: SimNode, holder: Holder, effect: object) -> None:
        if isinstance(effect, e.CommitOffset):
            owner = self.group.owners[effect.source] == holder
            if not owner and self.random.random() >= self.profile.unfenced:
                return
        self.trace(node, "lands", effect)
        self.checks.lands(node, effect)
        match effect:
            case e.CommitOffset():
                self.topics.commits[effect.source] = (effect.offset, effect.header)
            case e.PutOpen():
                self.topics.open[effect.source][effect.workflow] = effect.header
                self.topics.noted.add(effect.workflow)
            case e.DropOpen():
                self.topics.open[effect.source].pop(effect.workflow, None)
            case _:
                pass

    def send(self, effect: e.Send) -> None:
        """Send a message, if it is not lost."""
        self.count("messages")
        if self.stormy:
            if self.random.random() < self.profile.drop:
                return
            if self.random.random() < self.profile.duplicate:
                self.loop.after(self.latency() * 3, self._deliver, effect)
        self.loop.after(self.latency(), self._deliver, effect)

    def _deliver(self, effect: e.Send) -> None:
        for node in self.nodes.values():
            if node.up and node.inbox == effect.inbox:
                node.post_mail(1, node.feed, i.Received(effect.envelope))

    def announce(self, instance: str, presence: Presence | None) -> None:
        """Let everyone see a presence."""
        now_ms = self.loop.now_ms
        if presence is None:
            self.presences.pop(instance, None)
        else:
            self.presences[instance] = (presence, now_ms)
        for node in self.nodes.values():
            if node.up:
                node.post_mail(
                    self.latency(), node.feed, i.PresenceSeen(instance, presence, now_ms)
                )

    # --- the group ------------------------------------------------------------------------------

    def _assign(self, holder: Holder, source: TaskPartition) -> None:
        self.trace(None, "group assigns", source, holder)
        node = self.nodes[holder.instance]
        if node.holder == holder and node.up:
            node.group_says(node.on_assigned, source)

    def _revoke(self, holder: Holder, source: TaskPartition) -> None:
        self.trace(None, "group revokes", source, holder)
        node = self.nodes[holder.instance]
        if node.holder == holder and node.up:
            node.group_says(node.on_revoked, source)

    def session_runs_out(self, holder: Holder) -> None:
        """Let the group drop a member that is still unreachable after a session."""
        self.loop.after(self.profile.session_ms, self._expire, holder)

    def _expire(self, holder: Holder) -> None:
        node = self.nodes[holder.instance]
        silent = node.holder != holder or not node.up or node.paused or node.cut
        if silent and holder in self.group.members:
            self.trace(None, "group drops", holder)
            self.group.expel(holder)

    def group_hears(self, node: SimNode) -> None:
        """Let a node that was silent hear, in a while, that the group has dropped it."""
        if node.holder not in self.group.members:
            node.post_mail(self.random.randint(1, 600), self._tell_lost, node)

    def _tell_lost(self, node: SimNode) -> None:
        if node.holder not in self.group.members and not node.draining:
            node.on_lost()

    def leave(self, node: SimNode) -> None:
        """Let a node go in order."""
        self.group.expel(node.holder)
        self.announce(node.instance, None)

    # --- faults ---------------------------------------------------------------------------------

    def _strike(self) -> None:
        if not self.stormy:
            return
        kinds = self.profile.kinds
        if kinds:
            getattr(self, f"_strike_{self.random.choice(kinds)}")()
        self.loop.after(int(self.random.expovariate(1 / self.profile.every_ms)), self._strike)

    def _anyone(self) -> SimNode:
        """Choose whom it hits: often one that has work in hand."""
        nodes = list(self.nodes.values())
        busy = [node for node in nodes if node.runs]
        return self.random.choice(busy if busy and self.random.random() < 0.6 else nodes)

    def _strike_crash(self) -> None:
        self._anyone().crash()

    def _strike_pause(self) -> None:
        self._anyone().pause(self.random.choice((100, 900, 2_500, 6_000)))

    def _strike_cut(self) -> None:
        self._anyone().cut_off(self.random.choice((100, 900, 2_500, 6_000)))

    def _strike_drain(self) -> None:
        self._anyone().drain()

    def _strike_leader(self) -> None:
        partition = self.random.choice(self.partitions)
        half_ms = self.profile.broker_skew_ms // 2
        partition.skew_ms = self.random.randint(-half_ms, half_ms)
        self.trace(None, "leader of", partition.partition, partition.skew_ms)

    def _strike_outage(self) -> None:
        partition = self.random.choice(self.partitions)
        if not partition.down:
            self.trace(None, "outage of", partition.partition)
            self._outage(partition, down=True)
            self.loop.after(self.random.choice((200, 1_000, 4_000)), self._outage, partition)

    def _outage(self, partition: AuditPartition, *, down: bool = False) -> None:
        partition.down = down
        for node in self.nodes.values():
            channel = node.channels.get(partition.partition)
            if channel is not None and down:
                channel.block("outage")
            elif channel is not None:
                channel.unblock("outage")

    def _strike_suspect(self) -> None:
        node = self._anyone()
        if node.up and node.holder in self.group.members:
            self.trace(node, "is suspected")
            self.group.expel(node.holder)
            node.post_mail(self.random.choice((1, 200, 2_500)), self._tell_lost, node)

    def _strike_rebalance(self) -> None:
        source = self.random.choice(self.sources)
        self.trace(None, "group moves", source)
        self.group.move(source)

    def _strike_unread(self) -> None:
        self.read_delay_ms = self.random.choice((0, 200, 1_500))

    def _calm(self) -> None:
        self.trace(None, "calm")
        self.stormy = False
        self.read_delay_ms = 0
        for partition in self.partitions:
            self._outage(partition)
        for node in self.nodes.values():
            node.resume(node.holder)
            node.heal(node.holder)
            self.loop.after(self.random.randint(0, 500), node.reboot)

    # --- work -----------------------------------------------------------------------------------

    def submitted(self, source: TaskPartition, before: int) -> Iterator[tuple[int, str]]:
        """Yield offset and workflow of every record of a task partition below an offset."""
        count = len(self.partitions)
        for offset, record in enumerate(self.topics.records[source][:before]):
            if record.request is not None:
                yield offset, workflow_id(source, offset, record.request.event_id, count)

    def _submit(self, order: Order) -> None:
        self._orders_left -= 1
        records = self.topics.records[order.source]
        offset = len(records)
        skew_ms = self.random.randint(-1, 1) * self.profile.broker_skew_ms // 2
        records.append(TaskRecord(self.loop.now_ms + skew_ms, order.request))
        self.trace(None, "submits", order.source, offset)
        if order.request is not None:
            workflow = workflow_id(
                order.source, offset, order.request.event_id, len(self.partitions)
            )
            self._wanted.add(workflow)
            if order.cancel_ms:
                self.loop.after(order.cancel_ms, self._cancel, order.source, workflow)
        for node in self.nodes.values():
            if order.source in node.assigned:
                node.post_mail(self.latency(), node.poll, order.source)

    def _cancel(self, source: TaskPartition, workflow: str) -> None:
        """Let a person end a workflow, again and again, as `mesh cancel` does."""
        log = self.home(source)
        if workflow in log.fold.ended:
            return
        lease = log.fold.supervisions.get(source)
        taken = log.records[lease.position].fact if lease is not None else None
        if isinstance(taken, f.SupervisionTaken):
            content = m.Cancel(
                workflow=workflow, task=workflow, award=-1, because="a person asks", person="eve"
            )
            to = taken.by._replace(incarnation=-1)
            envelope = m.Envelope(to=to, sender=PERSON, sender_inbox=PERSONS_INBOX, content=content)
            self.send(e.Send(taken.inbox, envelope))
        self.loop.after(PERSON_AGAIN_MS, self._cancel, source, workflow)

    def _look_after_people(self) -> None:
        """Once all is calm, let a person end what waits for a person."""
        if not self.stormy:
            for partition in self.partitions:
                for task in partition.fold.tasks.values():
                    if any(wait.kind == "person" for wait in task.waiting_for):
                        self._cancel(task.opened.source, task.opened.workflow)
        if not self._at_rest():
            self.loop.after(PERSON_AGAIN_MS * 2, self._look_after_people)
