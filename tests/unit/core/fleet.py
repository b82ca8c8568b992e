"""A fleet of real nodes on a fake wire: time moves, and things go wrong, when a test says so.

Each `Peer` is a `Node` and the shell that a test plays: what the node asks for is done at once, in
the order of its type, and what it asks of its handler is kept in `told`, for the test to answer.
Facts land in an audit log that checks every invariant as it grows. Reports, answers to reads and
messages go over the wire, where they may be held back, lost or doubled.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.book import End
from mesh.core.budget import ZERO
from mesh.core.ids import audit_partition_of
from mesh.core.node import Node
from mesh.core.policy import Policy
from mesh.core.registry import CapabilityCard, Card, Handler, Presence
from mesh.core.settings import Settings
from mesh.core.tasks import Header, TaskState
from mesh.core.values import (
    NOTHING,
    Acceptance,
    Amount,
    Body,
    Charter,
    Effect,
    Holder,
    Inbox,
    Mode,
    Outcome,
    StepKind,
    TaskPartition,
)
from mesh.testing.world import AuditPartition

START_MS = 1_000_000
ROOTS = TaskPartition("demo.root", 0)
MORE_ROOTS = TaskPartition("demo.root", 1)
PART = "demo.part"
BUDGET = Amount(1_000, 1_000, 100, 20, 10)
SETTINGS = Settings(budget=BUDGET)
HEARTBEAT_MS = 15_000
QUIET = (f.LeaseRenewed, f.SupervisionRenewed)
"""What a story leaves out."""

_T = TypeVar("_T")


def body(text: str) -> Body:
    """Return a JSON body that says `text`."""
    content = f'"{text}"'.encode()
    return Body(sha256(content).digest(), "application/json", content)


# --- what a handler calls -----------------------------------------------------------------------


def use(step: str = "0", **other: Any) -> c.Use:
    """Call a tool."""
    basis = c.Use(
        step=step,
        kind=StepKind.TOOL,
        name="post",
        input_hash=b"in",
        effect=Effect.KEYED,
        reserve=Amount(micro_usd=10),
    )
    return replace(basis, **other)


def delegate(step: str = "0", **other: Any) -> c.Delegate:
    """Have a part done by somebody else."""
    basis = c.Delegate(step=step, capability=PART, input=body(step), mode=Mode.DIRECT)
    return replace(basis, **other)


def spend(step: str = "0", micro_usd: int = 10) -> c.Spend:
    """Charge the budget."""
    return c.Spend(step=step, amount=Amount(micro_usd=micro_usd), because="it costs")


def decide(step: str = "0", choice: str = "left") -> c.Decide:
    """Write a line of the decision chain."""
    return c.Decide(step=step, choice=choice, because="it is shorter", evidence=())


def keep(step: str = "0") -> c.Keep:
    """Keep an artifact."""
    return c.Keep(step=step, name="report", input_hash=b"in", result=body("kept"))


def sleep(step: str = "0", ms: int = 1_000) -> c.Sleep:
    """Sleep."""
    return c.Sleep(step=step, ms=ms)


def request(**other: Any) -> i.Request:
    """Submit a root task."""
    basis = i.Request(
        capability=ROOTS.capability,
        input=body("root"),
        charter=Charter(goal="test", constraints=(), root_hash=body("root").hash),
    )
    return replace(basis, **other)


def offered(name: str, **other: Any) -> CapabilityCard:
    """Offer a capability."""
    basis = CapabilityCard(
        name=name,
        effect=Effect.KEYED,
        mode=Mode.DIRECT,
        budget=None,
        timeout_ms=600_000,
        lease_ms=10_000,
        max_attempts=3,
        has_bid=True,
        input_schema="{}",
        output_schema="{}",
        digest="d1",
        acceptance=Acceptance.AUTOMATIC,
    )
    return replace(basis, **other)


# --- the wire -----------------------------------------------------------------------------------


class Parcel(NamedTuple):
    """Something on its way; `kind` is the fact's class of a report, the content's of a message."""

    to: Peer
    kind: type
    given: i.Input


class Trouble:
    """Mutable: what happens to the next `times` parcels of a kind."""

    def __init__(self, do: str, kind: type, to: Peer | None, times: int) -> None:
        self.do = do
        self.kind = kind
        self.to = to
        self.times = times

    def befalls(self, parcel: Parcel) -> bool:
        """Tell whether it happens to this one, and count."""
        hit = self.times > 0 and parcel.kind is self.kind and self.to in (None, parcel.to)
        self.times -= hit
        return hit


class Fleet:
    """Mutable: peers, the wire between them, the audit log, and time."""

    def __init__(self, partitions: int = 1, **settings: Any) -> None:
        self.now_ms = START_MS
        self.settings = replace(SETTINGS, **settings)
        self.logs = [AuditPartition(number) for number in range(partitions)]
        self.peers: list[Peer] = []
        self.held: list[Parcel] = []
        self.offsets: Counter[TaskPartition] = Counter()
        self._wire: deque[Parcel] = deque()
        self._troubles: list[Trouble] = []
        self._running = False
        self._heartbeat_ms = START_MS

    def join(self, agent: str, *capabilities: str | CapabilityCard, **other: Any) -> Peer:
        """Start an instance of an agent, and let everyone know of it."""
        count = sum(peer.card.agent == agent for peer in self.peers)
        me = Holder(f"{agent}-{count + 1}", 1)
        peer = self._peer(me, card(agent, *capabilities), **other)
        for known in self.peers:
            peer.hear_of(known)
        self.peers.append(peer)
        self.announce(peer)
        return peer

    def _peer(self, me: Holder, own: Card, **other: Any) -> Peer:
        return Peer(self, me, own, **other)

    def announce(self, peer: Peer, **other: Any) -> None:
        """Let everyone know of a peer's card and presence."""
        peer.presence = peer.presence._replace(**other)
        for one in self.peers:
            if one.up:
                one.hear_of(peer)

    # --- trouble --------------------------------------------------------------------------------

    def hold(self, kind: type, to: Peer | None = None, times: int = 10**9) -> None:
        """Keep parcels of a kind back until `let_go`."""
        self._troubles.append(Trouble("hold", kind, to, times))

    def lose(self, kind: type, to: Peer | None = None, times: int = 1) -> None:
        """Lose the next parcels of a kind."""
        self._troubles.append(Trouble("lose", kind, to, times))

    def double(self, kind: type, to: Peer | None = None, times: int = 1) -> None:
        """Let the next parcels of a kind arrive twice."""
        self._troubles.append(Trouble("double", kind, to, times))

    def let_go(self) -> None:
        """Let everything go on that was held back, and hold nothing more."""
        self._troubles = [trouble for trouble in self._troubles if trouble.do != "hold"]
        self._wire.extend(self.held)
        self.held.clear()
        self.run()

    # --- time and the wire ----------------------------------------------------------------------

    def put(self, parcel: Parcel) -> None:
        """Send something on its way; reports of one peer stay in their order."""
        if isinstance(parcel.given, i.Appended) and any(
            held.to is parcel.to and isinstance(held.given, i.Appended) for held in self.held
        ):
            self.held.append(parcel)
            return
        for trouble in self._troubles:
            if trouble.befalls(parcel):
                if trouble.do == "hold":
                    self.held.append(parcel)
                if trouble.do != "double":
                    return
                self._wire.append(parcel)
        self._wire.append(parcel)

    def run(self) -> None:
        """Let everything arrive that is on its way, and what follows from it."""
        if self._running:
            return
        self._running = True
        while self._wire:
            parcel = self._wire.popleft()
            parcel.to.give(parcel.given)
        self._running = False

    def wait(self, ms: int) -> None:
        """Let time pass; nodes are called when they asked for it."""
        until_ms = self.now_ms + ms
        while True:
            self.run()
            due = [peer.due_ms for peer in self.peers if peer.up]
            next_ms = min(due, default=until_ms)
            if next_ms > until_ms:
                break
            self.now_ms = max(self.now_ms, next_ms)
            if self.now_ms >= self._heartbeat_ms + HEARTBEAT_MS:
                self._heartbeat_ms = self.now_ms
                for peer in [peer for peer in self.peers if peer.up]:
                    self.announce(peer)
            for peer in self.peers:
                if peer.up and peer.due_ms <= self.now_ms:
                    peer.give(i.Tick())
        self.now_ms = until_ms
        for peer in self.peers:
            peer.give(i.Tick())

    def skip(self, ms: int) -> None:
        """Let time pass in which nobody was called, and everyone is still there."""
        self.now_ms += ms
        for peer in [peer for peer in self.peers if peer.up]:
            self.announce(peer)

    # --- what the log says ----------------------------------------------------------------------

    def task(self, name: str) -> TaskState:
        """Return an open task as the whole log has it."""
        return self.logs[audit_partition_of(name)].fold.tasks[name]

    def end(self, workflow: str) -> End:
        """Return how a root task ended."""
        return self.logs[audit_partition_of(workflow)].fold.ended[workflow]

    def story(self, task: str = "", partition: int = 0) -> list[str]:
        """Return the kinds of all facts, or of a task's, in the log's order; void ones say so."""
        log = self.logs[partition]
        told: list[str] = []
        for record, verdict in zip(log.records, log.audit.verdicts, strict=True):
            fact = record.fact
            if isinstance(fact, QUIET) or task not in ("", getattr(fact, "task", "")):
                continue
            told.append(f"{'void ' if verdict else ''}{type(fact).__name__} {fact.by.instance}")
        return told

    def facts(self, kind: type[_T], partition: int = 0) -> list[_T]:
        """Return all facts of a kind."""
        facts = (record.fact for record in self.logs[partition].records)
        return [fact for fact in facts if isinstance(fact, kind)]

    def void(self, partition: int = 0) -> list[str]:
        """Return why facts are void."""
        return [verdict for verdict in self.logs[partition].audit.verdicts if verdict]


# --- a peer -------------------------------------------------------------------------------------


def card(agent: str, *capabilities: str | CapabilityCard) -> Card:
    """Return an agent's card; it may call everything in its domain."""
    return Card(
        agent=agent,
        owner="team",
        version="1.0",
        purpose="test",
        calls=("demo.*",),
        capabilities=tuple(offered(own) if isinstance(own, str) else own for own in capabilities),
    )


def bids(price: int = 10, eta_ms: int = 100, *, slot: bool = True) -> m.Bidder:
    """Return a bid function that always answers the same."""
    return lambda call: m.Bid(
        task=call.task,
        call=call.call,
        price_micro_usd=price,
        eta_ms=eta_ms,
        confidence_permille=900,
        slot=slot,
    )


class Peer:
    """Mutable: one node, the shell around it, and what it said."""

    def __init__(
        self,
        fleet: Fleet,
        me: Holder,
        own: Card,
        *,
        bidder: m.Bidder | None = None,
        policy: Policy | None = None,
        restarts: frozenset[str] = frozenset(),
        **settings: Any,
    ) -> None:
        self.fleet = fleet
        self.card = own
        self.me = me
        self.inbox = Inbox(f"inbox.{own.agent}", int(me.instance.rpartition("-")[2]))
        self.settings = replace(fleet.settings, **settings)
        self._more: dict[str, Any] = {
            "settings": self.settings,
            "audit_partitions": len(fleet.logs),
            "bidder": bidder or bids(),
            "policy": policy,
            "restarts": restarts,
        }
        self.obedient = True
        self.stalled: deque[e.Append] | None = None
        self.swallows: list[type] = []
        self.skew_ms = 0
        self._be()

    def __repr__(self) -> str:
        return f"Peer({self.node})"

    def _be(self) -> None:
        self.node = Node(self.me, self.inbox, self.card, **self._more)
        self.up = True
        handlers = tuple(Handler(own.name, own.digest) for own in self.card.capabilities)
        slots = self.settings.slots
        self.presence = Presence(*self.me, self.card.agent, self.inbox, 0, slots, handlers)
        self.works: dict[str, c.Work] = {}
        self.told: list[e.HandlerEffect] = []
        self.messages: list[e.MessageEffect] = []
        self.commits: list[e.CommitEffect] = []
        self.reads: list[e.Read] = []
        self._sequences: Counter[int] = Counter()

    # --- being ----------------------------------------------------------------------------------

    def die(self) -> None:
        """Be gone, with all that was in memory."""
        self.up = False
        self.stalled = None

    def reboot(self) -> None:
        """Start as the next incarnation."""
        self.die()
        self.me = self.me._replace(incarnation=self.me.incarnation + 1)
        self._be()
        for peer in self.fleet.peers:
            self.hear_of(peer)
        self.fleet.announce(self)

    def hear_of(self, peer: Peer) -> None:
        """Take note of a card and a presence."""
        self.give(i.CardSeen(peer.card.agent, peer.card))
        if peer.up:
            seen = i.PresenceSeen(peer.me.instance, peer.presence, self.fleet.now_ms)
            self.give(seen)

    def goodbye(self, peer: Peer) -> None:
        """Hear that a peer has left."""
        self.give(i.PresenceSeen(peer.me.instance, None, self.fleet.now_ms))

    @property
    def due_ms(self) -> int:
        """Return when the node wants to be called, in the fleet's time."""
        deadline_ms = self.node.next_deadline()
        return 2**62 if deadline_ms is None else deadline_ms - self.skew_ms

    def give(self, given: i.Input) -> None:
        """Give the node an input, and do what it asks for."""
        if not self.up:
            return
        step = self.node.receive(given, self.fleet.now_ms + self.skew_ms)
        for append in step.appends:
            if type(append.fact) in self.swallows:
                self.swallows.remove(type(append.fact))
            elif self.stalled is None:
                self._land(append)
            else:
                self.stalled.append(append)
        for read in step.reads:
            self.reads.append(read)
            self.fleet.put(Parcel(self, i.LogRead, self.answer(read)))
        for message in step.messages:
            self.messages.append(message)
            self._say(message)
        for effect in step.handlers:
            self.told.append(effect)
            self._tell(effect)
        self.commits += step.commits
        self.fleet.run()

    def _land(self, append: e.Append) -> None:
        number = append.partition
        sequence = self._sequences[number]
        self._sequences[number] += 1
        record, broken = self.fleet.logs[number].append(self.fleet.now_ms, sequence, append.fact)
        assert not broken
        self.fleet.put(Parcel(self, type(append.fact), i.Appended(append.token, record)))

    def stall(self) -> None:
        """Let no append reach the log until `flow`."""
        self.stalled = deque()

    def swallow(self, kind: type) -> None:
        """Let the next fact of a kind never reach the log."""
        self.swallows.append(kind)

    def flow(self) -> None:
        """Let what was stalled reach the log, now."""
        stalled, self.stalled = self.stalled or (), None
        for append in stalled:
            self._land(append)
        self.fleet.run()

    def answer(self, read: e.Read) -> i.LogRead:
        """Read the log as it is now."""
        log = self.fleet.logs[read.partition]
        end = len(log.records) if read.through < 0 else read.through + 1
        return i.LogRead(read.token, log.read(read.header, end, read.workflows, read.source))

    def _say(self, message: e.MessageEffect) -> None:
        if isinstance(message, e.Send):
            kind = type(message.envelope.content)
            for peer in self.fleet.peers:
                if peer.inbox == message.inbox:
                    self.fleet.put(Parcel(peer, kind, i.Received(message.envelope)))

    def _tell(self, effect: e.HandlerEffect) -> None:
        if isinstance(effect, c.Start):
            self.works[effect.work.task] = effect.work
        elif isinstance(effect, c.Stop) and self.obedient and effect.why != "restarted":
            self.give(c.HandlerStopped(effect.task, effect.award))

    # --- supervision ----------------------------------------------------------------------------

    def owns(
        self, source: TaskPartition = ROOTS, header: Header | None = None, *opened: str
    ) -> None:
        """Be given a task partition by the group."""
        self.give(i.PartitionAssigned(source, header, frozenset(opened)))

    def disowns(self, source: TaskPartition = ROOTS, *, lost: bool = False) -> None:
        """Have it taken back."""
        self.give(i.PartitionRevoked(source, lost))

    def submit(self, source: TaskPartition = ROOTS, offset: int = -1, **other: Any) -> str:
        """Hand over a record of a task topic; return the workflow, "" if none was opened."""
        if offset < 0:
            offset = self.fleet.offsets[source]
            self.fleet.offsets[source] += 1
        before = len(self.fleet.facts(f.TaskOpened, self.node.desk.home(source)))
        asked = request(capability=source.capability, **other)
        self.give(i.Submitted(source, offset, self.fleet.now_ms, asked))
        opened = self.fleet.facts(f.TaskOpened, self.node.desk.home(source))[before:]
        return opened[0].workflow if opened else ""

    def send(self, to: Peer, content: m.Content, addressee: Holder | None = None) -> None:
        """Send a message that the node itself would not send."""
        envelope = m.Envelope(
            to=addressee or to.me, sender=self.me, sender_inbox=self.inbox, content=content
        )
        to.give(i.Received(envelope))

    # --- the handler ----------------------------------------------------------------------------

    def call(self, task: str, call: c.Call) -> None:
        """Let the handler call something."""
        self.give(c.Called(task, self.works[task].award, call))

    def delegate(self, task: str, step: str = "0", **other: Any) -> str:
        """Let the handler delegate; return the child."""
        before = len(self.fleet.facts(f.TaskOpened))
        self.call(task, delegate(step, **other))
        opened = self.fleet.facts(f.TaskOpened)[before:]
        return opened[0].task if opened else ""

    def done(self, task: str, step: str = "0", **other: Any) -> None:
        """Let a performed effect be done."""
        basis = c.StepDone(task, self.works[task].award, step, "", ZERO, body("done"))
        self.give(basis._replace(**other))

    def finish(self, task: str, error: str = "", **other: Any) -> None:
        """Let the handler return, or raise `error`."""
        basis = c.HandlerFinished(
            task,
            self.works[task].award,
            Outcome.FAILED if error else Outcome.COMPLETED,
            NOTHING if error else body("result"),
            error,
            "",
            900,
            (),
        )
        self.give(basis._replace(**other))

    def forfeit(self, task: str) -> None:
        """Lose an award, because a report does not come."""
        self.fleet.lose(f.DecisionRecorded, self)
        self.call(task, decide("lost"))
        self.call(task, decide("passes it over"))

    def give_up(self, task: str) -> None:
        """Let the handler wait for what is open for so long that it is to be unwound."""
        self.waiting(task, *self.node.worker.jobs[task].calls)

    def stopped(self, task: str) -> None:
        """Let the handler be unwound."""
        self.give(c.HandlerStopped(task, self.works[task].award))

    def waiting(self, task: str, *steps: str, since_ms: int = 0) -> None:
        """Let every path of the handler wait."""
        self.give(c.Waiting(task, self.works[task].award, steps, since_ms))

    def heard(self, kind: type[_T], task: str = "") -> list[_T]:
        """Return what the handler was told, of one kind."""
        return [
            one
            for one in self.told
            if isinstance(one, kind) and task in ("", getattr(one, "task", task))
        ]

    def results(self, task: str) -> dict[str, c.Result]:
        """Return the results that the handler was given, by step."""
        return {one.step: one.result for one in self.heard(c.Resolve) if one.task == task}

    def said(self, kind: type[_T]) -> list[_T]:
        """Return what the node wrote besides facts, of one kind."""
        return [one for one in self.messages if isinstance(one, kind)]

    def sent(self, kind: type[_T]) -> list[_T]:
        """Return the contents of the messages that the node sent, of one kind."""
        contents = (one.envelope.content for one in self.said(e.Send))
        return [content for content in contents if isinstance(content, kind)]

    def said_to(self, peer: Peer) -> list[m.Content]:
        """Return the contents of the messages that were sent to a peer."""
        return [one.envelope.content for one in self.said(e.Send) if one.inbox == peer.inbox]

    @property
    def refusals(self) -> list[str]:
        """Return why messages were refused."""
        return [one.reason for one in self.said(e.Refusal)]


def boss_and(*workers: str, **settings: Any) -> tuple[Fleet, list[Peer]]:
    """Return a fleet of a boss that supervises root tasks, and workers for their parts."""
    fleet = Fleet(**settings)
    peers = [fleet.join("boss", ROOTS.capability), *(fleet.join(name, PART) for name in workers)]
    peers[0].owns()
    return fleet, peers
