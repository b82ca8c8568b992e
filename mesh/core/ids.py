"""Names derived from their cause, so that whoever repeats a cause finds the same name.

Every id is SHA-256 over length-prefixed parts, shortened to 128 bits of hexadecimal.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from mesh.core.values import TaskPartition

ID_HEX = 32
"""128 bits: a collision needs some 10^19 tasks, and an id stays short enough to read aloud."""


def derive(*parts: str | bytes | int) -> str:
    """Return the id of `parts`; equal parts give equal ids, and only equal parts do."""
    encoded = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    whole = b"".join([b"%d:%b" % (len(data), data) for data in encoded])
    return sha256(whole).hexdigest()[:ID_HEX]


def audit_partition(source: TaskPartition, count: int) -> int:
    """Return the audit partition, of `count`, in which all workflows of a task partition live.

    Neighbours of one capability never share one before all are in use.
    """
    return (int(derive("audit", source.capability)[:8], 16) + source.partition) % count


def workflow_id(source: TaskPartition, offset: int, event_id: str, count: int) -> str:
    """Name the workflow of a root record; with an `event_id` (`ce-id`) a repeat has the same name.

    The part before the dash is the audit partition, so that a reader knows where to look.
    """
    partition = audit_partition(source, count)
    cause = ("event", event_id) if event_id else ("offset", offset)
    return f"{partition}-{derive('workflow', source.capability, source.partition, *cause)}"


def audit_partition_of(workflow: str) -> int:
    """Return the audit partition that a workflow's or task's id names, -1 if it names none."""
    head, dash, _ = workflow.partition("-")
    return int(head) if dash and head.isascii() and head.isdigit() else -1


@lru_cache(maxsize=1_024)  # whoever opens a child needs it twice: to name it, and to judge its fact
def child_id(parent: str, step: str, input_hash: bytes) -> str:
    """Name the child that `step` of `parent` delegates.

    It holds neither epoch nor emitter: a new worker of the parent finds its children again. A
    restart of the handler is part of the step's id.
    """
    return f"{audit_partition_of(parent)}-{derive('child', parent, step, input_hash)}"


def effect_key(task: str, step: str, name: str) -> str:
    """Return the idempotency key of an effect, the same in every epoch and attempt."""
    return derive("effect", task, step, name)


def step_id(path: str, ordinal: int, restart: int = 0) -> str:
    """Name a step: the path of its asyncio task, its ordinal there, the handler's restart."""
    head = f"r{restart}/" if restart else ""
    return f"{head}{path}{ordinal}"
