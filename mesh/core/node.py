"""A node: one instance of one agent, without I/O.

`Node.receive(input, now_ms)` takes whatever the shell has to say (`mesh.core.inputs`) and returns
what the shell is to do (`mesh.core.effects`), in order. `next_deadline()` says when to call again
with `Tick` if nothing else happens. Time is an argument; nothing here is random; state is kept in
place, because a copy of it for each of ten thousand inputs a second would be all that we do.

The parts: `partitions` (root tasks, their supervision in log time), `supervisor` (tasks that this
node answers for), `allocation` (who gets one), `worker` (awards that this node holds, and their
journals). All read and feed one `ledger` for each audit partition, the same fold that judges the
log, and share the `desk`.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.core import calls as c
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.desk import Desk
from mesh.core.effects import Step
from mesh.core.partitions import Partitions
from mesh.core.policy import Policy
from mesh.core.registry import Card
from mesh.core.settings import Settings
from mesh.core.supervisor import Supervisor
from mesh.core.values import Holder, Inbox
from mesh.core.worker import Worker

EXPIRE_MS = 5_000
"""How often instances that fell silent are dropped from the choice."""


class Node:
    """Mutable: the whole protocol state of one instance.

    `restarts` names the capabilities whose handlers start over where their code no longer fits the
    journal; the tasks of all others are parked for a person.
    """

    def __init__(  # noqa: PLR0913  # what a node is, each named at the one place that makes it
        self,
        me: Holder,
        inbox: Inbox,
        card: Card,
        *,
        settings: Settings,
        audit_partitions: int,
        bidder: m.Bidder,
        policy: Policy | None = None,
        restarts: frozenset[str] = frozenset(),
    ) -> None:
        self.desk = Desk(me, inbox, card, settings, audit_partitions)
        self.supervisor = Supervisor(self.desk, bidder)
        self.worker = Worker(self.desk, bidder, self.supervisor, restarts)
        self.supervisor.worker = self.worker
        self.desk.works = self.worker.holds
        self.partitions = Partitions(
            self.desk, self.supervisor, policy or Policy(mesh=settings.ceiling)
        )
        self.supervisor.roots = self.partitions
        self._handlers = self._table()
        self._messages = self._message_table()
        self.desk.at(0, self._expire)

    def __repr__(self) -> str:
        me = self.desk.me
        return (
            f"Node({me.instance}/{me.incarnation} jobs={len(self.worker.jobs)} "
            f"watches={len(self.supervisor.watches)} tenures={len(self.partitions.tenures)})"
        )

    def receive(self, given: i.Input, now_ms: int) -> Step:
        """Take one input and return its effects, in the order in which they must be done.

        Raises nothing for what a peer or the world did; `IllegalMove` when the own shell or
        handler did what the protocol forbids.
        """
        desk = self.desk
        desk.now_ms = max(desk.now_ms, now_ms)
        step = desk.step = Step()
        self._handlers[type(given)](given)
        desk.run_timers()
        return step

    def next_deadline(self) -> int | None:
        """Return the local time at which to give a `Tick`, None if nothing waits for time."""
        return self.desk.next_deadline()

    @property
    def load(self) -> int:
        """Return how many handlers run."""
        return len(self.worker.jobs)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is worked on: a draining node may stop."""
        return not self.worker.jobs and not self.partitions.tenures

    def _table(self) -> dict[type, Callable[..., None]]:
        worker, partitions, desk = self.worker, self.partitions, self.desk
        return {
            i.PartitionAssigned: partitions.assigned,
            i.PartitionRevoked: partitions.revoked,
            i.Submitted: partitions.submitted,
            i.Skipped: lambda given: partitions.skipped(given.source, given.offset),
            i.Appended: lambda given: desk.appended(given.token, given.record),
            i.LogRead: lambda given: desk.was_read(given.token, given.ledger),
            i.Received: self._received,
            i.CardSeen: self._card_seen,
            i.PresenceSeen: self._presence_seen,
            i.Halted: self._halted,
            i.StandingSeen: lambda given: self.desk.standings.see(given.standing),
            i.Tick: lambda _: None,
            i.Drain: self._drain,
            c.Called: lambda given: worker.called(given.task, given.award, given.call),
            c.StepDone: worker.performed,
            c.Probed: worker.probed,
            c.Reviewed: worker.reviewed,
            c.Waiting: worker.waiting,
            c.HandlerFinished: worker.finished,
            c.HandlerStopped: worker.stopped,
        }

    def _message_table(self) -> dict[type, Callable[..., None]]:
        worker, supervisor = self.worker, self.supervisor
        return {
            m.CallForBids: worker.bid,
            m.Bid: supervisor.allocation.answered,
            m.Decline: supervisor.allocation.answered,
            m.Award: worker.offered,
            m.Adopt: worker.adopted,
            m.Adopted: supervisor.adopted,
            m.Outcome: supervisor.outcome,
            m.Cancel: self._cancel,
            m.Progress: supervisor.progress,
        }

    def _received(self, given: i.Received) -> None:
        envelope, me = given.envelope, self.desk.me
        to = envelope.to
        if to.instance != me.instance or to.incarnation not in (me.incarnation, -1):
            self.desk.refuse(envelope, f"it is for {to.instance} in incarnation {to.incarnation}")
            return
        self._messages[type(envelope.content)](envelope, envelope.content)

    def _cancel(self, envelope: m.Envelope, cancel: m.Cancel) -> None:
        if cancel.award >= 0:
            self.worker.cancel(envelope, cancel)
        elif self.supervisor.supervises(cancel.task):
            self.supervisor.cancel(cancel.task, cancel.because, cancel.person)
        else:
            self.desk.refuse(envelope, "the task is not supervised here")

    def _card_seen(self, given: i.CardSeen) -> None:
        reason = self.desk.directory.see_card(given.agent, given.card)
        if reason:
            self.desk.incident("registry", "", "", reason)
        else:
            self.supervisor.fleet_changed()

    def _presence_seen(self, given: i.PresenceSeen) -> None:
        self.desk.directory.see_presence(given.instance, given.presence, given.seen_ms)
        self.supervisor.fleet_changed()

    def _halted(self, given: i.Halted) -> None:
        order = given.order
        if not self.desk.halts.see(order):
            return
        if order.halted:
            self.worker.halted()
        else:
            self.worker.lifted()
            self.supervisor.lifted()

    def _expire(self) -> None:
        self.desk.directory.expire(self.desk.now_ms)
        self.desk.at(self.desk.now_ms + EXPIRE_MS, self._expire)

    def _drain(self, _: i.Drain) -> None:
        self.desk.draining = True
        self.worker.drain()
