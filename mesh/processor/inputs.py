"""What the processor reads: its topics, looked at before it starts, and the records on them.

Whoever folds `M.changes` reads it by `read_proposal` into views of `view_of`, so that all leave the
same records out.
"""

from __future__ import annotations

import asyncio
from functools import cache, lru_cache

from mesh.core.facts import Record
from mesh.core.ids import audit_partition_of
from mesh.core.keys import group_of, is_key
from mesh.core.shared import Entry, Proposal, RulesEntry, View
from mesh.core.standing import Standing
from mesh.errors import NewerSchema, WireError, WrongTopic
from mesh.ports import Incoming, Log
from mesh.wire import entries, messages, topics
from mesh.wire import state as states
from mesh.wire.entries import decode_standing
from mesh.wire.facts import decode_fact
from mesh.wire.partitioner import partition_of
from mesh.wire.schemas import MARKER, PREFIX, current, released
from mesh.wire.state import RULES_KEY, decode_kept, decode_proposal

GROUPS_KNOWN = 65_536
"""Groups of which the partition is remembered: their hash is dearer than the rest of the check."""


async def check_topics(log: Log, mesh: str) -> int:
    """Return how many partitions shared state has; reads the schemas, too, which are files.

    Raises:
        WrongTopic: A topic that is read or written is missing, or the two do not fit together; the
            message names each.
    """
    await asyncio.to_thread(load_schemas)
    alike = (topics.changes(mesh), topics.state(mesh))
    return await check_alike(log, alike, topics.dead_letters(mesh))


async def check_alike(log: Log, alike: tuple[str, ...], *others: str) -> int:
    """Return how many partitions the topics have that must have as many as each other.

    Raises:
        WrongTopic: One of them or of the others is missing, or the two do not fit together; the
            message names each.
    """
    counts = {name: len(await log.ends(name)) for name in (*alike, *others)}
    wrong = [f"{name} is missing" for name, count in counts.items() if not count]
    one = alike[0]
    for other in () if wrong else alike[1:]:
        if counts[one] != counts[other]:
            unlike = f"{one} has {counts[one]} partitions, {other} has {counts[other]}"
            wrong.append(f"{unlike}, and both must have as many: they are partitioned alike")
    if wrong:
        raise WrongTopic(f"{'; '.join(wrong)}: see `mesh topics plan`, then `mesh topics apply`")
    return counts[one]


def load_schemas() -> None:
    """Read and compile the schemas, so not at their first use on the loop."""
    for part in (entries, messages, states):
        part.codecs()
    _known()


def read_proposal(record: Incoming, partitions: int) -> Proposal:
    """Return what a record of `M.changes` proposes.

    Raises:
        NewerSchema: It seems to be a proposal that a newer release wrote: whoever goes on without
            it has another state than those who can read it.
        WireError: It is none.
    """
    if _is_unknown(record) and _is_placed(record, partitions):
        raise _newer(record)
    return decode_proposal(record.value)


def read_kept(record: Incoming) -> Entry | RulesEntry:
    """Return what a record of `M.state` keeps.

    Raises:
        NewerSchema: A newer release wrote it.
        WireError: It keeps nothing: none but the processor should write there.
    """
    if _is_unknown(record):
        raise _newer(record)
    return decode_kept(record.value)


def read_standing(record: Incoming) -> Standing:
    """Return what a record of `M.standing` tells.

    Raises:
        NewerSchema: A newer release wrote it.
        WireError: It tells nothing: none but the processor should write there.
    """
    if _is_unknown(record):
        raise _newer(record)
    standing = decode_standing(record.value)
    if (standing.agent.encode(), standing.partition) != (record.key, record.partition):
        raise WireError("it is that of another agent or partition than it stands under")
    return standing


def read_fact(record: Incoming) -> Record:
    """Return the fact that a record of `M.audit` holds.

    Raises:
        NewerSchema: It seems to be a fact that a newer release wrote: whoever goes on without it
            judges what follows otherwise than those who can read it.
        WireError: It is none.
    """
    try:
        decoded = decode_fact(record.value)
    except WireError as error:
        if _is_unknown(record) and _is_of_audit(record):
            raise _newer(record) from error
        raise
    return Record(record.offset, record.append_ms, decoded.sequence, decoded.fact)


def view_of(partition: int, partitions: int) -> View:
    """Return the view of one partition; it knows which keys live there."""
    return View(lambda key: _partition_of(group_of(key), partitions) == partition)


def _is_unknown(record: Incoming) -> bool:
    """Tell whether a value names its schema, and none that this release knows."""
    value = record.value or b""
    prefix = value[:PREFIX]
    return prefix not in _known() and len(prefix) == PREFIX and prefix.startswith(MARKER)


def _is_placed(record: Incoming, partitions: int) -> bool:
    """Tell a newer release's proposal from garbage: it stands under a key where that key lives."""
    if record.key == RULES_KEY:
        return True
    key = (record.key or b"").decode(errors="replace")
    return is_key(key) and _partition_of(group_of(key), partitions) == record.partition


def _is_of_audit(record: Incoming) -> bool:
    """Tell a newer release's fact from garbage: it stands under a key that a fact could have."""
    key = record.key
    if key is None or b"/" in key:
        return True
    return audit_partition_of(key.decode(errors="replace")) == record.partition


def _newer(record: Incoming) -> NewerSchema:
    schema = (record.value or b"")[len(MARKER) : PREFIX].hex()
    return NewerSchema(
        f"{record.topic}[{record.partition}]@{record.offset} has a schema that this release does "
        f"not know ({schema}): run the processor of the release that wrote it"
    )


@lru_cache(GROUPS_KNOWN)
def _partition_of(group: str, partitions: int) -> int:
    return partition_of(group.encode(), partitions)


@cache
def _known() -> frozenset[bytes]:
    return frozenset(schema.prefix for schema in (*current().values(), *released()))
