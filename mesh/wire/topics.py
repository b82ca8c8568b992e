"""The topics of a mesh: their names, keys and settings, as a table.

Every segment of a name ends with a dot or the end, and what follows `M.inbox.`, `M.replies.` is
one segment: so with a dot behind it no name is the beginning of another, and a broker's prefixed
permissions cannot reach too far. Partition counts are settings; keys decide order, so they are
fixed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mesh.core.settings import MAX_NAME, Settings
from mesh.errors import DefinitionError
from mesh.ports import TopicPlan

_SEGMENT = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_MESH = re.compile(_SEGMENT)
_NAME = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_CAPABILITY = re.compile(rf"{_SEGMENT}\.{_SEGMENT}")
MAX_TOPIC = 249
"""Kafka's own limit: a topic's name is a folder's on the broker."""

SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
BATCH_BYTES = 1_048_588
"""Kafka's own default for `max.message.bytes`, which limits a batch, not a record.

librdkafka, ours and that of others, sends up to a million bytes at once. That a record is too large
is found when it is decoded, and is a dead letter."""


class Kind(StrEnum):
    """What a topic is for: the second segment of its name."""

    REGISTRY = "registry"
    POLICY = "policy"
    PRESENCE = "presence"
    TASKS = "tasks"
    INBOX = "inbox"
    AUDIT = "audit"
    OPEN = "open"
    STANDING = "standing"
    CHANGES = "changes"
    STATE = "state"
    CONTROL = "control"
    INCIDENTS = "incidents"
    REPLIES = "replies"
    DEAD_LETTERS = "dead-letters"


class Topic(NamedTuple):
    """A topic's name, taken apart. `name` is "" where there is one topic of the kind."""

    mesh: str
    kind: Kind
    name: str


class Setting(NamedTuple):
    """A topic's setting with the reason for it."""

    name: str
    value: str
    reason: str


class Row(NamedTuple):
    """One row of the table. `fixed` says that the number of partitions may never change."""

    kind: Kind
    key: str
    partitions: int
    fixed: bool
    settings: tuple[Setting, ...]


@dataclass(frozen=True, kw_only=True)
class Partitions:
    """How many partitions the topics have."""

    tasks: int = 8
    """Of each capability: as many instances may supervise its root tasks."""
    inbox: int = 16
    """Of each pool: instances that share one read each other's messages in vain."""
    audit: int = 8
    """Never changes: a workflow's id says where it is. `M.open` and `M.standing` have as many."""
    replies: int = 4
    """Of each submitter's topic."""
    state: int = 4
    """Of shared state, where it decides how many processors share the work, so it never changes."""


def registry(mesh: str) -> str:
    """Name the topic of the agents' cards."""
    return _name(mesh, Kind.REGISTRY)


def policy(mesh: str) -> str:
    """Name the topic of the policy documents."""
    return _name(mesh, Kind.POLICY)


def presence(mesh: str) -> str:
    """Name the topic of the living instances."""
    return _name(mesh, Kind.PRESENCE)


def tasks(mesh: str, capability: str) -> str:
    """Name the topic to which tasks for a capability are submitted."""
    _check(_CAPABILITY, "capability", capability, "domain.verb in lower case")
    return _name(mesh, Kind.TASKS, capability)


def tasks_of(mesh: str) -> str:
    """Return how the names of all topics begin to which tasks are submitted."""
    return f"{_name(mesh, Kind.TASKS)}."


def inbox(mesh: str, pool: str) -> str:
    """Name the topic of a pool's inboxes. The pool is an agent's name, or a shared one.

    Dots in it become underscores, which names do not have, so that it stays one segment.
    """
    _check(_NAME, "pool", pool, "lower case, digits, hyphens and dots")
    return _name(mesh, Kind.INBOX, pool.replace(".", "_"))


def audit(mesh: str) -> str:
    """Name the audit stream."""
    return _name(mesh, Kind.AUDIT)


def open_workflows(mesh: str) -> str:
    """Name the topic of the workflows that go on."""
    return _name(mesh, Kind.OPEN)


def standing(mesh: str) -> str:
    """Name the topic of what agents have done."""
    return _name(mesh, Kind.STANDING)


def changes(mesh: str) -> str:
    """Name the topic of the proposed changes to shared state."""
    return _name(mesh, Kind.CHANGES)


def state(mesh: str) -> str:
    """Name the topic of the entries of shared state."""
    return _name(mesh, Kind.STATE)


def control(mesh: str) -> str:
    """Name the topic of the halts."""
    return _name(mesh, Kind.CONTROL)


def incidents(mesh: str) -> str:
    """Name the topic of the findings."""
    return _name(mesh, Kind.INCIDENTS)


def replies(mesh: str, name: str) -> str:
    """Name a submitter's topic for results."""
    _check(_MESH, "reply topic", name, "one segment of lower case, digits and hyphens")
    return _name(mesh, Kind.REPLIES, name)


def dead_letters(mesh: str) -> str:
    """Name the topic of what could not be used."""
    return _name(mesh, Kind.DEAD_LETTERS)


def supervisors(mesh: str) -> str:
    """Name the consumer group that owns the task partitions."""
    return f"{check_mesh(mesh)}.supervisors"


def check_mesh(mesh: str) -> str:
    """Return a mesh's name.

    Raises:
        DefinitionError: It is not one segment: another mesh's topics could begin with it.
    """
    return _check(_MESH, "mesh", mesh, "one segment of lower case, digits and hyphens")


def parse(topic: str) -> Topic | None:
    """Take a topic's name apart; None if it is not the name of a mesh's topic."""
    mesh, _, rest = topic.partition(".")
    kind, dot, name = rest.partition(".")
    shape = _SHAPES.get(kind)
    if shape is None or not _MESH.fullmatch(mesh) or not shape.fullmatch(dot + name):
        return None
    return Topic(mesh, Kind(kind), name) if len(topic) <= MAX_TOPIC else None


def _name(mesh: str, kind: Kind, name: str = "") -> str:
    topic = f"{check_mesh(mesh)}.{kind}{'.' if name else ''}{name}"
    if len(topic) > MAX_TOPIC:
        raise DefinitionError(f"topic {topic[:40]}… is longer than {MAX_TOPIC} characters")
    return topic


def _check(pattern: re.Pattern[str], what: str, name: str, shape: str) -> str:
    if len(name) > MAX_NAME or not pattern.fullmatch(name):
        raise DefinitionError(f"{what} must be {shape}, at most {MAX_NAME} characters: {name!r}")
    return name


_SHAPES = {kind.value: re.compile("") for kind in Kind} | {
    Kind.TASKS.value: re.compile(rf"\.{_CAPABILITY.pattern}"),
    Kind.INBOX.value: re.compile(rf"\.{_SEGMENT}(?:_{_SEGMENT})*"),
    Kind.REPLIES.value: re.compile(rf"\.{_SEGMENT}"),
}
"""What stands behind the kind."""

# --- settings -----------------------------------------------------------------------------------

_COMMON = (
    Setting(
        "message.timestamp.type",
        "LogAppendTime",
        "time in a decision is the broker's append time, not a producer's clock",
    ),
    Setting(
        "max.message.bytes",
        str(BATCH_BYTES),
        "it limits a batch, and clients send up to a million bytes at once; events are smaller",
    ),
)


_HEALED = Setting(
    "min.compaction.lag.ms",
    str(HOUR_MS),
    "a replaced processor may write an older entry last; its successor writes the later one again",
)


_HEALED_ORDER = Setting(
    "min.compaction.lag.ms",
    str(HOUR_MS),
    "an order that comes too late may stand last; whoever sees it writes the one in force again",
)


def _deleted(after_ms: int, reason: str) -> tuple[Setting, ...]:
    roll_ms = max(after_ms // 8, 10 * SECOND_MS)
    return (
        *_COMMON,
        Setting("cleanup.policy", "delete", "a log of events: old ones go, none is replaced"),
        Setting("retention.ms", str(after_ms), reason),
        Setting("segment.ms", str(roll_ms), "only a closed segment is deleted"),
    )


def _compacted(reason: str) -> tuple[Setting, ...]:
    return (
        *_COMMON,
        Setting("cleanup.policy", "compact", reason),
        Setting("min.cleanable.dirty.ratio", "0.1", "a reader at start reads little that is stale"),
        Setting("segment.ms", str(HOUR_MS), "only a closed segment is compacted"),
        Setting("delete.retention.ms", str(DAY_MS), "a reader a day behind still sees tombstones"),
    )


def _presence() -> tuple[Setting, ...]:
    """Return the settings of a topic that keeps what is new and recent."""
    own = (
        Setting("cleanup.policy", "compact,delete", "the latest of each instance, if recent"),
        Setting("retention.ms", str(HOUR_MS), "an instance silent for an hour is gone"),
        Setting("segment.ms", str(HOUR_MS // 6), "heartbeats pile up fast"),
    )
    names = {setting.name for setting in own}
    return (*(setting for setting in _compacted("") if setting.name not in names), *own)


def _of_audit(partitions: Partitions) -> tuple[Row, ...]:
    """Return the rows of what is partitioned like the audit stream."""
    return (
        Row(
            Kind.OPEN,
            "capability/partition/workflow; partitioned like the audit stream",
            partitions.audit,
            True,
            _compacted("a workflow has one entry, until its tombstone"),
        ),
        Row(
            Kind.STANDING,
            "agent; the partition is that of the audit stream which it tells of",
            partitions.audit,
            True,
            (*_compacted("an agent has one entry in each, its latest"), _HEALED),
        ),
    )


def _shared(partitions: Partitions, kept: int) -> tuple[Row, ...]:
    """Return the rows of shared state."""
    return (
        Row(
            Kind.CHANGES,
            "state key; the partition is that of the part before the last `/`",
            partitions.state,
            True,
            _deleted(kept, "what was proposed, and so the history of every key"),
        ),
        Row(
            Kind.STATE,
            "state key; partitioned like the changes",
            partitions.state,
            True,
            (*_compacted("a key has one entry, its latest"), _HEALED),
        ),
    )


def _orders() -> Row:
    """Return the row of the halts; their order is that of one partition."""
    settings = (*_compacted("a target has one order, its latest"), _HEALED_ORDER)
    return Row(Kind.CONTROL, "target of the halt", 1, True, settings)


def table(partitions: Partitions, settings: Settings) -> tuple[Row, ...]:
    """Return the table of all kinds of topics."""
    kept = settings.retention_ms
    return (
        Row(Kind.REGISTRY, "agent", 1, False, _compacted("an agent has one card, its latest")),
        Row(
            Kind.POLICY,
            "name",
            1,
            False,
            _compacted("a document has one entry, as it was applied last"),
        ),
        Row(Kind.PRESENCE, "instance", 1, False, _presence()),
        Row(
            Kind.TASKS,
            "any",
            partitions.tasks,
            False,
            _deleted(kept, "a task waits for somebody who serves it, as long as its audit is kept"),
        ),
        Row(
            Kind.INBOX,
            "instance",
            partitions.inbox,
            False,
            _deleted(HOUR_MS, "a message is a hint to a living process, useless minutes later"),
        ),
        Row(
            Kind.AUDIT,
            "workflow, or capability/partition for supervision; the partition is explicit",
            partitions.audit,
            True,
            _deleted(kept, "the record of everything; no deadline is accepted beyond it"),
        ),
        *_of_audit(partitions),
        *_shared(partitions, kept),
        _orders(),
        Row(
            Kind.INCIDENTS,
            "workflow or agent",
            1,
            False,
            _deleted(kept, "a finding is of use as long as what it points at is kept"),
        ),
        Row(
            Kind.REPLIES,
            "correlation id",
            partitions.replies,
            False,
            _deleted(DAY_MS, "a submitter that was away for a day can still read its results"),
        ),
        Row(
            Kind.DEAD_LETTERS,
            "the original's",
            1,
            False,
            _deleted(kept, "a person needs time to look"),
        ),
    )


def plans(
    mesh: str,
    *,
    capabilities: Iterable[str] = (),
    pools: Iterable[str] = (),
    reply_names: Iterable[str] = (),
    partitions: Partitions | None = None,
    settings: Settings | None = None,
) -> tuple[TopicPlan, ...]:
    """Return the plans of a mesh's topics: one for each capability, pool and reply name.

    Raises:
        DefinitionError: A name has the wrong shape.
    """
    named = {
        Kind.TASKS: [tasks(mesh, name) for name in capabilities],
        Kind.INBOX: [inbox(mesh, name) for name in pools],
        Kind.REPLIES: [replies(mesh, name) for name in reply_names],
    }
    return tuple(
        TopicPlan(
            name=topic,
            partitions=row.partitions,
            config={setting.name: setting.value for setting in row.settings},
        )
        for row in table(partitions or Partitions(), settings or Settings())
        for topic in named.get(row.kind, [_name(mesh, row.kind)])
    )
