"""The driver of one instance: gives inputs to its node, and performs the effects in their order.

Everything happens on one event loop. `give` takes an input and performs what the node answers:
facts are appended first, then messages go out, then handlers are told, then offsets are committed.
Reports, records, timers and handlers come back as further inputs. There is no decision here: what
an input means is the core's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import partial

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.facts import Record
from mesh.core.ids import audit_partition_of
from mesh.core.node import Node
from mesh.core.registry import Handler, Presence
from mesh.core.settings import Settings
from mesh.core.values import Holder, Inbox, TaskPartition
from mesh.errors import TransportError, UsageError, WireError
from mesh.ports import Incoming, Log, Place, Reader
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts
from mesh.runtime.capability import Decline
from mesh.runtime.clock import Clock, Timer
from mesh.runtime.collecting import give_back
from mesh.runtime.handlers import Runner
from mesh.runtime.intake import Intake
from mesh.runtime.outside import Outside
from mesh.runtime.reading import patiently, read_ledger
from mesh.runtime.scribe import Scribe
from mesh.runtime.services import NO_PART, Part
from mesh.wire import topics
from mesh.wire.messages import decode_envelope, encode_envelope

PRESENCE_MS = 15_000
"""A quiet instance says that it is there so often; three missed are taken for its absence."""
LOAD_MS = 1_000
"""A change of load is told at most so often: it is a hint, and the whole fleet reads it."""
RECOVERIES = 1
"""Task partitions that are read at a time: what is open of one is held in memory as a whole, until
what sleeps of it is packed, and reading more at once is hardly quicker."""
BULKY = 256
"""Who has recovered so many open tasks gives back the memory that it took to read them."""
RELEASE_S = 2.0
"""A release that is not acknowledged by then is left to the lease's end."""
SWEEP_MS = 1_000
"""How often handlers are looked through for those that wait long."""

_log = logging.getLogger(__name__)


class Instance:  # an `intake.Owner`
    """Mutable: one agent's part in this process.

    `counts` counts by kind what was refused, voided and put aside, for metrics.
    """

    def __init__(  # noqa: PLR0913  # all that it is made of, named at one place
        self,
        agent: Agent,
        me: Holder,
        inbox: Inbox,
        *,
        log: Log,
        mesh: str,
        audit_partitions: int,
        settings: Settings,
        clock: Clock,
        artifacts: Artifacts | None,
        failed: Callable[[TransportError], None],
        part: Part = NO_PART,
    ) -> None:
        self.agent = agent
        self.me = me
        self.inbox = inbox
        self.counts: Counter[str] = Counter()
        self.node = Node(
            me,
            inbox,
            agent.card(),
            settings=settings,
            audit_partitions=audit_partitions,
            bidder=self._bid,
            restarts=frozenset(
                name for name, own in agent.capabilities.items() if own.terms.restart
            ),
        )
        self._log = log
        self._mesh = mesh
        self._clock = clock
        self._failed = failed
        self._scribe = Scribe(log, mesh, me, lambda text: failed(TransportError(text)))
        self._runner = Runner(
            agent,
            self.give,
            clock=clock.now_ms,
            settings=settings,
            artifacts=artifacts,
            progress=self._progress,
            part=part,
        )
        self._proposals = part.proposals
        self._outside = Outside(log, mesh, me)
        self._artifacts = artifacts
        self._audit_partitions = audit_partitions
        self._inputs: deque[i.Input] = deque()
        self._pumping = False
        self._timer: tuple[int, Timer] | None = None
        self._reports: dict[int, asyncio.Future[None]] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._recoveries = asyncio.Semaphore(RECOVERIES)
        self._bulky = False
        self._pending_opens = 0
        self._commits: dict[TaskPartition, e.CommitOffset] = {}
        self._tasks: Intake | None = None
        self._running: asyncio.Task[None] | None = None
        self._inbox: Reader | None = None
        self._listening: asyncio.Task[None] | None = None
        self._presence_ms = 0
        self._told: Presence | None = None
        self._sweeper: Timer | None = None
        self.closed = False

    def __repr__(self) -> str:
        return f"Instance({self.me.instance}/{self.me.incarnation} {self.node!r})"

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the inbox, tell of oneself, and join the group that supervises root tasks."""
        inbox = await self._log.tail(self.inbox.topic, {self.inbox.partition: None})
        self._inbox = inbox
        self._listening = self._guard(self._read_inbox(inbox))
        self.tell_presence()
        self._sweep()
        if self.agent.capabilities:
            self._tasks = Intake(
                self, self._log, self._mesh, self._audit_partitions, self._artifacts
            )
            await self._tasks.start()
            self._running = self._guard(self._tasks.run())

    async def leave(self) -> None:
        """Give up the task partitions, and take no new work."""
        self.give(i.Drain())
        self.tell_presence()
        if self._tasks is not None:
            tasks, self._tasks = self._tasks, None
            await tasks.close()

    async def close(self) -> None:
        """Stop at once; what is not finished is found in the log by others."""
        if self._tasks is not None:
            await self._tasks.close()
            self._tasks = None
        self.closed = True
        for timer in (self._sweeper, self._timer[1] if self._timer else None):
            if timer is not None:
                timer.cancel()
        if self._inbox is not None:
            await self._inbox.close()
        for task in (*self._reads, self._running, self._listening):
            if task is not None:
                task.cancel()
        await self._runner.close(1.0)
        if self._log.failure() is None:
            self._outside.goodbye()

    # --- inputs ---------------------------------------------------------------------------------

    def give(self, given: i.Input) -> None:
        """Give an input to the node and perform what it answers; inputs in between wait."""
        if self.closed:
            return
        self._inputs.append(given)
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._inputs:
                step = self.node.receive(self._inputs.popleft(), self._clock.now_ms())
                self._perform(step)
        except UsageError:
            raise  # what the own handler did, and it shall hear
        except Exception as error:
            # a defect: who cannot take an input must not seem alive
            self._failed(TransportError(f"{self.me.instance} cannot go on: {error!r}"))
            raise
        finally:
            self._pumping = False
        self._set_timer()

    def received(self, incoming: Incoming) -> None:
        """Give a message from the inbox; one for somebody else is not ours to look at."""
        try:
            envelope = decode_envelope(incoming.value)
        except WireError as error:
            self.put_aside(incoming, str(error))
            return
        if envelope.to.instance != self.me.instance:
            return
        if not isinstance(envelope.content, m.Judged):
            self.give(i.Received(envelope))
        elif self._proposals is None or not self._proposals.heard(envelope, envelope.content):
            self.counts["refused"] += 1

    async def _read_inbox(self, reader: Reader) -> None:
        while not self.closed:
            for incoming in await reader.take():
                self.received(incoming)

    def _guard(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a reader's loop; when it breaks, this instance can no longer go on."""

        async def guarded() -> None:
            try:
                await work
            except TransportError as error:
                if not self.closed and not self.node.desk.draining:
                    self._failed(error)
            except Exception as error:
                # a defect: an instance that reads no more must not seem alive
                self._failed(TransportError(f"{self.me.instance} reads no more: {error!r}"))
                raise

        return asyncio.get_running_loop().create_task(guarded())

    def _set_timer(self) -> None:
        due = self.node.next_deadline()
        if due is None or self.closed:
            return
        if self._timer is not None:
            if self._timer[0] <= due:
                return
            self._timer[1].cancel()
        self._timer = (due, self._clock.call_at(due, self._tick))

    def _tick(self) -> None:
        self._timer = None
        self.give(i.Tick())

    # --- effects --------------------------------------------------------------------------------

    def _perform(self, step: e.Step) -> None:
        try:
            for append in step.appends:
                self._scribe.append(append, self._appended)
            for read in step.reads:
                task = asyncio.get_running_loop().create_task(self._read(read))
                self._reads.add(task)
                task.add_done_callback(self._reads.discard)
            for message in step.messages:
                self._message(message)
        except TransportError as error:
            self._failed(error)
            return
        for effect in step.handlers:
            self._runner.apply(effect)
        for commit in step.commits:
            self._commit(commit)

    def _appended(self, token: int, record: Record) -> None:
        waiting = self._reports.pop(token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        self.give(i.Appended(token, record))

    async def _read(self, read: e.Read) -> None:
        try:
            await patiently(self._log, partial(self._read_once, read))
        except TransportError as error:
            self._failed(error)

    async def _read_once(self, read: e.Read) -> None:
        """Read, if the broker answers; who has to ask again does not keep others waiting."""
        recovers = read.source is not None
        async with self._recoveries if recovers else nullcontext():
            ledger = await read_ledger(self._log, topics.audit(self._mesh), read)
            self._bulky = self._bulky or (recovers and len(ledger.tasks) >= BULKY)
            self.give(i.LogRead(read.token, ledger))

    def _message(self, effect: e.MessageEffect) -> None:
        match effect:
            case e.Send():
                self._send(effect)
            case e.Reply():
                self._outside.reply(effect)
            case e.Incident():
                self.counts[f"incident:{effect.kind}"] += 1
                _log.warning("%s: %s %s", effect.kind, effect.task, effect.text)
                self._outside.incident(effect)
            case e.Refusal():
                self.counts["refused"] += 1
                _log.info("refused %s of %s: %s", effect.message, effect.sender, effect.reason)
            case e.PutOpen() | e.DropOpen():
                self._pending_opens += 1
                self._outside.note(effect, self._noted)

    def _send(self, effect: e.Send) -> None:
        envelope = effect.envelope
        partition = audit_partition_of(getattr(envelope.content, "workflow", ""))
        value = encode_envelope(envelope, partial(self._scribe.written, partition))
        place = Place(effect.inbox.topic, effect.inbox.partition)
        self._log.append(place, envelope.to.instance.encode(), value)

    def _noted(self) -> None:
        self._pending_opens -= 1
        if not self._pending_opens:
            commits, self._commits = self._commits, {}
            for commit in commits.values():
                self._commit(commit)

    def _commit(self, effect: e.CommitEffect) -> None:
        """Commit once every note in `M.open` that the offset relies on is acknowledged."""
        if self._tasks is None:
            return
        if isinstance(effect, e.Intake):
            self._tasks.flow(effect)
        elif self._pending_opens:
            self._commits[effect.source] = effect
        else:
            self._tasks.commit(effect)

    def done(self, capability: str) -> dict[int, int]:
        """Return the committed offset of each task partition of a capability that is ours."""
        places = self._tasks.done if self._tasks is not None else {}
        topic = topics.tasks(self._mesh, capability)
        return {place.partition: at for place, at in places.items() if place.topic == topic}

    async def give_up(self, source: TaskPartition, *, lost: bool) -> None:
        """Give a task partition up; return when the release is acknowledged, or took too long."""
        step = self.node.receive(i.PartitionRevoked(source, lost), self._clock.now_ms())
        waiting = []
        for append in step.appends:
            self._reports[append.token] = asyncio.get_running_loop().create_future()
            waiting.append(self._reports[append.token])
        self._perform(step)
        self._set_timer()
        if waiting:
            await asyncio.wait(waiting, timeout=RELEASE_S)

    def put_aside(self, incoming: Incoming, reason: str) -> None:
        """Send a record to the dead letters."""
        self.counts["dead_letters"] += 1
        _log.warning(
            "dead letter: %s[%d]@%d: %s",
            incoming.topic,
            incoming.partition,
            incoming.offset,
            reason,
        )
        self._outside.dead_letter(incoming, reason)

    # --- around the node ------------------------------------------------------------------------

    def _bid(self, call: m.CallForBids) -> m.Bid | m.Decline:
        capability = self.agent.capabilities.get(call.capability)
        if capability is None or call.input.content is None:
            return m.Decline(task=call.task, call=call.call, reason="the input is not at hand")
        offer = capability.offer(call.input.content)
        if isinstance(offer, Decline):
            return m.Decline(task=call.task, call=call.call, reason=offer.because)
        return m.Bid(
            task=call.task,
            call=call.call,
            price_micro_usd=offer.price_micro_usd,
            eta_ms=offer.eta_ms,
            confidence_permille=offer.confidence_permille,
            slot=self.node.load < self.node.desk.settings.slots,
        )

    def _progress(self, work: c.Work, text: str) -> None:
        _log.info("%s: %s", work.task, text)

    def tell_presence(self) -> None:
        """Publish where this instance reads and how busy it is."""
        digests = {own.name: own.digest for own in self.node.desk.card.capabilities}
        told = Presence(
            instance=self.me.instance,
            incarnation=self.me.incarnation,
            agent=self.agent.name,
            inbox=self.inbox,
            load=self.node.load,
            slots=self.node.desk.settings.slots,
            handlers=tuple(Handler(name, digest) for name, digest in digests.items()),
            draining=self.node.desk.draining,
        )
        self._told = told
        self._presence_ms = self._clock.now_ms()
        self._outside.presence(told)

    def _sweep(self) -> None:
        """Look at what waits long, and tell of a changed load or of being there."""
        now = self._clock.now_ms()
        self._runner.sweep(now)
        if self._bulky and not self._reads:
            self._bulky = False
            give_back()
        changed = self._told is not None and self._told.load != self.node.load
        if now - self._presence_ms >= (LOAD_MS if changed else PRESENCE_MS):
            self.tell_presence()
        self._sweeper = self._clock.call_at(now + SWEEP_MS, self._sweep)
