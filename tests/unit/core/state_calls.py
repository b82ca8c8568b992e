"""What a handler calls to read and write shared state."""

from __future__ import annotations

from typing import Any

from mesh.core import calls as c
from mesh.core.values import Amount, Effect, StepKind
from tests.unit.core.fleet import use


def read(step: str = "0", **other: Any) -> c.Use:
    """Read an entry of shared state."""
    return use(step, kind=StepKind.READ, name="a/b", effect=Effect.PURE, reserve=Amount(), **other)


def write(step: str = "0", **other: Any) -> c.Use:
    """Write an entry of shared state."""
    return use(step, kind=StepKind.WRITE, name="a/b", reserve=Amount(), **other)
