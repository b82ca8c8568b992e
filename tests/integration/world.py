"""A mesh on a broker, for tests: its topics, its processes, a client, and what its log tells.

Nothing here sleeps and hopes: whoever waits, waits for records (`Tail.until`) or for a condition
(`eventually`), for a bounded time, and the failure tells the story so far.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, TopicPartition
from pydantic import BaseModel

from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.effects import Incident
from mesh.core.ids import workflow_id
from mesh.core.settings import Settings
from mesh.core.values import Amount, Holder, Inbox, TaskPartition, Terms
from mesh.errors import TransportError
from mesh.ports import Incoming, Log, Place, Reader, Report, TopicPlan
from mesh.runtime.agent import Agent
from mesh.runtime.process import Process, load_schemas
from mesh.testing.invariants import Audit, Violation
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_settings import Limits
from mesh.wire import topics
from mesh.wire.entries import DeadLetter, decode_dead_letter, decode_incident
from mesh.wire.facts import FIRST, decode_fact
from mesh.wire.messages import encode_envelope
from mesh.wire.requests import Answer, decode_reply

Found = TypeVar("Found")

SETTINGS = Settings(
    work_lease_ms=1_500,
    supervision_lease_ms=1_500,
    clock_skew_ms=100,
    retry_pause_ms=20,
    repeat_ms=300,
    bids_wait_ms=500,  # all who are asked answer; on a loaded machine not within 50 ms
)
"""Short leases, for there is one broker and nobody is slow on purpose unless a test says so."""
LEASE = "1500ms"
FEW = topics.Partitions(tasks=1, inbox=4, audit=2, replies=1)
WITHIN_S = 60.0
"""How long anything may take before a test gives up: a loaded machine, not a measurement."""
LOOK_S = 0.005


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a mesh runs: a broker of one of the two kinds, and how to create topics there."""

    bootstrap: str
    embedded: bool
    create: Callable[[Sequence[TopicPlan]], Awaitable[None]]

    def log(self, client_id: str, limits: Limits | None = None) -> KafkaLog:
        return KafkaLog(self.bootstrap, client_id=client_id, embedded=self.embedded, limits=limits)


async def eventually(
    found: Callable[[], Found | None], within_s: float = WITHIN_S, what: str = "the condition"
) -> Found:
    """Look again and again until something true is found."""
    until = time.monotonic() + within_s
    while not (value := found()):
        assert time.monotonic() < until, f"{what}: not within {within_s:g} s"
        await asyncio.sleep(LOOK_S)
    return value


class Tail:
    """Mutable: every record of a topic so far, from its beginning."""

    def __init__(self) -> None:
        self.records: list[Incoming] = []
        self._changed = asyncio.Event()
        self._reader: Reader | None = None

    def __str__(self) -> str:
        return "\n".join(
            f"  {one.partition}@{one.offset} {one.value!r:.200}" for one in self.records
        )

    async def open(self, log: Log, topic: str) -> Coroutine[Any, Any, None]:
        """Begin; the caller runs what is returned."""
        self._reader = await log.tail(topic, dict.fromkeys(await log.ends(topic), 0))
        return self._read(self._reader)

    async def _read(self, reader: Reader) -> None:
        with suppress(TransportError):
            while True:
                for incoming in await reader.take():
                    self.records.append(incoming)
                    self.add(incoming)
                self._changed.set()

    def add(self, incoming: Incoming) -> None:
        """Take one record; for those who make more of it."""

    def has_read(self, ends: Mapping[int, tuple[int, int]]) -> bool:
        """Tell whether everything up to these ends was read."""
        seen = {one.partition: one.offset for one in self.records}
        return all(low == high or seen.get(p, -1) >= high - 1 for p, (low, high) in ends.items())

    async def until(self, found: Callable[[], Found | None], within_s: float = WITHIN_S) -> Found:
        """Return what is found among the records, looking again whenever some came."""
        try:
            async with asyncio.timeout(within_s):
                while not (value := found()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s; so far:\n{self}") from None
        return value


class Told(NamedTuple):
    """A fact in its place, and why it does not count ("" if it does)."""

    partition: int
    record: f.Record
    void: str

    @property
    def fact(self) -> f.Fact:
        return self.record.fact

    @property
    def kind(self) -> str:
        return type(self.record.fact).__name__

    @property
    def task(self) -> str:
        return getattr(self.record.fact, "task", "")


class Story(Tail):
    """Mutable: the audit stream, judged from its first record and checked against the invariants.

    `garbage` are records that are no facts; tests put some there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Told] = []
        self.audits: dict[int, Audit] = {}
        self.violations: list[Violation] = []
        self.garbage: list[Incoming] = []
        self._chains: dict[tuple[int, Holder], bytes] = {}

    def __str__(self) -> str:
        return "\n".join(_line(told) for told in self.told)

    def add(self, incoming: Incoming) -> None:
        try:
            decoded = decode_fact(incoming.value)
        except Exception:  # noqa: BLE001  # whatever it is, it is no fact
            self.garbage.append(incoming)
            return
        audit = self.audits.setdefault(incoming.partition, Audit(incoming.partition))
        record = f.Record(incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact)
        self.violations += audit.add(record)
        self.told.append(Told(incoming.partition, record, audit.verdicts[-1]))
        key = (incoming.partition, decoded.fact.by)
        if decoded.previous != self._chains.get(key, FIRST):
            place = f"{incoming.partition}/{incoming.offset}"
            self.violations.append(Violation("hash chain", place, str(decoded.fact.by)))
        self._chains[key] = decoded.chain_hash

    def of(self, workflow: str, *kinds: type[Any]) -> list[Any]:
        """Return the facts of a workflow that count, of these kinds or of all."""
        return [
            told.fact
            for told in self.told
            if not told.void
            and getattr(told.fact, "workflow", "") == workflow
            and (not kinds or isinstance(told.fact, kinds))
        ]

    def kinds(self, workflow: str) -> list[str]:
        """Return the names of a workflow's facts that count, in log order."""
        return [type(fact).__name__ for fact in self.of(workflow)]

    def children(self, workflow: str, capability: str = "") -> list[f.TaskOpened]:
        """Return the openings below a workflow's root, of one capability or of all."""
        opened: list[f.TaskOpened] = self.of(workflow, f.TaskOpened)
        return [o for o in opened if o.parent and capability in ("", o.capability)]

    def awards(self, task: str) -> list[Terms]:
        """Return the terms of a task's awards that count."""
        facts = [told.fact for told in self.told if not told.void and told.task == task]
        given = [getattr(fact, "award", None) for fact in facts]
        return [award for award in given if isinstance(award, Terms)]

    def void(self) -> list[Told]:
        """Return what was written and does not count."""
        return [told for told in self.told if told.void]

    def check(self, *, all_ended: bool = True) -> None:
        """Assert that the log breaks no invariant."""
        found = list(self.violations)
        for audit in self.audits.values():
            found += audit.unended() if all_ended else []
        assert not found, "\n".join([*map(str, found), str(self)])


def _line(told: Told) -> str:
    fact, terms = told.fact, getattr(told.fact, "award", None)
    names = ("step", "capability", "outcome", "error", "reason", "because", "waiting_for")
    about = [f"by {fact.by.instance}", told.task]
    about += [f"{name}={value}" for name in names if (value := getattr(fact, name, None))]
    if isinstance(terms, Terms):
        about.append(f"-> {terms.worker.instance} epoch {terms.epoch} {terms.cause}")
    void = f" VOID: {told.void}" if told.void else ""
    place = f"{told.partition}@{told.record.offset} {told.record.append_ms % 10_000_000}"
    return f"  {place} {told.kind} {' '.join(about)}{void}"


class Replies(Tail):
    """Mutable: the replies, by correlation id."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, list[Answer]] = {}

    def add(self, incoming: Incoming) -> None:
        key = (incoming.key or b"").decode()
        self.answers.setdefault(key, []).append(decode_reply(incoming.value))


class DeadLetters(Tail):
    """Mutable: what was put aside."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[DeadLetter] = []

    def add(self, incoming: Incoming) -> None:
        self.letters.append(decode_dead_letter(incoming.value))


class Incidents(Tail):
    """Mutable: the findings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Incident] = []

    def add(self, incoming: Incoming) -> None:
        self.found.append(decode_incident(incoming.value))


class Submitted(NamedTuple):
    """A record on a task topic, and the workflow that it is the root of."""

    workflow: str
    correlation_id: str
    place: Place
    offset: int


class World:
    """Mutable: one mesh, made for one test."""

    def __init__(self, site: Site, mesh: str, settings: Settings = SETTINGS) -> None:
        self.site = site
        self.mesh = mesh
        self.settings = settings
        self.partitions = FEW
        self.processes: list[Process] = []
        self.client = site.log("outside")
        self.story = Story()
        self.replies = Replies()
        self.dead_letters = DeadLetters()
        self.incidents = Incidents()
        self.may_stay_open = False
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = 0

    async def open(self, *agents: Agent, partitions: topics.Partitions = FEW) -> None:
        """Create the topics that these agents need, and begin to read what is written."""
        await self._create(agents, partitions)
        await self._listen()

    async def _create(self, agents: Sequence[Agent], partitions: topics.Partitions) -> None:
        self.partitions = partitions
        await self.site.create(
            topics.plans(
                self.mesh,
                capabilities=sorted({name for agent in agents for name in agent.capabilities}),
                pools=sorted({agent.name for agent in agents}),
                reply_names=["tests"],
                partitions=partitions,
            )
        )

    async def _listen(self) -> None:
        await asyncio.to_thread(load_schemas)
        await self.client.open()
        tails = {
            topics.audit(self.mesh): self.story,
            topics.replies(self.mesh, "tests"): self.replies,
            topics.dead_letters(self.mesh): self.dead_letters,
            topics.incidents(self.mesh): self.incidents,
        }
        for topic, tail in tails.items():
            reading = await tail.open(self.client, topic)
            self._tasks.append(asyncio.get_running_loop().create_task(reading))

    def process(
        self, *agents: Agent, name: str = "", limits: Limits | None = None, **options: Any
    ) -> Process:
        """Make a process that is not started yet."""
        name = name or f"p{len(self.processes)}"
        options.setdefault("settings", self.settings)
        process = Process(
            self.site.log(name, limits), self.mesh, list(agents), name=name, **options
        )
        self.processes.append(process)
        return process

    async def start(self, *agents: Agent, name: str = "", **options: Any) -> Process:
        """Start a process of these agents."""
        process = self.process(*agents, name=name, **options)
        await process.start()
        return process

    async def run(self, *agents: Agent, **options: Any) -> None:
        """Create the topics, and start a process for each agent; return when all know of all."""
        await self._create(agents, FEW)
        for agent in agents:
            self.process(agent, **options)
        await asyncio.gather(self._listen(), *(process.start() for process in self.processes))
        await self.acquainted()

    async def end(self, process: Process) -> None:
        """Close a process at once; what it does not finish is found in the log by others."""
        self.processes.remove(process)
        await process.close()

    async def acquainted(self) -> None:
        """Return when all processes know of all instances."""
        names = [instance.me.instance for p in self.processes for instance in p.instances]
        await self.acquainted_with(*names)

    async def acquainted_with(self, *names: str) -> None:
        """Return when all processes here know of these instances."""
        wanted = set(names)
        await eventually(
            lambda: all(wanted <= _known(p) for p in self.processes), what=f"presence of {names}"
        )

    async def close(self) -> None:
        """Close everything; what the log holds by now was read."""
        ends = await self.client.ends(topics.audit(self.mesh))
        await self.story.until(lambda: self.story.has_read(ends))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.client.close(), *(process.close() for process in self.processes))

    # --- a client -------------------------------------------------------------------------------

    def committed(self, place: Place) -> int:
        """Return what the supervisors' group has committed for a task partition, -1 for nothing."""
        group = topics.supervisors(self.mesh)
        consumer = Consumer({"bootstrap.servers": self.site.bootstrap, "group.id": group})
        (known,) = consumer.committed([TopicPartition(*place)], timeout=WITHIN_S)
        consumer.close()
        return max(-1, known.offset)

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        partition: int = -1,
    ) -> Report:
        """Append a record to any topic."""
        told: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        given = tuple(
            (k, v.encode() if isinstance(v, str) else v) for k, v in (headers or {}).items()
        )
        self.client.append(Place(topic, partition), key, value, given, told.set_result)
        async with asyncio.timeout(WITHIN_S):
            report = await told
        assert report.error is None, report.error
        return report

    async def submit(
        self,
        capability: str,
        value: BaseModel | Mapping[str, Any] | bytes | None,
        headers: Mapping[str, str | bytes] | None = None,
        **options: Any,
    ) -> Submitted:
        """Submit a task as any Kafka client does, and ask for a reply."""
        self._asked += 1
        given: dict[str, str | bytes] = {
            "reply-topic": topics.replies(self.mesh, "tests"),
            "correlation-id": f"c{self._asked}",
            **(headers or {}),
        }
        if isinstance(value, BaseModel):
            value = value.model_dump_json().encode()
        elif value is not None and not isinstance(value, bytes):
            value = json.dumps(value).encode()
        topic = topics.tasks(self.mesh, capability)
        report = await self.append(topic, value, headers=given, **options)
        event_id = given.get("ce-id", "")
        workflow = workflow_id(
            TaskPartition(capability, report.partition),
            report.offset,
            event_id if isinstance(event_id, str) else event_id.decode(),
            self.partitions.audit,
        )
        place = Place(topic, report.partition)
        correlation = given["correlation-id"]
        assert isinstance(correlation, str)
        return Submitted(workflow, correlation, place, report.offset)

    async def reply(self, submitted: Submitted, within_s: float = WITHIN_S) -> Answer:
        """Return the first reply to a submission."""
        answers = self.replies.answers
        try:
            return (
                await self.replies.until(lambda: answers.get(submitted.correlation_id), within_s)
            )[0]
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe log:\n{self.story}") from None

    async def ask(
        self,
        capability: str,
        value: BaseModel | Mapping[str, Any] | bytes | None,
        headers: Mapping[str, str | bytes] | None = None,
        *,
        within_s: float = WITHIN_S,
    ) -> Answer:
        """Submit a task, and return its reply when the log that was read has its end, too."""
        answer = await self.reply(await self.submit(capability, value, headers), within_s)
        await self.ended(answer.workflow)
        return answer

    async def ended(self, workflow: str, within_s: float = WITHIN_S) -> None:
        """Return when the log that was read has the root's end."""
        audits = self.story.audits
        await self.story.until(
            lambda: any(workflow in audit.ledger.ended for audit in audits.values()), within_s
        )

    async def send(self, process: Process, content: m.Content, **options: Any) -> None:
        """Put a message into the inbox of a process' first instance; `to`, `sender` may differ."""
        instance = process.instances[0]
        envelope = m.Envelope(
            to=options.get("to", Holder(instance.me.instance, instance.me.incarnation)),
            sender=options.get("sender", Holder("person", 0)),
            sender_inbox=options.get("sender_inbox", instance.inbox),
            content=content,
        )
        await self.put(instance.inbox, encode_envelope(envelope))

    async def put(self, inbox: Inbox, value: bytes | None, key: bytes | None = None) -> None:
        """Put bytes into an inbox."""
        await self.append(inbox.topic, value, key=key, partition=inbox.partition)

    async def cancel(self, to: Process, workflow: str, because: str) -> None:
        """Ask for a workflow's end, as a person does."""
        cancel = m.Cancel(
            workflow=workflow, task=workflow, award=-1, because=because, person="operator"
        )
        await self.send(to, cancel)


def spent(fact: Any) -> Amount:
    """Return what a fact says that a task cost."""
    cost = fact.spent
    assert isinstance(cost, Amount)
    return cost


def _known(process: Process) -> set[str]:
    return {presence.instance for presence, _ in process.directory.present()}
