"""What the core asks its shell to do.

The order is part of the type: within one `Step` facts are appended first, then messages go out,
then handlers are told, then offsets are committed. A message or a handler that depends on a fact
is in a later step, the one that answers the fact's `Appended`: so nothing leaves before what
permits it is acknowledged, and looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.core.calls import Perform, Probe, Refuse, Resolve, Review, Start, Stop
from mesh.core.facts import Fact
from mesh.core.messages import Envelope
from mesh.core.tasks import Header
from mesh.core.values import Amount, Ancestor, Inbox, TaskPartition

HandlerEffect = Start | Resolve | Perform | Probe | Review | Refuse | Stop


class Append(NamedTuple):
    """Append a fact to an audit partition; answer with `Appended(token, record)`, however late."""

    token: int
    partition: int
    fact: Fact


class Send(NamedTuple):
    """Send a message; no answer."""

    inbox: Inbox
    envelope: Envelope


class Read(NamedTuple):
    """Fold an audit partition; answer with `LogRead(token, ledger)`.

    Begin at `header` (its offset, its supervision), read through offset `through` (inclusive), or
    to the end as it is when the reading begins if that is -1. Keep the facts of `workflows` and
    of `source` with all its workflows; of the others only the time counts.
    """

    token: int
    partition: int
    header: Header
    through: int
    workflows: frozenset[str]
    source: TaskPartition | None


class CommitOffset(NamedTuple):
    """Commit that `source` is done below `offset`; `header` is where a successor begins to read."""

    source: TaskPartition
    offset: int
    header: Header


class PutOpen(NamedTuple):
    """Note an open workflow in `M.open`, with where to begin to read."""

    source: TaskPartition
    workflow: str
    header: Header


class DropOpen(NamedTuple):
    """Write the tombstone of an ended workflow to `M.open`."""

    source: TaskPartition
    workflow: str


class Reply(NamedTuple):
    """Answer a submitter who asked for it.

    A result too large for a fact is None, and `result_hash` says what it is called in the store.
    """

    topic: str
    correlation_id: str
    workflow: str
    status: str
    result: bytes | None
    error: str
    result_hash: bytes = b""


class Position(NamedTuple):
    """Where an event stands: in `audit`, `changes`, `state` or another stream of the mesh."""

    stream: str
    partition: int
    offset: int


class Incident(NamedTuple):
    """Put a finding on `M.incidents`.

    What a detector found is stored whole: `measure` says what was counted, `seen` how much of it,
    `limit` how much is allowed; `chain` is what led to `task`, root first and the task itself last;
    `evidence` are the events that prove it. `id` is derived from what it is about, so that it is
    the same in every replay; "" for a finding that is told each time.

    `response` is what answers it (`mesh.core.responses`), `policy` the version of the policy that
    said so, 0 for none, and `spent` what the workflow had cost by then, None where that is not
    known. What a person writes has the `person`; an answer names the incident that it `answers`.
    """

    kind: str
    workflow: str
    task: str
    text: str
    id: str = ""
    detector: str = ""
    measure: str = ""
    seen: int = 0
    limit: int = 0
    chain: tuple[Ancestor, ...] = ()
    evidence: tuple[Position, ...] = ()
    response: str = ""
    policy: int = 0
    spent: Amount | None = None
    person: str = ""
    answers: str = ""


class Refusal(NamedTuple):
    """A peer's illegal move changed nothing: count it and record why."""

    sender: str
    message: str
    reason: str


class Intake(NamedTuple):
    """Pause or resume the fetching of these task partitions."""

    sources: tuple[TaskPartition, ...]
    open: bool


MessageEffect = Send | Reply | Incident | Refusal | PutOpen | DropOpen
CommitEffect = CommitOffset | Intake


@dataclass(kw_only=True, slots=True)
class Step:
    """Mutable only while the core fills it: the effects of one input, in the order to do them."""

    appends: list[Append] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    messages: list[MessageEffect] = field(default_factory=list)
    handlers: list[HandlerEffect] = field(default_factory=list)
    commits: list[CommitEffect] = field(default_factory=list)
