"""What a history is checked against: one object, used by one client after the other."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tests.histories.operations import (
    UNTOLD,
    Accepted,
    CompareAndSet,
    Found,
    HistoryError,
    Operation,
    Outcome,
    Read,
    Refused,
    Write,
)

State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    """A sequential specification. All methods are pure; states are hashable values."""

    def initial(self) -> State:
        """The state before the first operation."""
        ...

    def step(self, state: State, operation: Operation) -> tuple[State, ...]:
        """The states that the operation may lead to, with the answer that its client was told.

        None: that answer is impossible in this state. An UNKNOWN operation may have any answer.
        """
        ...

    def changes(self, operation: Operation) -> bool:
        """Whether there is any state that the operation leads out of.

        If not, its step gives the state itself or nothing. To say True is always right, but slow.
        """
        ...

    def spent(self, state: State, operation: Operation) -> bool:
        """Whether an UNKNOWN operation changes nothing, in this state and in all that follow.

        To say False is always right, but slow.
        """
        ...


class Register:
    """The register that the etcd histories speak of: read, write, compare-and-set by value."""

    def initial(self) -> Hashable:
        """Nothing was written."""
        return None

    def step(self, state: Hashable, operation: Operation) -> tuple[Hashable, ...]:
        """See `Model`."""
        match operation.call, operation.answer:
            case Read(), Found(value=value):
                return (state,) if value == state else ()
            case Write(value=value, expected_version=None), Accepted() | None:
                return (value,)
            case CompareAndSet(expected=expected, value=value), Accepted():
                return (value,) if expected == state else ()
            case CompareAndSet(expected=expected), Refused():
                return (state,) if expected != state else ()
            case CompareAndSet(expected=expected, value=value), None:
                return (value,) if expected == state else (state,)
            case Read(), None:
                return (state,)
            case _:
                raise HistoryError(f"a register knows nothing of this: {operation}")

    def changes(self, operation: Operation) -> bool:
        """See `Model`."""
        match operation.call:
            case Write():
                return True
            case CompareAndSet(expected=expected, value=value):
                return expected != value and not isinstance(operation.answer, Refused)
            case Read():
                return False

    def spent(self, state: Hashable, operation: Operation) -> bool:
        """Every value may come back, so no operation is ever spent."""
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A value and how many writes made it; version 0 is the entry that nobody wrote."""

    version: int = 0
    value: Hashable = None

    def __str__(self) -> str:
        return f"{self.value} (version {self.version})"


EMPTY = Entry()


class VersionedEntry:
    """An entry of the shared state: a write names the version that it expects.

    Accepted, it makes the next version; refused, it changes nothing and is told what is current.
    A write that expects no version is always accepted. A version or value that the client was not
    told is not judged.
    """

    def __init__(self, start: Entry = EMPTY) -> None:
        self._start = start

    def initial(self) -> Entry:
        """The entry that the history starts from."""
        return self._start

    def step(self, state: Entry, operation: Operation) -> tuple[Entry, ...]:
        """See `Model`."""
        match operation.call, operation.answer:
            case Read(), Found(value=value, version=version):
                return (state,) if value == state.value and told(version, state.version) else ()
            case Write() as write, Accepted(version=version):
                made = Entry(version=state.version + 1, value=write.value)
                return (made,) if expects(write, state) and told(version, made.version) else ()
            case Write() as write, Refused(version=version, value=value):
                right = told(version, state.version) and (value is UNTOLD or value == state.value)
                return (state,) if right and not expects(write, state) else ()
            case Write() as write, None:
                made = Entry(version=state.version + 1, value=write.value)
                return (made,) if expects(write, state) else (state,)
            case Read(), None:
                return (state,)
            case _:
                raise HistoryError(f"a versioned entry knows nothing of this: {operation}")

    def changes(self, operation: Operation) -> bool:
        """See `Model`."""
        return isinstance(operation.call, Write) and not isinstance(operation.answer, Refused)

    def spent(self, state: Entry, operation: Operation) -> bool:
        """Versions only grow: what expects an older one is refused for ever."""
        expected = operation.call.expected_version if isinstance(operation.call, Write) else None
        return (
            operation.outcome is Outcome.UNKNOWN
            and expected is not None
            and expected < state.version
        )


def told(version: int | None, true: int) -> bool:
    """Whether a version in an answer is the true one, or was left out."""
    return version is None or version == true


def expects(write: Write, state: Entry) -> bool:
    """Whether the write is to be accepted in this state."""
    return write.expected_version is None or write.expected_version == state.version
