"""The processor of a mesh in memory: the same judge as the real one, without Faust."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mesh.core.keys import Resolution, Rule, Rules, check_rules
from mesh.core.merges import MERGES
from mesh.core.shared import Change, Entry, Proposal, RulesAdopted, Write
from mesh.core.values import Holder, Inbox
from mesh.errors import DefinitionError, MeshError, UsageError
from mesh.ports import Place, Reader
from mesh.processor.inputs import check_topics
from mesh.processor.keeper import Keeper
from mesh.runtime.bodies import adapter, encode_value
from mesh.runtime.shared import Shared
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.state import decode_kept, encode_proposal, proposal_key, state_partition

EVERYTHING_REJECTS = {"*": Resolution.REJECT.value}
"""The rules unless a test gives others: whoever comes late is told."""
_NOWHERE = Inbox("", 0)
_TEST = Holder("test", 1)


def rules_of(rules: Mapping[str, str], objectives: Sequence[str]) -> Rules:
    """Return rules as a test writes them: a prefix, and `reject`, `arbitrate` or a merge's name.

    Raises:
        DefinitionError: One of them is none.
    """
    listed = []
    for prefix, name in rules.items():
        if name in MERGES:
            listed.append(Rule(prefix, Resolution.MERGE, name))
        elif name in (Resolution.REJECT, Resolution.ARBITRATE):
            listed.append(Rule(prefix, Resolution(name)))
        else:
            known = ", ".join([Resolution.REJECT, Resolution.ARBITRATE, *MERGES])
            raise DefinitionError(f"rules[{prefix!r}] {name!r}: it is one of {known}")
    return check_rules(Rules(1, tuple(objectives), tuple(listed)))


class Processing:
    """Mutable: judges the changes of one mesh in memory, while it is started."""

    def __init__(self, broker: MemoryBroker, mesh: str, failed: Callable[[MeshError], None]):
        self._broker = broker
        self._mesh = mesh
        self._failed = failed
        self._log = MemoryLog(broker)
        self._settled: dict[int, int] = {}
        self._keeper: Keeper | None = None
        self._reader: Reader | None = None
        self._judging: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Processing({self._keeper or 'stopped'})"

    @property
    def partitions(self) -> int:
        """How many partitions shared state has."""
        return len(self._broker.partitions(topics.changes(self._mesh)))

    async def start(self) -> None:
        """Judge what was proposed and was not judged, and what comes."""
        if self._keeper is not None:
            raise UsageError("the processor is running")
        if self._log.failure() is not None:
            self._log = MemoryLog(self._broker)
        await self._log.open()
        count = await check_topics(self._log, self._mesh)
        me = Holder("processor", 1)
        keeper = self._keeper = Keeper(self._log, self._mesh, me, count, failed=self._failed)
        first = {number: self._settled.get(number, 0) for number in range(count)}
        for number, offset in first.items():
            await keeper.take(number, offset)
        reader = self._reader = await self._log.tail(topics.changes(self._mesh), first)
        self._judging = asyncio.get_running_loop().create_task(self._judge(reader, keeper))

    async def _judge(self, reader: Reader, keeper: Keeper) -> None:
        while True:
            for record in await reader.take():
                await keeper.judge(record)
            await keeper.look()

    async def stop(self) -> None:
        """Judge nothing more: writes wait until it is started again."""
        keeper, self._keeper = self._keeper, None
        if keeper is None or self._reader is None or self._judging is None:
            return
        self._settled = dict(keeper.settled())
        self._judging.cancel()
        for number in range(self.partitions):
            keeper.give_up(number)
        await self._reader.close()
        await asyncio.wait([self._judging])
        if not self._judging.cancelled() and (problem := self._judging.exception()) is not None:
            raise problem

    async def close(self) -> None:
        """Let go of the log."""
        await self.stop()
        await self._log.close()

    # --- what a test does and sees --------------------------------------------------------------

    def adopt(self, rules: Rules) -> None:
        """Put rules before everything that is proposed from now on."""
        adopted = RulesAdopted(rules=rules, person="test", because="the test says so")
        for number in range(self.partitions):
            self._propose(adopted, number)

    def put(self, key: str, value: object, agent: str, objective: str) -> None:
        """Propose an entry that follows the latest one."""
        known = self._latest(key)
        expected = known.version if known is not None else 0
        content = None if value is None else encode_value(value)
        change = Change(
            change=f"{_TEST.instance} {key} {expected}",
            by=_TEST,
            agent=agent,
            scope=("*",),
            workflow="",
            task="",
            step="",
            writes=(Write(key, expected, content),),
            objective=objective,
            because="the test says so",
            inbox=_NOWHERE,
        )
        self._propose(change, state_partition(key, self.partitions))

    def _propose(self, proposal: Proposal, partition: int) -> None:
        place = Place(topics.changes(self._mesh), partition)
        self._log.append(place, proposal_key(proposal), encode_proposal(proposal))

    def entry(self, key: str, kind: Any) -> Shared[Any]:
        """Return the latest entry of a key."""
        entry = self._latest(key)
        if entry is None:
            return Shared(key=key, value=None, version=0, contested=False, agent="", task="")
        value = None if entry.value is None else adapter(kind).validate_json(entry.value)
        return Shared(
            key=key,
            value=value,
            version=entry.version,
            contested=entry.contested,
            agent=entry.agent,
            task=entry.task,
        )

    def entries(self) -> Mapping[str, tuple[int, bytes | None]]:
        """Return version and value of every entry."""
        return {key: (own.version, own.value) for key, own in sorted(self._kept().items())}

    def _latest(self, key: str) -> Entry | None:
        return self._kept().get(key)

    def _kept(self) -> dict[str, Entry]:
        latest: dict[str, Entry] = {}
        for record in self._broker.records(topics.state(self._mesh)):
            kept = decode_kept(record.value)
            if isinstance(kept, Entry):
                latest[kept.key] = max(kept, latest.get(kept.key, kept), key=_version)
        return latest


def _version(entry: Entry) -> int:
    return entry.version
