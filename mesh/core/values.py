"""Values that facts, messages and state share: holders, amounts, bodies, terms.

All are immutable. The ones that the hot path makes thousands of a second are named tuples, the
others frozen dataclasses. Money, tokens and time are integers, the unit is in the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Holder(NamedTuple):
    """Who may hold authority: one start (incarnation) of one process (instance)."""

    instance: str
    incarnation: int


class Inbox(NamedTuple):
    """Where an instance reads its messages."""

    topic: str
    partition: int


class TaskPartition(NamedTuple):
    """One partition of one capability's task topic: what supervision of root tasks is taken of."""

    capability: str
    partition: int


class Amount(NamedTuple):
    """A budget, a grant, a reservation or a cost: one integer for each dimension."""

    micro_usd: int = 0
    tokens: int = 0
    tool_calls: int = 0
    hops: int = 0
    attempts: int = 0


class Body(NamedTuple):
    """Contents of an author: chained and derived by `hash` (SHA-256) alone.

    `content` is None where it was left out, sealed or erased; the log still verifies.
    """

    hash: bytes
    media_type: str
    content: bytes | None


NOTHING = Body(b"", "", None)
"""No contents at all."""


class Effect(StrEnum):
    """What doing something twice would mean; decides what a replay does with a begun step."""

    PURE = "pure"
    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    COMPENSABLE = "compensable"
    IRREVERSIBLE = "irreversible"


class Mode(StrEnum):
    """How a worker is found."""

    DIRECT = "direct"
    AUCTION = "auction"
    NAMED = "named"


class Acceptance(StrEnum):
    """Who says that a completed result is the end."""

    AUTOMATIC = "automatic"
    REVIEWED = "reviewed"


class Outcome(StrEnum):
    """How an award's work ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"


class Status(StrEnum):
    """How a task ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class StepKind(StrEnum):
    """What a handler did through its context."""

    DELEGATE = "delegate"
    SPEND = "spend"
    TOOL = "tool"
    MODEL = "model"
    ARTIFACT = "artifact"
    DECISION = "decision"
    SLEEP = "sleep"
    READ = "read"
    WRITE = "write"


class Cause(StrEnum):
    """Why an award was written; only FAILED, REJECTED and DIED are followed by a new attempt."""

    FIRST = "first"
    FAILED = "failed"
    REJECTED = "rejected"
    DIED = "died"
    DECLINED = "declined"
    RESUMED = "resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Charter:
    """What the workflow is for; travels unchanged with every task."""

    goal: str
    constraints: tuple[str, ...]
    root_hash: bytes


class Ancestor(NamedTuple):
    """One task above another, root first."""

    task: str
    capability: str
    agent: str
    input_hash: bytes


class Version(NamedTuple):
    """Which figures of an agent were looked at: an audit partition's, up to this offset."""

    partition: int
    offset: int


class Offer(NamedTuple):
    """What one candidate answered to a call for bids, with its score; `declined` says why not.

    `good` and `bad` are the weights that its standing follows from, `versions` says whence they
    are (see `mesh.core.standing`).
    """

    instance: str
    agent: str
    price_micro_usd: int
    eta_ms: int
    confidence_permille: int
    slot: bool
    standing_permille: int
    score_permille: int
    declined: str
    good: int = 0
    bad: int = 0
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The terms of one award; part of `TaskAwarded`, or of the `TaskOpened` that awards at once.

    `epoch` grows with each award of the task. `free` is what the task may still spend.
    `resume_from` is the audit offset from which the worker reads the task's journal, -1 when
    there is none to read. `call` is the log position of the call for bids, -1 without one.
    `reason` is told to the worker: why the attempt before was refused or failed.
    """

    epoch: int
    worker: Holder
    worker_inbox: Inbox
    agent: str
    digest: str
    lease_ms: int
    free: Amount
    resume_from: int
    cause: Cause
    attempt: int
    reason: str
    mode: Mode
    call: int
    offers: tuple[Offer, ...]
    why: str


class Wait(NamedTuple):
    """One thing that a suspended task waits for.

    `kind` is `sleep` (until `until_ms`), `task` (the end of child `task`), `person` (`note`
    says what a person must look at; only a cancellation ends it) or `halt` (`note` is its target;
    its lifting ends it).
    """

    step: str
    kind: str
    task: str
    until_ms: int
    note: str
