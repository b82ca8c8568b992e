"""What a shell tells the core.

`Node.receive` takes any of these, at any time, and never raises for what a peer or the world did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mesh.core.calls import (
    Called,
    HandlerFinished,
    HandlerStopped,
    Probed,
    Reviewed,
    StepDone,
    Waiting,
)
from mesh.core.facts import Record
from mesh.core.halts import HaltOrder
from mesh.core.ledger import Ledger
from mesh.core.messages import Envelope
from mesh.core.registry import Card, Presence
from mesh.core.standing import Standing
from mesh.core.tasks import Header
from mesh.core.values import Acceptance, Amount, Body, Charter, Mode, TaskPartition


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A submitted root task, decoded. Zero or None stands for "not given".

    `defect` is "" or why the request cannot be served, with `defect_field` a JSON pointer: the
    task is then opened and rejected, so that the audit stream tells of it.
    """

    capability: str
    input: Body
    charter: Charter
    budget: Amount | None = None
    timeout_ms: int | None = None
    mode: Mode | None = None
    named_agent: str = ""
    acceptance: Acceptance = Acceptance.AUTOMATIC
    event_id: str = ""
    reply_topic: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    defect: str = ""
    defect_field: str = ""


class PartitionAssigned(NamedTuple):
    """Kafka's group gave this instance a task partition.

    `header` is where the log must be read from: the earliest of the committed metadata and of the
    partition's entries in `M.open`; None when nothing was ever committed. `opened` names the
    workflows of those entries.
    """

    source: TaskPartition
    header: Header | None
    opened: frozenset[str]


class PartitionRevoked(NamedTuple):
    """The group takes it back: release the supervision. `lost` True: it is gone already."""

    source: TaskPartition
    lost: bool


class Submitted(NamedTuple):
    """A record of a task topic. `offset` is its own, `append_ms` its time."""

    source: TaskPartition
    offset: int
    append_ms: int
    request: Request


class Skipped(NamedTuple):
    """A record of a task topic that went to the dead letters: only its offset counts."""

    source: TaskPartition
    offset: int


class Appended(NamedTuple):
    """The report of an append, with the record as it stands in the log."""

    token: int
    record: Record


class LogRead(NamedTuple):
    """The answer to `Read`."""

    token: int
    ledger: Ledger


class Received(NamedTuple):
    """A message from the inbox."""

    envelope: Envelope


class CardSeen(NamedTuple):
    """A registry card; None when it was withdrawn."""

    agent: str
    card: Card | None


class PresenceSeen(NamedTuple):
    """An instance's presence, appended at `seen_ms`; None when it said goodbye."""

    instance: str
    presence: Presence | None
    seen_ms: int


class Halted(NamedTuple):
    """An order halts something, or lifts it."""

    order: HaltOrder


class StandingSeen(NamedTuple):
    """An entry of `M.standing`, as it was read."""

    standing: Standing


class Tick(NamedTuple):
    """Time passed. Given when `Node.next_deadline()` is reached, or at any other time."""


class Drain(NamedTuple):
    """Take nothing new; give up what is not running; finish or give up the rest."""


Input = (
    PartitionAssigned
    | PartitionRevoked
    | Submitted
    | Skipped
    | Appended
    | LogRead
    | Received
    | CardSeen
    | PresenceSeen
    | Halted
    | StandingSeen
    | Tick
    | Drain
    | Called
    | StepDone
    | Probed
    | Reviewed
    | Waiting
    | HandlerFinished
    | HandlerStopped
)
