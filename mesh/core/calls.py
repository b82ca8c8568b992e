"""What a handler asks of the core, and what it is told: the seam below `Context`.

A call names its step (`ids.step_id`). The core answers each exactly once for every start of the
handler: `Resolve` with the recorded result, `Perform` (do it now, then say `StepDone`), `Probe`,
or `Refuse`. After `Stop` nothing more is said to that start of the handler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mesh.core.facts import TaskOpened
from mesh.core.values import Acceptance, Amount, Body, Effect, Mode, Outcome, Status, StepKind

# --- from the handler ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Delegate:
    """Have another task done.

    `grant` None, or -1 in a dimension: the capability's default, at most half of what is free.
    `mode` None: what the card asks for.

    With acceptance `reviewed` the core asks for each completed result by `Review`.
    """

    step: str
    capability: str
    input: Body
    mode: Mode | None = None
    named_agent: str = ""
    after: tuple[str, ...] = ()
    grant: Amount | None = None
    timeout_ms: int | None = None
    acceptance: Acceptance = Acceptance.AUTOMATIC


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend:
    """Reserve and charge at once; nothing outside is called."""

    step: str
    amount: Amount
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """Something that is done outside the core, once: what it came to is recorded.

    A tool's or a model's call, or a write to shared state; `probe` says that its outcome can be
    asked for afterwards. A read of shared state changes nothing, so it has no beginning in the log.
    """

    step: str
    kind: StepKind
    name: str
    input_hash: bytes
    effect: Effect
    reserve: Amount
    probe: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """An artifact that was stored under its hash; `result` describes it and is handed back."""

    step: str
    name: str
    input_hash: bytes
    result: Body


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """A line of the decision chain."""

    step: str
    choice: str
    because: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sleep:
    """Go on after `ms` of log time."""

    step: str
    ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdraw:
    """The handler no longer awaits this delegation: cancel the child."""

    step: str


StepCall = Delegate | Spend | Use | Keep | Decide | Sleep
"""What makes an entry of the journal."""
Call = StepCall | Withdraw


class Work(NamedTuple):
    """One start of a handler. `award` is the award's log position, the start's name with `task`."""

    workflow: str
    task: str
    award: int
    epoch: int
    attempt: int
    reason: str
    opened: TaskOpened
    opened_ms: int
    restart: int


# --- to the handler -----------------------------------------------------------------------------


class Result(NamedTuple):
    """A step's recorded result.

    `offset` orders results, `append_ms` is the time that `ctx.now()` shows after it. `status` and
    `reason` say how a delegated task ended, or (`status` failed) what a tool raised.
    """

    offset: int
    append_ms: int
    status: Status
    reason: str
    body: Body


class Start(NamedTuple):
    """Run the handler of this work from its beginning; recorded steps are resolved at once."""

    work: Work


class Resolve(NamedTuple):
    """Hand this result to the step."""

    task: str
    award: int
    step: str
    result: Result


class Perform(NamedTuple):
    """Do the step's effect now, under this idempotency key; then give `StepDone`."""

    task: str
    award: int
    step: str
    key: str


class Probe(NamedTuple):
    """The effect was begun by a worker that died: find out whether it happened; give `Probed`."""

    task: str
    award: int
    step: str
    key: str


class Review(NamedTuple):
    """Check a child's completed result; give `Reviewed`."""

    task: str
    award: int
    step: str
    child: str
    child_award: int
    body: Body


class Refuse(NamedTuple):
    """Raise this in the step: nothing was done."""

    task: str
    award: int
    step: str
    error: Exception


class Stop(NamedTuple):
    """Unwind the handler: its calls journal nothing any more. Answered by `HandlerStopped`.

    `why` is `suspended`, `cancelled` or `lost` (the authority is gone).
    """

    task: str
    award: int
    why: str


# --- what the runner says back ------------------------------------------------------------------


class Called(NamedTuple):
    """The handler made a call."""

    task: str
    award: int
    call: Call


class StepDone(NamedTuple):
    """What a performed effect came to. `error` is "" for success."""

    task: str
    award: int
    step: str
    error: str
    spent: Amount
    body: Body


class Probed(NamedTuple):
    """What the probe found: the effect's result, or None when it never happened."""

    task: str
    award: int
    step: str
    body: Body | None


class Reviewed(NamedTuple):
    """What the check said: `refusal` is "" for accepted."""

    task: str
    award: int
    child: str
    child_award: int
    refusal: str


class Waiting(NamedTuple):
    """Every path of the handler waits on one of these steps, since `since_ms`."""

    task: str
    award: int
    steps: tuple[str, ...]
    since_ms: int


class HandlerFinished(NamedTuple):
    """The handler returned or raised; `body` is the result, empty unless completed."""

    task: str
    award: int
    outcome: Outcome
    body: Body
    error: str
    field: str
    confidence_permille: int
    sources: tuple[str, ...]


class HandlerStopped(NamedTuple):
    """The handler was unwound after `Stop`."""

    task: str
    award: int
