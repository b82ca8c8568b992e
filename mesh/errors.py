"""The whole exception tree of the mesh.

Everything the mesh raises on purpose descends from `MeshError`::

    MeshError
    ├── UsageError             a caller's mistake, found before anything was done
    │   ├── DefinitionError    an agent, capability or setting is declared wrongly (at import)
    │   ├── ScopeError         the agent's own card does not allow what its handler asks for
    │   └── IllegalMove        our own code asked the protocol for a move that its state forbids
    ├── InputRejected          an input does not fit the capability's schema or limits
    ├── BudgetExceeded         a reservation or grant is above what is free; nothing was spent
    ├── TaskError              a delegated task ended otherwise than completed
    │   ├── TaskFailed         every attempt failed
    │   ├── TaskRejected       the worker's side refused the input
    │   ├── TaskExpired        the deadline passed first
    │   └── TaskCancelled      somebody cancelled it
    ├── StateError             shared state did not do what was asked
    │   ├── Conflict           somebody else's change came first; this one is not in force
    │   │   └── Contested      both serve the same objective: a person settles it
    │   ├── OutcomeUnknown     whether the write was accepted nobody can tell any more
    │   ├── WriteRefused       no rule allows the change, or its value cannot be merged
    │   └── ValueMismatch      an entry's value is not of the type that it is read as
    ├── JournalMismatch        the handler's code no longer fits the journal of its task
    ├── WireError              bytes that are not a valid record of this protocol
    │   └── NewerSchema        a newer release wrote them; whoever cannot do without them stops
    ├── TransportError         the broker could not be used
    │   ├── Unreachable        no broker answers there, or it timed out
    │   ├── NotPermitted       the broker refused us
    │   └── WrongTopic         a topic is missing or has settings the mesh cannot live with
    └── VerificationFailed     a log breaks an invariant
"""

from __future__ import annotations


class MeshError(Exception):
    """Base of every error that the mesh raises on purpose."""


class UsageError(MeshError):
    """A caller's mistake, found before anything was done."""


class DefinitionError(UsageError):
    """An agent, capability or setting is declared wrongly."""


class ScopeError(UsageError):
    """The agent's own card does not allow what its handler asks for."""


class IllegalMove(UsageError):
    """Our own code asked the protocol for a move that its state forbids."""


class InputRejected(MeshError):
    """An input does not fit the capability's schema or limits.

    `field` is the JSON pointer of the offending member, `""` for the whole input.
    """

    def __init__(self, reason: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


class BudgetExceeded(MeshError):
    """A reservation or grant is above what is free; nothing was spent."""

    def __init__(self, dimension: str, *, asked: int, free: int) -> None:
        super().__init__(f"{dimension}: asked for {asked}, free is {free}")
        self.dimension = dimension
        self.asked = asked
        self.free = free


class TaskError(MeshError):
    """A delegated task ended otherwise than completed; `task` names it."""

    def __init__(self, reason: str, *, task: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.task = task


class TaskFailed(TaskError):
    """Every attempt failed."""


class TaskRejected(TaskError):
    """The worker's side refused the input."""


class TaskExpired(TaskError):
    """The deadline passed first."""


class TaskCancelled(TaskError):
    """Somebody cancelled it."""


class StateError(MeshError):
    """Shared state did not do what was asked; `key` is the entry that stands in the way.

    `version`, `value`, `agent` and `task` are what it is now and who wrote it for what: version 0
    for none. The value is plain JSON, None for a deleted one and where it is too large to be told:
    read it again. `versions` has those of all the keys of the change.
    """

    def __init__(  # noqa: PLR0913  # what is known of an entry, as it is told
        self,
        reason: str,
        *,
        key: str = "",
        version: int = 0,
        value: object = None,
        agent: str = "",
        task: str = "",
        versions: dict[str, int] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key
        self.version = version
        self.value = value
        self.agent = agent
        self.task = task
        self.versions = dict(versions or {})


class Conflict(StateError):
    """Somebody else's change came first, so that this one is not in force."""


class Contested(Conflict):
    """It and another serve the same objective: the other's value stands until a person decides."""


class OutcomeUnknown(StateError):
    """Whether the write was accepted nobody can tell any more: too much came since.

    An earlier copy of it may be in force, or overwritten by now: read, and decide what to do.
    """


class WriteRefused(StateError):
    """No rule allows the change, or its value cannot be merged."""


class ValueMismatch(StateError):
    """An entry's value is not of the type that it is read as."""


class JournalMismatch(MeshError):
    """The handler's code no longer fits the journal of its task."""

    def __init__(self, step: str, *, recorded: str, called: str) -> None:
        super().__init__(f"step {step}: the journal has {recorded}, the handler called {called}")
        self.step = step
        self.recorded = recorded
        self.called = called


class WireError(MeshError):
    """Bytes that are not a valid record of this protocol."""


class NewerSchema(WireError):
    """A newer release wrote them; whoever cannot do without them stops."""


class TransportError(MeshError):
    """The broker could not be used."""


class Unreachable(TransportError):
    """No broker answers there, or it timed out."""


class NotPermitted(TransportError):
    """The broker refused us."""


class WrongTopic(TransportError):
    """A topic is missing or has settings the mesh cannot live with."""


class VerificationFailed(MeshError):
    """A log breaks an invariant."""
