"""What `mesh state` and `mesh policy` write as JSON: the shapes that `docs/cli.md` documents.

`where` is the place of a change in `M.changes`, `PARTITION/OFFSET`. A value that is no JSON is an
object with the one member `base64`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh.telling import shapes
from mesh.telling.shapes import Shape, candidate, entry, time

if TYPE_CHECKING:
    from mesh.cli.checking import Checked, Difference
    from mesh.cli.differing import Changed
    from mesh.cli.histories import Event, History
    from mesh.cli.policies import Plan

__all__ = [
    "candidate", "changed", "difference", "entry", "event", "history", "plan", "value", "verified",
]  # fmt: skip


def value(content: bytes | None) -> Any:  # any JSON
    """Return a value as JSON; None for one that is deleted."""
    return None if content is None else shapes.value(content)


def history(told: History) -> Shape:
    """Return the history of a key."""
    return {
        "key": told.key,
        "partition": told.partition,
        "incomplete": told.cut,
        "low": told.low,
        "version": told.entry.version if told.entry is not None else 0,
        "kept": told.kept.version if told.kept is not None else 0,
        "events": [event(own) for own in told.events],
    }


def event(told: Event) -> Shape:
    """Return one proposal in the history of a key."""
    return {
        "where": told.where,
        "at": time(told.at_ms),
        "kind": told.kind.value,
        "verdict": told.verdict,
        "version": told.version,
        "expected": told.expected,
        "agent": told.agent,
        "instance": told.instance,
        "person": told.person,
        "workflow": told.workflow,
        "task": told.task,
        "step": told.step,
        "change": told.change,
        "value": value(told.value),
        "deleted": told.value is None and told.kind != "rules",
        "objective": told.objective,
        "because": told.because,
        "reason": told.reason,
        "rule": told.rule,
        "again": told.again,
        "beat": list(told.beat),
        "lost_to": list(told.lost_to),
        "met": list(told.met),
        "together": list(told.together),
    }


def changed(told: Changed, partition: int) -> Shape:
    """Return one key that differs."""
    return {
        "key": told.key,
        "known": told.known,
        "versions": told.versions,
        "before": None if told.before is None else entry(told.before, partition),
        "after": entry(told.after, partition),
        "members": [own._asdict() for own in told.members],
    }


def verified(view: str, log: str, checks: list[Checked]) -> Shape:
    """Return what the check of the whole view came to."""
    counts = ("changes", "rows", "entries", "unchecked", "unfinished", "behind")
    found = [own for one in checks for own in one.differences]
    return {
        "view": view,
        "log": log,
        "holds": not found,
        **{name: sum(getattr(own, name) for own in checks) for name in counts},
        "incomplete_partitions": [own.partition for own in checks if own.low > 0],
        "empty_partitions": [own.partition for own in checks if not own.rows + own.changes],
        "partitions": [
            {name: getattr(own, name) for name in ("partition", "low", "high", "through", *counts)}
            for own in checks
        ],
        "differences": [difference(own) for own in found],
    }


def difference(told: Difference) -> Shape:
    """Return one difference between view and log."""
    return told._asdict()


def plan(name: str, made: Plan) -> Shape:
    """Return what a policy would change, or has changed."""
    return {
        "policy": name,
        "version": made.rules.version,
        "held": made.held,
        "pending": made.pending,
        "document": made.document,
        "differences": [own._asdict() for own in made.differences],
        "partitions": [own._asdict() for own in made.steps],
    }
