"""Parley: a governed peer-to-peer mesh of agents on Kafka.

How to read this package, from the outside in: `runtime.agent` and `runtime.context` are what an
author sees; `runtime.handlers` runs a handler and replays it; `runtime.instance` is the loop of a
process. What everything means is decided in `core`, which does no I/O and keeps no time: begin with
`core.facts` (what is ever written), go on with `core.ledger` (what of it counts), then `core.node`,
which composes the rest. `wire` turns facts and messages into bytes and back, `ports` says what a
shell must provide, `transport` provides it. `bootstrap` is the only module that knows every part.
Imports point down only: cli, bootstrap, testing, transport, runtime, config, wire and ports, core,
errors. The words are those of the design: one word for one concept, in code, topics and schemas.

The names below are the whole public API, beside `mesh.testing` and `mesh.errors`. They are loaded
when they are first used, so that `import mesh` costs nothing where only a part is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.errors import (
        BudgetExceeded,
        Conflict,
        Contested,
        DefinitionError,
        InputRejected,
        MeshError,
        OutcomeUnknown,
        ScopeError,
        StateError,
        TaskCancelled,
        TaskError,
        TaskExpired,
        TaskFailed,
        TaskRejected,
        UsageError,
        ValueMismatch,
        WriteRefused,
    )
    from mesh.runtime.agent import Agent
    from mesh.runtime.artifacts import Artifact
    from mesh.runtime.capability import Bid, Capability, Decline
    from mesh.runtime.context import Context
    from mesh.runtime.shared import Shared, Written
    from mesh.runtime.tools import Priced, ToolFailed, tool

__all__ = [
    "Agent",
    "Artifact",
    "Bid",
    "BudgetExceeded",
    "Capability",
    "Conflict",
    "Contested",
    "Context",
    "Decline",
    "DefinitionError",
    "InputRejected",
    "MeshError",
    "OutcomeUnknown",
    "Priced",
    "ScopeError",
    "Shared",
    "StateError",
    "TaskCancelled",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskRejected",
    "ToolFailed",
    "UsageError",
    "ValueMismatch",
    "WriteRefused",
    "Written",
    "tool",
]

_HOMES = {
    "Agent": "mesh.runtime.agent",
    "Artifact": "mesh.runtime.artifacts",
    "Bid": "mesh.runtime.capability",
    "Capability": "mesh.runtime.capability",
    "Context": "mesh.runtime.context",
    "Decline": "mesh.runtime.capability",
    "Priced": "mesh.runtime.tools",
    "Shared": "mesh.runtime.shared",
    "ToolFailed": "mesh.runtime.tools",
    "Written": "mesh.runtime.shared",
    "tool": "mesh.runtime.tools",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name, "mesh.errors")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
