"""Reads a mesh for the command line: the audit stream, the registry, who is there.

A workflow is judged from before the taking of supervision that its root task names: from there on
the fold knows every lease that matters to it. Records that are no facts are told, never fatal.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from mesh.cli.failures import not_found
from mesh.cli.output import Out
from mesh.core.facts import Record, SupervisionTaken, SupervisorFact, TaskOpened, WorkerFact
from mesh.core.ids import audit_partition_of
from mesh.core.ledger import OF_NO_TASK, Ledger
from mesh.core.registry import Directory
from mesh.errors import WireError, WrongTopic
from mesh.ports import Incoming, Log, Place
from mesh.telling import words
from mesh.telling.story import Chronicle, Entry
from mesh.wire import topics
from mesh.wire.entries import decode_card, decode_presence
from mesh.wire.facts import Decoded, decode_fact

if TYPE_CHECKING:
    from mesh.config import Config

MANY = 5
"""Names that an error lists: more is a wall of text."""
BACK = 20_000
"""Records read before the taking that a workflow names: half a second of reading, and more than a
lease's worth of log, so that it is known whether that taking itself counted."""


@asynccontextmanager
async def connected(config: Config, out: Out, *, writes: bool = False) -> AsyncIterator[Log]:
    """Connect for the time of a command; `writes` False asks for no right to write."""
    from mesh.bootstrap import connect

    log = connect(config, client_id="mesh-command", writes=writes)
    async with out.waiting(f"connecting to {config.bootstrap}"):
        await log.open()
    try:
        yield log
    finally:
        await log.close()


class Audited(NamedTuple):
    """One record of the audit stream with its fact."""

    record: Record
    decoded: Decoded


class AuditReader:
    """Mutable: reads the audit stream of one mesh; `unreadable` counts what is no fact."""

    def __init__(self, log: Log, config: Config, out: Out) -> None:
        self.log = log
        self.topic = topics.audit(config.mesh)
        self.unreadable = 0
        self.position: dict[int, int] = {}
        self._where = config.bootstrap
        self._out = out
        self._ends: dict[int, tuple[int, int]] = {}

    async def ends(self) -> dict[int, tuple[int, int]]:
        """Return low and high watermark by partition, as they were when first asked.

        Raises:
            WrongTopic: There is no such mesh.
        """
        if not self._ends:
            self._ends = dict(await self.log.ends(self.topic))
        if not self._ends:
            raise WrongTopic(
                f"there is no mesh of that name at {self._where}: no topic {self.topic}; "
                "choose one with --mesh, or create its topics with `mesh topics apply`"
            )
        return self._ends

    def decode(self, incoming: Incoming) -> Audited | None:
        """Return a record's fact, None if it is none."""
        try:
            decoded = decode_fact(incoming.value)
        except WireError as error:
            self.unreadable += 1
            where = f"{incoming.partition}/{incoming.offset}"
            self._out.complain(f"the record at {where} is no fact: {error}")
            return None
        record = Record(incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact)
        return Audited(record, decoded)

    async def scan(
        self,
        partition: int,
        first: int = 0,
        end: int | None = None,
        *,
        keep: Callable[[bytes | None], bool] | None = None,
    ) -> AsyncIterator[Incoming]:
        """Yield a partition's records from `first` on, to its end as it was."""
        if end is None:
            end = (await self.ends())[partition][1]
        place = Place(self.topic, partition)
        async with aclosing(self.log.scan(place, first, end, keep=keep)) as batches:
            async for batch in batches:
                for incoming in batch:
                    self.position[partition] = incoming.offset + 1
                    yield incoming

    async def follow(
        self, start: Mapping[int, int | None]
    ) -> AsyncGenerator[tuple[int, Audited], None]:
        """Yield every fact from `start` on (partition -> first offset), as it comes, for ever."""
        reader = await self.log.tail(self.topic, start)
        try:
            while True:
                for incoming in await reader.take():
                    audited = self.decode(incoming)
                    if audited is not None:
                        yield incoming.partition, audited
        finally:
            await reader.close()

    def progress(self) -> str:
        """Return how far the reading is."""
        read = sum(self.position.values())
        every = sum(high for _, high in self._ends.values())
        return f"reading {self.topic}, {read:,} of {every:,} records"

    # --- one workflow ---------------------------------------------------------------------------

    async def find(self, name: str) -> str:
        """Return the workflow of a workflow's or task's id, or of the beginning of one.

        Coordinates, `PARTITION/OFFSET` of one of its facts, name it, too.

        Raises:
            CommandError: There is none, or several begin so.
        """
        if "/" in name:
            return (await self._fact_at(name)).workflow
        partition = audit_partition_of(name)
        ends = await self.ends()
        if partition not in ends:
            raise not_found(
                f"{name!r} names no workflow of {self.topic}: an id begins with the number of its "
                f"audit partition, 0 to {len(ends) - 1}, and a dash"
            )
        found = await self._keys(partition, name)
        if not found:
            found = await self._tasks(partition, name)
        if not found:
            where = self._low(partition)
            raise not_found(f"no workflow or task {name} is in {self.topic}; {where}")
        if len(set(found.values())) > 1:
            some = ", ".join(sorted(found)[:MANY])
            raise not_found(f"{name} is the beginning of several: {some}; give more of it")
        return next(iter(found.values()))

    def task_of(self, name: str, chronicle: Chronicle) -> str:
        """Return the full id of a task of a workflow that was read.

        Raises:
            CommandError: Several begin so.
        """
        if "/" in name:
            offset = int(name.partition("/")[2])
            facts = (own.record.fact for own in chronicle.entries if own.record.offset == offset)
            name = next((getattr(fact, "task", "") for fact in facts), name)
        found = [task for task in chronicle.states if task.startswith(name)]
        if len(found) == 1 or name in found:
            return name if name in found else found[0]
        raise not_found(f"{name} is the beginning of several: {', '.join(found[:MANY])}")

    async def _fact_at(self, name: str) -> SupervisorFact | WorkerFact:
        """Return the fact of a workflow that stands at these coordinates."""
        before, _, after = name.partition("/")
        ends = await self.ends()
        if before.isdecimal() and after.isdecimal() and int(before) in ends:
            partition, offset = int(before), int(after)
            low, high = ends[partition]
            async for incoming in self.scan(partition, max(low, offset), min(offset + 1, high)):
                audited = self.decode(incoming)
                if audited is not None and not isinstance(audited.record.fact, OF_NO_TASK):
                    return audited.record.fact
        raise not_found(
            f"no fact of a workflow stands at {name} of {self.topic}; coordinates are "
            "PARTITION/OFFSET, as every command writes them"
        )

    async def latest(self) -> str:
        """Return the workflow that was opened last.

        Raises:
            CommandError: There is none.
        """
        latest, opened_ms = "", -1
        for partition in await self.ends():
            async for incoming in self.scan(partition, keep=_is_workflow):
                if incoming.append_ms >= opened_ms and incoming.key is not None:
                    latest, opened_ms = incoming.key.decode(), incoming.append_ms
        if not latest:
            raise not_found(f"there is no workflow in {self.topic} yet; `mesh submit` makes one")
        return latest

    async def chronicle(self, workflow: str) -> Chronicle:
        """Read everything of one workflow, judged from the supervision that it names on."""
        partition = audit_partition_of(workflow)
        key = workflow.encode()
        first, last = await self._span(partition, key)
        low = (await self.ends())[partition][0]
        if first < low:
            self._out.complain(f"the story may be incomplete: {self._low(partition)}")
        chronicle = Chronicle(workflow, Ledger())
        async for incoming in self.scan(partition, max(low, first - BACK), last + 1):
            audited = self.decode(incoming)
            if audited is None:
                chronicle.ledger.observe(incoming.append_ms)
            else:
                chronicle.add(audited.record)
        return chronicle

    async def every_chronicle(self) -> list[Chronicle]:
        """Read every workflow of the mesh, in one pass over each partition."""
        found = []
        for partition in sorted(await self.ends()):
            ledger = Ledger()
            known: dict[str, Chronicle] = {}
            async for incoming in self.scan(partition):
                audited = self.decode(incoming)
                if audited is None:
                    ledger.observe(incoming.append_ms)
                    continue
                name = getattr(audited.record.fact, "workflow", "")
                chronicle = known.setdefault(name, Chronicle(name, ledger))
                chronicle.add(audited.record)
            found += [own for name, own in known.items() if name]
        return found

    async def live(
        self, workflow: str, start: int
    ) -> AsyncGenerator[tuple[Chronicle, Entry], None]:
        """Yield the records of a workflow as they come, judged; `start` lies before its first."""
        partition = audit_partition_of(workflow)
        chronicle: Chronicle | None = None
        async with aclosing(self.follow({partition: start})) as records:
            async for _, (record, _) in records:
                fact = record.fact
                if chronicle is None:
                    if not isinstance(fact, TaskOpened) or fact.workflow != workflow:
                        continue
                    chronicle = await self._prepared(workflow, partition, fact, record.offset)
                entry = chronicle.add(record)
                if entry is not None:
                    yield chronicle, entry

    async def _prepared(
        self, workflow: str, partition: int, opened: TaskOpened, offset: int
    ) -> Chronicle:
        """Return the chronicle of a workflow that begins at `offset`, with the leases known."""
        chronicle = Chronicle(workflow, Ledger())
        low = (await self.ends())[partition][0]
        async for incoming in self.scan(partition, max(low, opened.authority - BACK), offset):
            audited = self.decode(incoming)
            if audited is not None:
                chronicle.add(audited.record)
        return chronicle

    async def supervisor(self, chronicle: Chronicle) -> SupervisionTaken | None:
        """Return the taking under which a workflow is supervised now, None without one."""
        state = chronicle.states.get(chronicle.workflow)
        lease = state and chronicle.ledger.supervisions.get(state.opened.source)
        if not lease:
            return None
        partition = audit_partition_of(chronicle.workflow)
        async for incoming in self.scan(partition, lease.position, lease.position + 1):
            audited = self.decode(incoming)
            if audited is not None and isinstance(audited.record.fact, SupervisionTaken):
                return audited.record.fact
        return None

    def forget_ends(self) -> None:
        """Let the next reading go to the end as it is then."""
        self._ends = {}

    async def _span(self, partition: int, key: bytes) -> tuple[int, int]:
        """Return the offsets from which and to which a workflow must be read."""
        first, last = -1, -1
        async for incoming in self.scan(partition, keep=lambda own: own == key):
            audited = self.decode(incoming) if first < 0 else None
            if audited is not None and isinstance(audited.record.fact, TaskOpened):
                first = audited.record.fact.authority
            last = incoming.offset
        return first, last

    async def _keys(self, partition: int, prefix: str) -> dict[str, str]:
        """Return the workflows whose ids begin with `prefix`."""
        start = prefix.encode()
        found = {}

        def keep(key: bytes | None) -> bool:
            return key is not None and key.startswith(start) and b"/" not in key

        async for incoming in self.scan(partition, keep=keep):
            if incoming.key is not None:
                found[incoming.key.decode()] = incoming.key.decode()
        return found

    async def _tasks(self, partition: int, prefix: str) -> dict[str, str]:
        """Return the tasks whose ids begin with `prefix`, with their workflows."""
        found = {}
        async for incoming in self.scan(partition, keep=_is_workflow):
            audited = self.decode(incoming)
            fact = audited.record.fact if audited is not None else None
            if isinstance(fact, TaskOpened) and fact.task.startswith(prefix):
                found[fact.task] = fact.workflow
        return found

    def _low(self, partition: int) -> str:
        low, high = self._ends[partition]
        if low > 0:
            return f"the log's records below {partition}/{low} are gone (retention)"
        return f"{words.plural(high, 'record')} of partition {partition} were looked through"


def _is_workflow(key: bytes | None) -> bool:
    return key is not None and b"/" not in key


# --- who is there -------------------------------------------------------------------------------


async def read_directory(log: Log, config: Config, out: Out) -> Directory:
    """Read the registry and presence to their ends.

    Raises:
        WrongTopic: There is no such mesh.
    """
    directory = Directory()
    async for incoming in compacted(log, topics.registry(config.mesh), config):
        agent = (incoming.key or b"").decode(errors="replace")
        try:
            card = decode_card(incoming.value) if incoming.value is not None else None
        except WireError as error:
            out.complain(f"the card of {agent} cannot be read: {error}")
            continue
        reason = directory.see_card(agent, card)
        if reason:
            out.complain(f"registry: {reason}")
    async for incoming in compacted(log, topics.presence(config.mesh), config):
        name = (incoming.key or b"").decode(errors="replace")
        try:
            presence = decode_presence(incoming.value) if incoming.value is not None else None
        except WireError as error:
            out.complain(f"the presence of {name} cannot be read: {error}")
            continue
        directory.see_presence(name, presence, incoming.append_ms)
    return directory


async def compacted(log: Log, topic: str, config: Config) -> AsyncIterator[Incoming]:
    """Yield all that a topic keeps.

    Raises:
        WrongTopic: There is no such topic.
    """
    ends = await log.ends(topic)
    if not ends:
        raise WrongTopic(
            f"there is no mesh {config.mesh} at {config.bootstrap}: no topic {topic}; choose one "
            "with --mesh, or create its topics with `mesh topics apply`"
        )
    for partition in sorted(ends):
        async with aclosing(log.scan(Place(topic, partition), 0)) as batches:
            async for batch in batches:
                for incoming in batch:
                    yield incoming
