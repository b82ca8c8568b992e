"""The words of a history: what a client asked, what it was told, and when.

A history is a list of `Operation`. How it ended for the client is its `outcome`:

- OK: there is an answer, and the operation took effect once between invocation and answer.
  A refusal is an answer too: it says something about the state at that moment.
- FAILED: it definitely did not happen, and says nothing about the state.
- UNKNOWN: no answer (a timeout, a killed client). It may have taken effect at any time from its
  invocation on, also long after the client gave up, or never.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

# Anything that compares and hashes; a recorder takes any JSON, and the reader makes text of it.
Value: TypeAlias = Any


class Untold(Enum):
    """Stands for a value that an answer may leave out, where `None` is a value."""

    UNTOLD = "untold"


UNTOLD = Untold.UNTOLD


class HistoryError(ValueError):
    """What was handed in is no history, or none that this model speaks of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Asks for the current value."""

    def __str__(self) -> str:
        return "read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """Sets the value; with an expected version, only if that is the current one."""

    value: Value
    expected_version: int | None = None

    def __str__(self) -> str:
        at = "" if self.expected_version is None else f" over version {self.expected_version}"
        return f"write {self.value}{at}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareAndSet:
    """Sets the value if the current one is the expected one."""

    expected: Value
    value: Value

    def __str__(self) -> str:
        return f"compare-and-set {self.expected} to {self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a read was told."""

    value: Value
    version: int | None = None

    def __str__(self) -> str:
        return f"found {self.value}{_version(self.version)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The change was made; its version, if the writer was told."""

    version: int | None = None

    def __str__(self) -> str:
        return f"accepted{_version(self.version)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Something else was current; version and value of that, if the writer was told."""

    version: int | None = None
    value: Value = UNTOLD

    def __str__(self) -> str:
        told = "" if self.value is UNTOLD else f", current is {self.value}"
        return f"refused{told}{_version(self.version)}"


Call = Read | Write | CompareAndSet
Answer = Found | Accepted | Refused


class Outcome(Enum):
    """How an operation ended for its client."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation of one client on one key; an instant is any integer that grows with time.

    Raises:
        HistoryError: The outcome does not go with the answer or the instants.
    """

    key: str
    client: str
    call: Call
    outcome: Outcome
    invoked: int
    answered: int | None = None
    answer: Answer | None = None

    def __post_init__(self) -> None:
        if self.outcome is Outcome.OK and (self.answer is None or self.answered is None):
            raise HistoryError(f"{self}: ok, but without an answer or its instant")
        if self.outcome is not Outcome.OK and self.answer is not None:
            raise HistoryError(f"{self}: an answer, but not ok")
        if self.answered is not None and self.answered < self.invoked:
            raise HistoryError(f"{self}: answered before it was invoked")

    def __str__(self) -> str:
        told = self.outcome.value if self.answer is None else str(self.answer)
        until = "…" if self.answered is None else str(self.answered)
        return f"client {self.client}, {self.invoked} to {until}: {self.call}: {told}"


def _version(version: int | None) -> str:
    return "" if version is None else f" (version {version})"
