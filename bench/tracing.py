"""Every input of a node and what it answered, one line each: for a run that nobody understands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core.node import Node

SHORT = 12


def trace(path: Path) -> None:
    """Write a line for each input of this process's nodes from now on."""
    receive = Node.receive
    lines = path.open("a", buffering=1, encoding="utf-8")

    def traced(node: Node, given: i.Input, now_ms: int) -> e.Step:
        step = receive(node, given, now_ms)
        done = [
            *(f"+{a.token} {_name(a.fact)}" for a in step.appends),
            *(f"?{r.token} {r.partition} {sorted(map(_short, r.workflows))}" for r in step.reads),
            *(f">{_message(m)}" for m in step.messages),
            *(f"!{_name(h)}" for h in step.handlers),
        ]
        if done or not isinstance(given, i.Tick | i.PresenceSeen):
            lines.write(f"{now_ms} {_given(given)}: {', '.join(done)}\n")
        return step

    Node.receive = traced  # type: ignore[assignment,method-assign] # that is the point


def _given(given: i.Input) -> str:
    match given:
        case i.Appended():
            return f"report {given.token}@{given.record.offset} {_name(given.record.fact)}"
        case i.LogRead():
            return f"read {given.token} {given.ledger!r}"
        case i.Received():
            return f"<{_name(given.envelope.content)} of {given.envelope.sender.instance}"
        case _:
            return _name(given)


def _message(effect: e.MessageEffect) -> str:
    if isinstance(effect, e.Send):
        return f"{effect.envelope.to.instance} {_name(effect.envelope.content)}"
    return _name(effect)


def _name(one: Any) -> str:
    task = getattr(one, "task", "") or getattr(getattr(one, "work", None), "task", "")
    more = [
        f"{name}={getattr(one, name)}"
        for name in ("award", "step", "authority", "reason", "status")
        if isinstance(getattr(one, name, None), str | int)
    ]
    return " ".join([type(one).__name__, _short(task), *more])


def _short(name: str) -> str:
    return name[:SHORT]
