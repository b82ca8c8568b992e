"""The independent count of a shared-state run: reads the log anew, with no code of the fold's.

Compare-and-set is told again here from its definition: in the order of the log, a change is
accepted if it has not been before and every key has the version that it expected. Then it is plain
comparing: with every record of `M.state`, with what each client was told, with what pairs and
merges must come to.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.chaos_state_faults import Told
from bench.chaos_state_keys import kind_of
from bench.ground import Ground
from mesh.core.messages import Judged
from mesh.core.shared import Change, Entry, RulesAdopted
from mesh.ports import Incoming, Place
from mesh.wire import topics
from mesh.wire.messages import decode_envelope
from mesh.wire.partitioner import partition_of
from mesh.wire.state import decode_kept, decode_proposal
from tests.histories.operations import Accepted, Operation, Outcome, Refused
from tests.histories.operations import Write as Asked

COUNTED = frozenset({"accepted", "merged", "preferred", "contested"})
REJECTING = frozenset({"plain", "together", "wide"})


class Made(NamedTuple):
    """One version of a key: which change made it, where that stands, and the value."""

    change: str
    source: int
    value: bytes | None


@dataclass
class State:
    """Mutable: what `M.state` holds, every record of it."""

    made: dict[str, dict[int, Made]] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    hashes: dict[tuple[str, int], int] = field(default_factory=dict)
    records: int = 0
    repeats: int = 0
    stale: int = 0
    problems: list[str] = field(default_factory=list)

    def see(self, record: Incoming) -> None:
        """Take one record, in the order of its partition."""
        self.records += 1
        kept = decode_kept(record.value)
        if not isinstance(kept, Entry):
            return
        key, version = kept.key, kept.version
        known = self.made.setdefault(key, {})
        if version in known:
            self.repeats += 1
            if self.hashes[key, version] != hash(record.value):
                self.problems.append(f"{key} has two entries of version {version}")
        known.setdefault(version, Made(kept.change, kept.source, kept.value))
        self.hashes[key, version] = hash(record.value)
        self.stale += version < max(known)
        self.last[key] = version

    def judge(self) -> Iterator[str]:
        """Yield what is wrong with it, looked at alone."""
        yield from self.problems
        for key, known in self.made.items():
            if sorted(known) != list(range(1, len(known) + 1)):
                lacking = sorted(set(range(1, max(known) + 1)) - set(known))
                yield f"{key} has versions up to {max(known)}, without {lacking[:5]}"
            if self.last[key] != max(known):
                yield f"{key} ends with version {self.last[key]}, its highest is {max(known)}"
            sources = [known[version].source for version in sorted(known)]
            if sources != sorted(set(sources)):
                yield f"the sources of {key} do not grow with its versions"
            changes = Counter(one.change for one in known.values())
            for change, count in changes.items():
                if count > 1:
                    yield f"{change} made {count} versions of {key}"


@dataclass
class Changes:
    """Mutable: what `M.changes` makes of the keys that reject conflicts, by compare-and-set."""

    made: dict[str, dict[int, Made]] = field(default_factory=dict)
    proposed: dict[str, Change] = field(default_factory=dict)
    at: dict[tuple[int, int], str] = field(default_factory=dict)
    records: int = 0
    copies: int = 0
    problems: list[str] = field(default_factory=list)
    _accepted: set[str] = field(default_factory=set)
    _ruled: set[int] = field(default_factory=set)

    def see(self, record: Incoming) -> None:
        """Take one record, in the order of its partition."""
        self.records += 1
        proposal = decode_proposal(record.value)
        if isinstance(proposal, RulesAdopted):
            self._ruled.add(record.partition)
            return
        self.at[record.partition, record.offset] = proposal.change
        if not isinstance(proposal, Change):
            return
        if record.partition not in self._ruled:
            self.problems.append(f"{proposal.change} stands before the rules")
        before = self.proposed.setdefault(proposal.change, proposal)
        self.copies += before is not proposal
        if before.writes != proposal.writes:
            self.problems.append(f"two copies of {proposal.change} differ")
        if kind_of(proposal.writes[0].key) in REJECTING:
            self._compare_and_set(proposal, record.offset)

    def _compare_and_set(self, change: Change, offset: int) -> None:
        known = [self.made.setdefault(write.key, {}) for write in change.writes]
        fits = all(
            write.expected == len(versions)
            for write, versions in zip(change.writes, known, strict=True)
        )
        if not fits or change.change in self._accepted:
            return
        self._accepted.add(change.change)
        for write, versions in zip(change.writes, known, strict=True):
            versions[len(versions) + 1] = Made(change.change, offset, write.value)

    def judge(self, state: State, partitions: int) -> Iterator[str]:
        """Yield where the two differ."""
        yield from self.problems
        for key in sorted({*self.made, *state.made}):
            kept = state.made.get(key, {})
            if kind_of(key) in REJECTING:
                yield from _differences(key, self.made.get(key, {}), kept)
            home = partition_of(key.rpartition("/")[0].encode(), partitions)
            for version, one in kept.items():
                if self.at.get((home, one.source)) != one.change:
                    yield f"version {version} of {key} is not of the change at its source"


def _differences(key: str, due: Mapping[int, Made], kept: Mapping[int, Made]) -> Iterator[str]:
    for version in sorted({*due, *kept}):
        if due.get(version) != kept.get(version):
            yield (
                f"version {version} of {key}: the log makes {due.get(version)}, "
                f"the view has {kept.get(version)}"
            )
            return  # what follows differs with it


@dataclass(frozen=True, kw_only=True)
class Log:
    """Everything that a run left on the broker."""

    state: State
    changes: Changes
    told: Sequence[Told]
    dead_letters: int
    partitions: int


async def read_log(where: Ground, mesh: str, pool: str) -> Log:
    """Read all of it."""
    log = where.log("chaos-state-reader", writes=False)
    await log.open()
    state, changes, told = State(), Changes(), list[Told]()
    try:
        partitions = len(await log.ends(topics.changes(mesh)))
        await _each(log, topics.changes(mesh), changes.see)
        await _each(log, topics.state(mesh), state.see)

        def hear(record: Incoming) -> None:
            envelope = decode_envelope(record.value)
            if isinstance(envelope.content, Judged) and envelope.content.entries:
                group = envelope.content.entries[0].key.rpartition("/")[0]
                home = partition_of(group.encode(), partitions)
                told.append(Told(record.append_ms, home, envelope.sender.incarnation))

        await _each(log, topics.inbox(mesh, pool), hear)
        letters = await log.ends(topics.dead_letters(mesh))
    finally:
        await log.close()
    told.sort()
    return Log(
        state=state,
        changes=changes,
        told=told,
        dead_letters=sum(high - low for low, high in letters.values()),
        partitions=partitions,
    )


async def _each(log: Any, topic: str, see: Any) -> None:  # a Log; what takes a record
    for partition in sorted(await log.ends(topic)):
        async for batch in log.scan(Place(topic, partition), 0):
            for record in batch:
                see(record)


# --- what clients were told -----------------------------------------------------------------------


def read_told(directory: Path) -> list[dict[str, Any]]:
    """Return the verdicts that writers noted; what a kill tore is left out."""
    found = []
    for path in sorted(directory.iterdir()):
        *lines, _ = path.read_bytes().split(b"\n")
        found += [json.loads(line) for line in lines]
    return found


def histories(operations: Iterable[Operation], state: State) -> Iterator[str]:
    """Yield which answers on registers the view does not bear out."""
    for one in operations:
        assert isinstance(one.call, Asked)
        known = state.made.get(one.key, {})
        value = one.call.value.encode()
        match one.answer:
            case Accepted(version=None):
                if all(made.value != value for made in known.values()):
                    yield f"lost: {one.key} has no {one.call.value}, which was acknowledged"
            case Accepted(version=version):
                made = known.get(version or 0)
                if made is None or made.value != value:
                    yield f"lost: version {version} of {one.key} is not the one acknowledged"
            case Refused():
                if any(made.value == value for made in known.values()):
                    yield f"{one.key} has {one.call.value}, which was refused"
            case _:
                if one.outcome is Outcome.FAILED:
                    yield f"{one.key}: {one.call.value} was refused otherwise than by a conflict"


def verdicts(lines: Iterable[Mapping[str, Any]], state: State) -> Iterator[str]:
    """Yield which verdicts the view does not bear out."""
    for line in lines:
        change, verdict = line["change"], line["verdict"]
        if verdict in COUNTED:
            for key, version in zip(line["keys"], line["versions"], strict=True):
                made = state.made.get(key, {}).get(version)
                if version and (made is None or made.change != change):
                    yield f"lost: version {version} of {key} is not of {change}, as was told"
        elif verdict == "conflict":
            made_it = (one.change == change for one in state.made.get(line["keys"][0], {}).values())
            if not line["forgotten"] and any(made_it):
                yield f"{change} was told to conflict, and made a version of {line['keys'][0]}"
        else:
            yield f"{change} was told to be {verdict}: {line['reason']}"


def pairs(state: State) -> Iterator[str]:
    """Yield which pairs are not in step: they are only written together."""
    for key, known in state.made.items():
        if kind_of(key) != "together":
            continue
        other = state.made.get(f"{key[:-1]}{'b' if key.endswith('a') else 'a'}", {})
        mine = {version: (one.change, one.source) for version, one in known.items()}
        if mine != {version: (one.change, one.source) for version, one in other.items()}:
            yield f"{key} is not in step with the key that is written with it"


def merges(lines: Iterable[Mapping[str, Any]], log: Log) -> Iterator[str]:
    """Yield which merged keys lack what somebody was told they hold."""
    due: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        if line["verdict"] in COUNTED and kind_of(line["keys"][0]) == "merged":
            change = log.changes.proposed[line["change"]]
            own = json.loads(change.writes[0].value or b"{}")
            due[line["keys"][0]] |= Counter(own)
    for key, fields in due.items():
        known = log.state.made.get(key, {})
        has = json.loads(known[max(known)].value or b"{}") if known else {}
        short = [name for name, least in fields.items() if has.get(name, 0) < least]
        if short:
            yield f"lost: {key} lacks what {', '.join(short)} added"
