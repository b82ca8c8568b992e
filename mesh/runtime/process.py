"""One process: instances of one or several agents that share a connection.

Start, in this order: connect; read the registry to its end, and refuse to start beside another
owner's agent of the same name; publish the cards; read presence, the halts, what agents have done,
and what ours declare of shared state, to its end; for each agent take an inbox partition that
nobody live announces, read it from its end, and join the group.

Drain: leave the group, suspend what waits, let the rest finish within the limit, say goodbye.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from mesh.core import inputs as i
from mesh.core.effects import Incident
from mesh.core.halts import Halts
from mesh.core.ids import derive
from mesh.core.registry import Card, Directory, objection
from mesh.core.settings import Settings
from mesh.core.standing import Latest
from mesh.core.values import Holder, Inbox
from mesh.errors import DefinitionError, TransportError, WireError, WrongTopic
from mesh.ports import Incoming, Log, Reader
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts
from mesh.runtime.clock import Clock, SystemClock
from mesh.runtime.instance import Instance
from mesh.runtime.outside import Outside
from mesh.runtime.proposals import Proposals
from mesh.runtime.replica import Replica
from mesh.runtime.services import Part
from mesh.runtime.watch import Held, LoopWatch
from mesh.wire import entries, facts, messages, requests, state, topics
from mesh.wire.entries import decode_card, decode_halt, decode_presence, decode_standing
from mesh.wire.schemas import MARKER

HELD_S = 1.0
"""A loop that is held for longer is told of: an honest pause is a hundredth of it, and the
shortest renewal of a lease comes after some two of them."""

PRESENCE_EVERY_S = 0.25
"""Presence is a hint and told once a second at most; of a thousand instances somebody tells it
every few milliseconds, and nobody must be woken for each."""

STANDING_EVERY_S = 0.5
"""Standing is written so often, and an auction takes what is known by then."""

_log = logging.getLogger(__name__)


def load_schemas() -> None:
    """Read and compile the schemas: they are files, so not at their first use on the loop."""
    for part in (entries, facts, messages, requests, state):
        part.codecs()


class Process:
    """Mutable: everything that runs in this process.

    Args:
        log: The connection; opened and closed here.
        mesh: The mesh's name.
        agents: At least one, each of another name.
        settings: Of the protocol.
        clock: Local time and timers.
        artifacts: Where large bodies go; None keeps none.
        name: Names the process in the ids of its instances; unique in the mesh.
        incarnation: Above that of any earlier start under the same name.
    """

    def __init__(  # noqa: PLR0913  # all that it is made of, named at one place
        self,
        log: Log,
        mesh: str,
        agents: Sequence[Agent],
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        artifacts: Artifacts | None = None,
        name: str = "",
        incarnation: int = 0,
    ) -> None:
        self.log = log
        self.mesh = mesh
        self.agents = tuple(agents)
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.name = name or f"{socket.gethostname().lower().replace('_', '-')}-{os.getpid()}"
        self.incarnation = incarnation or self.clock.now_ms()
        self.instances: list[Instance] = []
        self.directory = Directory()
        self.halts = Halts()
        self.standings = Latest()
        self.replica: Replica | None = None
        self.ready = False
        self.failed: asyncio.Future[TransportError] | None = None
        self._artifacts = artifacts
        self._cards: dict[str, Card] = {}
        self._read_back: dict[str, asyncio.Future[str]] = {}
        self._readers: list[Reader] = []
        self._loops: list[asyncio.Task[None]] = []
        self._watch = LoopWatch(HELD_S, self._held)

    def __repr__(self) -> str:
        return f"Process({self.mesh}, {[agent.name for agent in self.agents]}, ready={self.ready})"

    async def start(self) -> None:
        """Start every agent; returns when all are ready.

        Raises:
            Unreachable: No broker answers.
            NotPermitted: The broker refuses us.
            WrongTopic: A topic is missing; `mesh topics apply` creates them.
            DefinitionError: The registry has an agent of that name with another owner, or a newer
                version of it.
        """
        self._loop = asyncio.get_running_loop()
        self.failed = self._loop.create_future()
        await asyncio.to_thread(load_schemas)
        await self.log.open()
        audit = await self.log.ends(topics.audit(self.mesh))
        if not audit:
            raise WrongTopic(
                f"topic {topics.audit(self.mesh)} is missing; create the mesh's topics with "
                "`mesh topics apply`"
            )
        await self._follow(topics.registry(self.mesh), self._card_read)
        await self._publish_cards()
        await self._follow(topics.presence(self.mesh), self._presence_read, PRESENCE_EVERY_S)
        await self._follow(topics.control(self.mesh), self._order_read)
        await self._follow(topics.standing(self.mesh), self._standing_read, STANDING_EVERY_S)
        await self._follow_state()
        self._watch.start()
        for agent in self.agents:
            await self._start(agent, len(audit))
        self.ready = True

    async def _publish_cards(self) -> None:
        """Publish what is new, and go on when the log says that it was accepted.

        Of two owners that ask for a name at the same time the first in the log has it.
        """
        for agent in self.agents:
            card, known = agent.card(), self.directory.card(agent.name)
            self._cards[agent.name] = card
            reason = objection(agent.name, known, card)
            if not reason and known != card:
                read_back = self._read_back[agent.name] = self._loop.create_future()
                self._put_card(agent.name)
                waits = (read_back, self._failure())
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not read_back.done():
                    raise self._failure().result()
                reason = read_back.result()
            if reason:
                raise DefinitionError(f"agent {card.agent} cannot start: {reason}")

    def _put_card(self, agent: str) -> None:
        Outside(self.log, self.mesh, Holder(agent, 0)).card(self._cards[agent])

    def _failure(self) -> asyncio.Future[TransportError]:
        assert self.failed is not None
        return self.failed

    async def _start(self, agent: Agent, audit_partitions: int) -> None:
        name = f"{agent.name}.{self.name}"
        known = self.directory.presence(name)
        # a clock that was set back must not repeat an incarnation
        above = known.incarnation + 1 if known is not None else 0
        me = Holder(name, max(self.incarnation, above))
        inbox = await self._choose_inbox(agent)
        instance = Instance(
            agent,
            me,
            inbox,
            log=self.log,
            mesh=self.mesh,
            audit_partitions=audit_partitions,
            settings=self.settings,
            clock=self.clock,
            artifacts=self._artifacts,
            failed=self._fail,
            part=await self._part(agent, me, inbox),
        )
        for name in self.directory.agents:
            instance.give(i.CardSeen(name, self.directory.card(name)))
        for presence, seen_ms in self.directory.present():
            instance.give(i.PresenceSeen(presence.instance, presence, seen_ms))
        for order in self.halts.orders.values():
            instance.give(i.Halted(order))
        for standing in self.standings.entries:
            instance.give(i.StandingSeen(standing))
        self.instances.append(instance)
        await instance.start()

    async def _part(self, agent: Agent, me: Holder, inbox: Inbox) -> Part:
        """Return what an instance has of shared state."""
        card = agent.card()
        proposals = None
        if card.writes:
            partitions = len(await self.log.ends(topics.changes(self.mesh)))
            if not partitions:
                raise _missing(topics.changes(self.mesh))
            proposals = Proposals(
                me,
                inbox,
                log=self.log,
                mesh=self.mesh,
                partitions=partitions,
                clock=self.clock,
            )
        return Part(proposals, self.replica if card.reads else None)

    async def _choose_inbox(self, agent: Agent) -> Inbox:
        """Take a partition that no live instance announces, else share one."""
        topic = topics.inbox(self.mesh, agent.name)
        partitions = sorted(await self.log.ends(topic))
        if not partitions:
            raise _missing(topic)
        taken = {p.inbox.partition for p, _ in self.directory.present() if p.inbox.topic == topic}
        free = [partition for partition in partitions if partition not in taken] or partitions
        return Inbox(topic, free[int(derive(self.name)[:8], 16) % len(free)])

    # --- the small topics that everybody reads --------------------------------------------------

    async def _follow_state(self) -> None:
        """Read what the agents of this process declare that they read."""
        prefixes = sorted({prefix for agent in self.agents for prefix in agent.card().reads})
        if prefixes:
            self.replica = Replica(prefixes)
            topic = topics.state(self.mesh)
            await self._follow(topic, self.replica.take, keep=self.replica.keeps)

    async def _follow(
        self,
        topic: str,
        take: Callable[[Incoming], None],
        every_s: float = 0.0,
        keep: Callable[[bytes | None], bool] | None = None,
    ) -> None:
        """Read a compacted topic to its end, and go on in the background."""
        ends = await self.log.ends(topic)
        if not ends:
            raise _missing(topic)
        start = dict.fromkeys(ends, 0)
        reader = await self.log.tail(topic, start, keep=keep, every_s=every_s)
        self._readers.append(reader)
        loop = asyncio.get_running_loop()
        self._loops.append(loop.create_task(self._read(reader, take)))
        await reader.caught_up()

    async def _read(self, reader: Reader, take: Callable[[Incoming], None]) -> None:
        try:
            while True:
                for incoming in await reader.take():
                    take(incoming)
        except TransportError as error:
            self._fail(error)

    def _card_read(self, incoming: Incoming) -> None:
        agent = (incoming.key or b"").decode(errors="replace")
        card = None
        try:
            card = decode_card(incoming.value) if incoming.value is not None else None
            reason = self.directory.see_card(agent, card)
        except WireError as error:
            reason = f"the card of {agent} cannot be read: {error}"
        waiting = self._read_back.get(agent)
        if waiting is not None and not waiting.done() and card == self._cards[agent]:
            waiting.set_result(reason)
        if reason:
            self._refuse_card(agent, reason)
            return
        for instance in self.instances:
            instance.give(i.CardSeen(agent, card))

    def _refuse_card(self, agent: str, reason: str) -> None:
        """Count and tell of a card that changes nothing; replace it if it hides our own.

        The registry is compacted: whoever reads it later finds the last record of a key alone.
        """
        _log.warning("registry: %s", reason)
        for instance in self.instances:
            instance.counts["refused"] += 1
            if instance.agent.name == agent:
                incident = Incident("registry", "", "", reason)
                Outside(self.log, self.mesh, instance.me).incident(incident)
        if self.ready and agent in self._cards and self._cards[agent] == self.directory.card(agent):
            self._put_card(agent)

    def _presence_read(self, incoming: Incoming) -> None:
        name = (incoming.key or b"").decode(errors="replace")
        try:
            presence = decode_presence(incoming.value) if incoming.value is not None else None
        except WireError as error:
            _log.warning("presence: that of %s is refused: %s", name, error)
            return
        self.directory.see_presence(name, presence, incoming.append_ms)
        for instance in self.instances:
            instance.give(i.PresenceSeen(name, presence, incoming.append_ms))

    def _standing_read(self, incoming: Incoming) -> None:
        try:
            standing = decode_standing(incoming.value)
        except WireError as error:
            _log.warning("standing: that of %s is refused: %s", incoming.key, error)
            return
        if (standing.agent.encode(), standing.partition) != (incoming.key, incoming.partition):
            _log.warning("standing: that of %s stands in another's place", standing.agent)
            return
        self.standings.see(standing)
        for instance in self.instances:
            instance.give(i.StandingSeen(standing))

    def _order_read(self, incoming: Incoming) -> None:
        target = (incoming.key or b"").decode(errors="replace")
        try:
            order = decode_halt(incoming.value)
        except WireError as error:
            if (incoming.value or b"").startswith(MARKER):
                # a newer release may have written it: it must not be replaced by one that cannot
                _log.error("halts: the order for %s is not obeyed here: %s", target, error)
            else:
                self._refuse_order(target, str(error))
            return
        if order == self.halts.orders.get(target):
            return
        if order.target != target or not self.halts.see(order):
            self._refuse_order(target, "it is for another target, or comes too late")
            return
        for instance in self.instances:
            instance.give(i.Halted(order))

    def _refuse_order(self, target: str, reason: str) -> None:
        """Write the order in force again where something else stands last.

        The topic is compacted: whoever reads it later finds the last record of a key alone. One
        process does it, as far as it can tell, and a repeat changes nothing.
        """
        _log.warning("halts: an order for %s changes nothing: %s", target, reason)
        order, mine = self.halts.orders.get(target), {own.me.instance for own in self.instances}
        first = min((own.instance for own, _ in self.directory.present()), default="")
        if self.ready and order is not None and first in mine:
            Outside(self.log, self.mesh, self.instances[0].me).order(order)

    async def lag(self) -> dict[tuple[str, str, str], int]:
        """Return how many submitted records are not behind the committed offset.

        By agent, capability and partition, of the task partitions that are ours.

        Raises:
            TransportError: The broker does not answer.
        """
        found = {}
        for instance in self.instances:
            for name in instance.agent.capabilities:
                ends = await self.log.ends(topics.tasks(self.mesh, name))
                for partition, done in instance.done(name).items():
                    low, high = ends.get(partition, (0, 0))
                    where = (instance.agent.name, name, str(partition))
                    found[where] = max(0, high - max(low, done))
        return found

    # --- a loop that is held --------------------------------------------------------------------

    def _held(self, held: Held) -> None:
        """Say so at once, from the watching thread, and to everybody when the loop is back."""
        _log.warning(
            "the event loop is held for %.1f s at %s; leases and partitions will go to peers",
            *held,
        )
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._was_held, held)

    def _was_held(self, held: Held) -> None:
        for instance in self.instances:
            instance.counts["loop_held"] += 1
            text = f"{instance.me.instance}: held for more than {held.for_s:.1f} s at {held.where}"
            with suppress(TransportError):  # a log that is closed by now: it was said above
                incident = Incident("loop-held", "", "", text)
                Outside(self.log, self.mesh, instance.me).incident(incident)

    # --- the end --------------------------------------------------------------------------------

    def _fail(self, error: TransportError) -> None:
        """The connection is lost for good: only a new process, a new incarnation, can go on."""
        _log.error("this incarnation ends: %s", error)
        self.ready = False
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(error)

    async def drain(self, limit_s: float) -> bool:
        """Stop in order, within a limit; tell whether everything was finished or handed over."""
        self.ready = False
        await asyncio.gather(*(instance.leave() for instance in self.instances))
        deadline = self.clock.now_ms() + int(limit_s * 1_000)
        while any(instance.node.load for instance in self.instances):
            if self.clock.now_ms() >= deadline:
                break
            await asyncio.sleep(0.02)
        done = not any(instance.node.load for instance in self.instances)
        await self.close()
        return done

    async def close(self) -> None:
        """Stop at once; what is not finished is found in the log by others."""
        self.ready = False
        self._watch.close()
        for instance in self.instances:
            await instance.close()
        for task in self._loops:
            task.cancel()
        for reader in self._readers:
            await reader.close()
        await self.log.close()


def _missing(topic: str) -> WrongTopic:
    return WrongTopic(f"topic {topic} is missing; create it with `mesh topics apply`")
