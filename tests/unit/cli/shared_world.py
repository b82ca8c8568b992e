"""Shared state in a memory broker: writers that propose, and a processor small enough to read."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import (
    Change,
    Entry,
    Proposal,
    RulesAdopted,
    RulesEntry,
    Settlement,
    View,
    Write,
)
from mesh.core.values import Holder, Inbox
from mesh.ports import Incoming, Place
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.state import (
    decode_kept,
    decode_proposal,
    encode_kept,
    encode_proposal,
    kept_key,
    proposal_key,
    state_partition,
)
from mesh.wire.topics import Partitions

MESH = "test"
PARTITIONS = 2
CHANGES, STATE = topics.changes(MESH), topics.state(MESH)
BEGAN_MS = 1_763_700_000_000
REJECT = Rules(1, (), (Rule("suppliers/", Resolution.REJECT),))
ARBITRATE = Rules(1, ("risk", "cost"), (Rule("suppliers/", Resolution.ARBITRATE),))
ACME = "suppliers/acme"


class SharedWorld:
    """Mutable: a broker whose clock moves by a second with each proposal."""

    def __init__(self) -> None:
        self.now_ms = BEGAN_MS
        self.broker = MemoryBroker(lambda: self.now_ms)
        for plan in topics.plans(MESH, partitions=Partitions(state=PARTITIONS)):
            self.broker.create_topic(plan)
        self.views = [View() for _ in range(PARTITIONS)]
        self._judged = [0] * PARTITIONS

    def propose(self, proposal: Proposal, partition: int) -> str:
        """Append a proposal and return its place."""
        self.now_ms += 1_000
        record = self._append(
            Place(CHANGES, partition), proposal_key(proposal), encode_proposal(proposal)
        )
        return f"{partition}/{record.offset}"

    def adopt(self, rules: Rules) -> None:
        """Tell every partition the rules."""
        for partition in range(PARTITIONS):
            self.propose(RulesAdopted(rules=rules, person="eve", because="it must be"), partition)

    def write(
        self,
        agent: str,
        expected: int,
        value: bytes | None,
        *,
        key: str = ACME,
        objective: str = "",
        also: Sequence[Write] = (),
        change: str = "",
    ) -> str:
        """Propose a change and return its place."""
        partition = state_partition(key, PARTITIONS)
        number = self.broker.partition(Place(CHANGES, partition)).high
        return self.propose(
            Change(
                change=change or f"c{number}",
                by=Holder(f"{agent}.1", 1),
                agent=agent,
                scope=("*",),
                workflow="3-0a",
                task=f"3-{agent}",
                step="0.1",
                writes=(Write(key, expected, value), *also),
                objective=objective,
                because=f"{agent} says so",
                inbox=Inbox("test.inbox.desk", 0),
            ),
            partition,
        )

    def settle(self, expected: int, value: bytes | None, *, key: str = ACME) -> str:
        """Propose a settlement and return its place."""
        word = Settlement(
            change=f"s{expected}",
            key=key,
            expected=expected,
            value=value,
            person="eve",
            because="I asked",
        )
        return self.propose(word, state_partition(key, PARTITIONS))

    def process(self) -> None:
        """Judge what is new, and write what it makes."""
        for partition, view in enumerate(self.views):
            own = self.broker.partition(Place(CHANGES, partition))
            records, _ = own.read(self._judged[partition], 10_000)
            self._judged[partition] = own.high
            for record in records:
                judged = view.judge(decode_proposal(record.value), record.offset, record.append_ms)
                for kept in judged.written if judged is not None else ():
                    self.put(kept, partition)

    def attend(self) -> None:
        """Process whatever comes from now on at once."""
        for partition in range(PARTITIONS):
            self.broker.partition(Place(CHANGES, partition)).watch(self.process)

    def put(self, kept: Entry | RulesEntry, partition: int) -> None:
        """Append a row to the view."""
        self._append(Place(STATE, partition), kept_key(kept), encode_kept(kept))

    def entry(self, key: str = ACME) -> Entry:
        """Return the last row of a key."""
        rows = [own for own in self.broker.records(STATE) if own.key == key.encode()]
        kept = decode_kept(rows[-1].value)
        assert isinstance(kept, Entry)
        return kept

    def home(self, key: str = ACME) -> int:
        """Return the partition of a key."""
        return state_partition(key, PARTITIONS)

    def trim(self, before: int, key: str = ACME) -> None:
        """Forget the beginning of the log in the partition of a key."""
        self.broker.trim(Place(CHANGES, self.home(key)), before)

    def _append(self, place: Place, key: bytes, value: bytes) -> Incoming:
        return self.broker.partition(place).append(self.now_ms, key, value, ())


def contested() -> SharedWorld:
    """Return a world in which two that serve the same contest one key at version 2."""
    world = SharedWorld()
    world.adopt(ARBITRATE)
    world.write("ann", 0, b'{"risk":"low"}', objective="risk")
    world.write("bob", 0, b'{"risk":"high"}', objective="risk")
    world.process()
    return world
