"""One simulated instance: the real core, with a shell that is made of faults.

It does what the runtime does: feeds inputs, performs effects in their order, runs handlers. It can
die or be stopped between any two effects, be cut off from the broker, and be drained. What happens
to it while it is stopped waits for it, as does what it had not done yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.desk import earliest
from mesh.core.node import Node
from mesh.core.registry import Card, Handler, Presence
from mesh.core.values import Body, Holder, Inbox, StepKind, TaskPartition
from mesh.testing.programs import Path, Run, Tool
from mesh.testing.world import Channel

if TYPE_CHECKING:
    from mesh.testing.sim_run import Simulation

AT_ONCE = 3
"""Task records that one poll brings."""
PRESENCE_MS = 1_000
HEARTBEAT_MS = 12_000
DRAIN_MS = 3_000
WAIT_AGAIN_MS = 600
"""A handler that still waits says so again after this."""
JUDGED_IN = 6
"""A write takes so many times what a tool would: sometimes longer than handlers keep their slot."""

Thunk = tuple[Callable[..., None], tuple[object, ...]]
Doable = (
    e.Append
    | e.Read
    | e.Send
    | e.Reply
    | e.Incident
    | e.Refusal
    | e.PutOpen
    | e.DropOpen
    | e.HandlerEffect
    | e.CommitEffect
)


class SimNode:
    """Mutable: one instance through all its incarnations."""

    def __init__(self, sim: Simulation, instance: str, card: Card, inbox: Inbox) -> None:
        self.sim = sim
        self.instance = instance
        self.card = card
        self.inbox = inbox
        self.skew_ms = 0
        self.up = False
        self.paused = False
        self.cut = False
        self.draining = False
        self.holder = Holder(instance, 0)
        self.core: Node
        self.runs: dict[tuple[str, int], Run] = {}
        self.assigned: dict[TaskPartition, int] = {}
        self.closed: set[TaskPartition] = set()
        self.backlog: deque[Thunk] = deque()
        self.mail: deque[Thunk] = deque()
        self.outbox: deque[Thunk] = deque()
        self.channels: dict[int, Channel] = {}
        self.sequences: dict[int, int] = {}
        self._reported_ms: dict[int, int] = {}
        self._group_ms = 0
        self._tick_ms = 0
        self._presence = (-1, 0)
        self._do: dict[type, Callable[..., None]] = {
            e.Append: self._append,
            e.Read: self._read,
            e.Send: self._send,
            e.Reply: self._meta,
            e.PutOpen: self._meta,
            e.DropOpen: self._meta,
            e.CommitOffset: self._meta,
            e.Incident: lambda effect: sim.checks.incident(self, effect),
            e.Refusal: lambda _: sim.count("refusals"),
            e.Intake: self._intake,
            c.Start: self._start,
            c.Resolve: lambda effect: self._tell(effect, "resolve", effect.step, effect.result),
            c.Refuse: lambda effect: self._tell(effect, "refuse", effect.step, effect.error),
            c.Perform: lambda effect: self._tell(effect, "perform", effect.step, effect.key),
            c.Probe: lambda effect: self._tell(effect, "probe", effect.step, effect.key),
            c.Review: self._review,
            c.Stop: self._stop,
        }

    def __repr__(self) -> str:
        return f"SimNode({self.instance}/{self.holder.incarnation} up={self.up} {self.runs})"

    @property
    def now_ms(self) -> int:
        """Return what its clock shows."""
        return self.sim.loop.now_ms + self.skew_ms

    @property
    def healthy(self) -> bool:
        """Tell whether nothing is wrong with it now."""
        return self.up and not (self.paused or self.cut or self.draining)

    # --- life and death -------------------------------------------------------------------------

    def boot(self) -> None:
        """Start as the next incarnation."""
        sim = self.sim
        self.holder = Holder(self.instance, self.holder.incarnation + 1)
        self.skew_ms = sim.draw_skew()
        self.core = Node(
            self.holder,
            self.inbox,
            self.card,
            settings=sim.settings,
            audit_partitions=len(sim.partitions),
            bidder=self._bid,
        )
        self.up, self.draining = True, False
        self.runs, self.assigned, self.closed = {}, {}, set()
        self.channels, self.sequences, self._reported_ms = {}, {}, {}
        self._group_ms = self._tick_ms = 0
        self._presence = (-1, 0)
        sim.trace(self, "boots")
        for card in sim.cards:
            self.feed(i.CardSeen(card.agent, card))
        for presence, seen_ms in sim.presences.values():
            self.feed(i.PresenceSeen(presence.instance, presence, seen_ms))
        sim.control.boots(self)
        if sim.standing is not None:
            sim.standing.boots(self)
        self.post(0, self._be_present)
        self.post(sim.latency(), self._join)

    def crash(self) -> None:
        """Die: what is in memory is lost; of what was sent a part arrives."""
        if not self.up:
            return
        self.sim.trace(self, "crashes")
        self.sim.count("crashes")
        self._down()
        for channel in self.channels.values():
            channel.cut_off()
        self.sim.session_runs_out(self.holder)
        self.sim.loop.after(self.sim.random.randint(100, 4_000), self.reboot)

    def _down(self) -> None:
        self.up = self.paused = self.cut = False
        self.backlog.clear()
        self.mail.clear()
        self.outbox.clear()
        for channel in self.channels.values():
            channel.unblock("paused")
            channel.unblock("cut")

    def reboot(self) -> None:
        """Start again, if it is down."""
        if not self.up:
            self.boot()

    def pause(self, for_ms: int, rest: list[Doable] | None = None) -> None:
        """Stop dead, and go on later as if nothing had happened."""
        if not self.up or self.paused:
            return
        self.sim.trace(self, "is paused", for_ms)
        self.sim.count("pauses")
        self.paused = True
        if rest:
            self.backlog.appendleft((self._perform, (rest,)))
        if self.sim.random.random() < 0.5:
            for channel in self.channels.values():
                channel.block("paused")
        self.sim.session_runs_out(self.holder)
        self.sim.loop.after(for_ms, self.resume, self.holder)

    def resume(self, holder: Holder) -> None:
        """Wake up; what has come in the meantime is there, and so are due timers."""
        if not self.paused or holder != self.holder:
            return
        self.sim.trace(self, "wakes up")
        self.paused = False
        for channel in self.channels.values():
            channel.unblock("paused")
        if self.backlog and self.backlog[0][0] == self._perform:
            then, args = self.backlog.popleft()
            then(*args)
        if self.sim.random.random() < 0.5:
            self._tick(self.holder)
        self._catch_up(self.backlog)
        self.sim.group_hears(self)

    def cut_off(self, for_ms: int) -> None:
        """Lose the broker for a time; go on running."""
        if not self.up or self.cut:
            return
        self.sim.trace(self, "is cut off", for_ms)
        self.sim.count("cuts")
        self.cut = True
        for channel in self.channels.values():
            channel.block("cut")
        self.sim.session_runs_out(self.holder)
        self.sim.loop.after(for_ms, self.heal, self.holder)

    def heal(self, holder: Holder) -> None:
        """Reach the broker again."""
        if not self.cut or holder != self.holder:
            return
        self.sim.trace(self, "is healed")
        self.cut = False
        for channel in self.channels.values():
            channel.unblock("cut")
        while self.outbox:
            then, args = self.outbox.popleft()
            then(*args)
        self._catch_up(self.mail)
        self.sim.group_hears(self)

    def drain(self) -> None:
        """Stop in order, as on SIGTERM; start again later."""
        if not self.healthy:
            return
        self.sim.trace(self, "drains")
        self.sim.count("drains")
        self.draining = True
        self._announce()
        self.feed(i.Drain())
        for source in list(self.assigned):
            self.on_revoked(source)
        self.post(30, self.sim.group.expel, self.holder)
        self.post(100, self._drained, self.sim.loop.now_ms + DRAIN_MS)

    def _drained(self, until_ms: int) -> None:
        pending = any(channel.pending for channel in self.channels.values())
        if (self.core.idle and not pending) or self.sim.loop.now_ms > until_ms:
            self.sim.trace(self, "stops")
            self.sim.leave(self)
            self._down()
            self.sim.loop.after(self.sim.random.randint(100, 3_000), self.reboot)
        else:
            self.post(100, self._drained, until_ms)

    # --- input ----------------------------------------------------------------------------------

    def post(self, delay_ms: int, then: Callable[..., None], *args: object) -> None:
        """Let something happen in this process, if it still lives then."""
        self.sim.loop.after(delay_ms, self._arrive, self.holder, then, args)

    def post_mail(self, delay_ms: int, then: Callable[..., None], *args: object) -> None:
        """Let something arrive from the broker."""
        self.sim.loop.after(delay_ms, self._arrive_mail, self.holder, then, args)

    def _arrive_mail(
        self, holder: Holder, then: Callable[..., None], args: tuple[object, ...]
    ) -> None:
        if self.cut and self.up and holder == self.holder:
            self.mail.append((then, args))
        else:
            self._arrive(holder, then, args)

    def _arrive(self, holder: Holder, then: Callable[..., None], args: tuple[object, ...]) -> None:
        if not self.up or holder != self.holder:
            return
        if self.paused:
            self.backlog.append((then, args))
        else:
            then(*args)

    def _catch_up(self, waiting: deque[Thunk]) -> None:
        holder = self.holder
        for _ in range(len(waiting)):
            if not waiting or (self.paused and waiting is self.backlog):
                return  # what is paused again keeps its order
            then, args = waiting.popleft()
            self._arrive(holder, then, args)

    def feed(self, given: i.Input) -> None:
        """Give the core an input and perform what it asks for."""
        if not self.up:
            return
        if self.paused:
            self.backlog.append((self.feed, (given,)))
            return
        self.sim.note_input(self, given)
        if isinstance(given, i.Halted):
            self.sim.control.saw(self, given.order)
        step = self.core.receive(given, self.now_ms)
        if isinstance(given, i.Received):
            self.sim.checks.received(self, given.envelope, step)
        todo: list[Doable] = [
            *step.appends, *step.reads, *step.messages, *step.handlers, *step.commits
        ]  # fmt: skip
        if todo:
            self._perform(todo)
        self._set_tick()

    def _perform(self, todo: list[Doable]) -> None:
        sim = self.sim
        profile, risky = sim.profile, sim.stormy
        for place, effect in enumerate(todo):
            if risky:
                chance = sim.random.random()
                if chance < profile.crash_between:
                    self.crash()
                    return
                if chance < profile.crash_between + profile.pause_between:
                    self.pause(sim.random.choice((50, 1_000, 3_000, 6_000)), todo[place:])
                    return
            sim.note_effect(self, effect)
            self._do[type(effect)](effect)

    def _set_tick(self) -> None:
        if not self.up:
            return
        deadline_ms = self.core.next_deadline()
        if deadline_ms is None:
            return
        at_ms = deadline_ms - self.skew_ms
        if self._tick_ms <= self.sim.loop.now_ms or at_ms < self._tick_ms:
            self._tick_ms = max(at_ms, self.sim.loop.now_ms + 1)
            self.post(self._tick_ms - self.sim.loop.now_ms, self._tick, self.holder)

    def _tick(self, holder: Holder) -> None:
        if not self.up or holder != self.holder:
            return
        deadline_ms = self.core.next_deadline()
        if deadline_ms is not None and deadline_ms <= self.now_ms:
            self.feed(i.Tick())
        else:
            self._set_tick()

    # --- facts, reads, messages, commits --------------------------------------------------------

    def _channel(self, partition: int) -> Channel:
        channel = self.channels.get(partition)
        if channel is None:
            sim = self.sim
            channel = self.channels[partition] = Channel(sim.loop, sim.random, sim.land)
            if self.cut:
                channel.block("cut")
            if partition >= 0 and sim.partitions[partition].down:
                channel.block("outage")
        return channel

    def _append(self, effect: e.Append) -> None:
        sequence = self.sequences.get(effect.partition, -1) + 1
        self.sequences[effect.partition] = sequence
        channel = self._channel(effect.partition)
        channel.put(self.sim.latency(), self, self.holder, effect.partition, sequence, effect)

    def report(self, holder: Holder, partition: int, given: i.Appended) -> None:
        """Report an append; reports of one partition keep their order."""
        sim = self.sim
        if holder != self.holder or not self.up:
            return
        if sim.stormy and sim.random.random() < sim.profile.unreported:
            sim.count("unreported")
            return
        last_ms = self._reported_ms.get(partition, 0)
        at_ms = max(last_ms, sim.loop.now_ms + sim.latency())
        self._reported_ms[partition] = at_ms
        self.post_mail(at_ms - sim.loop.now_ms, self.feed, given)

    def _read(self, effect: e.Read) -> None:
        self.post_mail(self.sim.latency() + self.sim.read_delay_ms, self._begin_read, effect)

    def _begin_read(self, effect: e.Read) -> None:
        sim = self.sim
        partition = sim.partitions[effect.partition]
        end = len(partition.records) if effect.through < 0 else effect.through + 1
        ledger = partition.read(effect.header, end, sorted(effect.workflows), effect.source)
        sim.checks.was_read(self, effect, ledger, end)
        sim.count("reads")
        sim.count("records read", end - effect.header.offset)
        self.post_mail(
            sim.latency() + sim.read_delay_ms, self.feed, i.LogRead(effect.token, ledger)
        )

    def _send(self, effect: e.Send) -> None:
        if self.cut:
            self.outbox.append((self.sim.send, (effect,)))
        else:
            self.sim.send(effect)

    def _meta(self, effect: e.Reply | e.PutOpen | e.DropOpen | e.CommitOffset) -> None:
        self._channel(-1).put(self.sim.latency(), self, self.holder, -1, 0, effect)

    def _intake(self, effect: e.Intake) -> None:
        for source in effect.sources:
            if effect.open:
                self.closed.discard(source)
                self.post_mail(self.sim.latency(), self.poll, source)
            else:
                self.closed.add(source)

    # --- the group ------------------------------------------------------------------------------

    def _join(self) -> None:
        if not self.draining:
            names = frozenset(offered.name for offered in self.card.capabilities)
            self.sim.group.join(self.holder, names)

    def group_says(self, then: Callable[..., None], *args: object) -> None:
        """Let the coordinator's word arrive; its words keep their order."""
        now_ms = self.sim.loop.now_ms
        self._group_ms = max(self._group_ms, now_ms + self.sim.latency())
        self.post_mail(self._group_ms - now_ms, then, *args)

    def on_assigned(self, source: TaskPartition) -> None:
        """Begin with a task partition."""
        topics = self.sim.topics
        noted = topics.open[source]
        offset, header = topics.commits.get(source, (0, None))
        if header is not None:
            header = earliest([header, *noted.values()])
        self.assigned[source] = offset
        self.closed.discard(source)
        self.feed(i.PartitionAssigned(source, header, frozenset(noted)))
        self.post_mail(self.sim.latency(), self.poll, source)

    def on_revoked(self, source: TaskPartition) -> None:
        """Give a task partition up, and say so."""
        if self.assigned.pop(source, None) is not None:
            self.feed(i.PartitionRevoked(source, lost=False))
        self.post(self.sim.random.randint(5, 80), self.sim.group.revoked, self.holder, source)

    def on_lost(self) -> None:
        """Hear that the group has dropped it, and join again."""
        for source in list(self.assigned):
            del self.assigned[source]
            self.feed(i.PartitionRevoked(source, lost=True))
        self._join()

    def poll(self, source: TaskPartition) -> None:
        """Take the next task records."""
        records = self.sim.topics.records[source]
        for _ in range(AT_ONCE):
            offset = self.assigned.get(source)
            if offset is None or source in self.closed or offset >= len(records):
                return
            self.assigned[source] = offset + 1
            record = records[offset]
            if record.request is None:
                self.feed(i.Skipped(source, offset))
            else:
                self.feed(i.Submitted(source, offset, record.append_ms, record.request))
        self.post_mail(self.sim.latency(), self.poll, source)

    # --- presence -------------------------------------------------------------------------------

    def _be_present(self) -> None:
        load, said_ms = self._presence
        now_ms = self.sim.loop.now_ms
        if not self.draining and (load != self.core.load or now_ms - said_ms >= HEARTBEAT_MS):
            self._presence = (self.core.load, now_ms)
            self._announce()
        self.post(PRESENCE_MS, self._be_present)

    def _announce(self) -> None:
        handlers = tuple(Handler(own.name, own.digest) for own in self.card.capabilities)
        presence = Presence(
            instance=self.instance,
            incarnation=self.holder.incarnation,
            agent=self.card.agent,
            inbox=self.inbox,
            load=self.core.load,
            slots=self.sim.settings.slots,
            handlers=handlers,
            draining=self.draining,
        )
        self.sim.announce(self.instance, presence)

    def _bid(self, call: m.CallForBids) -> m.Bid | m.Decline:
        """Bid by what the task, the call and the own name are: the same for the same."""
        figure = (
            sum(call.task.encode()) * 31
            + sum(self.instance.encode()) * 7
            + (call.bids_until_ms // 64) * 5
        )
        if figure % 7 == 0:
            return m.Decline(task=call.task, call=call.call, reason="not today")
        return m.Bid(
            task=call.task,
            call=call.call,
            price_micro_usd=figure % 61,
            eta_ms=figure % 997,
            confidence_permille=500 + figure % 400,
            slot=self.core.worker.free_slots > 0,
        )

    # --- handlers -------------------------------------------------------------------------------

    def _start(self, effect: c.Start) -> None:
        work = effect.work
        run = Run(work, self.sim.library.find(work.opened.input.hash), self)
        self.runs[work.task, work.award] = run
        self.post(self.sim.random.randint(0, 2), run.start)

    def _tell(
        self, effect: c.Resolve | c.Refuse | c.Perform | c.Probe, what: str, *args: object
    ) -> None:
        run = self.runs.get((effect.task, effect.award))
        if run is not None:
            self.post(0, getattr(run, what), *args)

    def _review(self, effect: c.Review) -> None:
        run = self.runs.get((effect.task, effect.award))
        if run is None or run.stopped:
            return
        refusal = run.review(effect.step, effect.body)
        answer = c.Reviewed(effect.task, effect.award, effect.child, effect.child_award, refusal)
        self.post(self.sim.random.choice((0, 1, 30)), self.feed, answer)

    def _stop(self, effect: c.Stop) -> None:
        key = (effect.task, effect.award)
        run = self.runs.get(key)
        if run is None:
            return
        run.stop()
        if effect.why == "lost":
            del self.runs[key]
        else:
            self.post(self.sim.random.choice((0, 0, 5, 400)), self._stopped, *key)

    def _stopped(self, task: str, award: int) -> None:
        if self.runs.pop((task, award), None) is not None:
            self.feed(c.HandlerStopped(task, award))

    # --- what a run asks for --------------------------------------------------------------------

    def call(self, run: Run, call: c.Call) -> None:
        """Make a call."""
        self.feed(c.Called(run.work.task, run.work.award, call))

    def perform(self, run: Run, step: str, key: str, tool: Tool) -> None:
        """Let the effect go out; once it is out, nothing that befalls this node takes it back."""
        body = self.sim.result_of(tool)
        hit = (self.holder, run, step, key, tool)
        if self.sim.random.random() < 0.5:
            self.sim.checks.hit(*hit)
        else:
            self.sim.loop.after(self.sim.random.randint(0, tool.ms), self.sim.checks.hit, *hit)
        self.post(self._takes(key, tool), self._done, run, step, tool, body)

    def _takes(self, key: str, tool: Tool) -> int:
        """Return how long it takes; a write is judged once, and who proposes it again is told."""
        if tool.kind is not StepKind.WRITE:
            return tool.ms
        now_ms = self.sim.loop.now_ms
        return max(1, self.sim.target.judged.setdefault(key, now_ms + JUDGED_IN * tool.ms) - now_ms)

    def _done(self, run: Run, step: str, tool: Tool, body: Body) -> None:
        key = (run.work.task, run.work.award)
        if self.runs.get(key) is run:
            self.feed(c.StepDone(*key, step, tool.error, tool.cost, body))

    def probe(self, run: Run, step: str, key: str, tool: Tool) -> None:
        """Ask the target."""
        self.post_mail(self.sim.latency(), self._probed, run, step, key)

    def _probed(self, run: Run, step: str, key: str) -> None:
        found = self.sim.target.results.get(key)
        self.feed(c.Probed(run.work.task, run.work.award, step, found))

    def finish(self, run: Run, finished: c.HandlerFinished) -> None:
        """Hand the result in."""
        self.runs.pop((run.work.task, run.work.award), None)
        self.feed(finished)

    def waiting(self, run: Run, steps: tuple[str, ...], token: int) -> None:
        """Say that the handler waits, and say it again as long as it does."""
        self._say_waiting(run, steps, token, self.now_ms)

    def _say_waiting(self, run: Run, steps: tuple[str, ...], token: int, since_ms: int) -> None:
        if run.token == token and not run.stopped and not run.over:
            self.feed(c.Waiting(run.work.task, run.work.award, steps, since_ms))
            self.post(WAIT_AGAIN_MS, self._say_waiting, run, steps, token, since_ms)

    def compute(self, run: Run, path: Path, ms: int) -> None:
        """Let a path be busy."""
        self.post(ms, run.computed, path)
