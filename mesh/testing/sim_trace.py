"""Inputs, effects and facts in a few words, for the events that a failure shows."""

from __future__ import annotations

from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.messages import Envelope
from mesh.core.values import Body, Holder, TaskPartition, Terms

SHORT = 8
"""Characters of an id that are shown: enough to tell those of one run apart."""
LEFT_OUT = frozenset({"charter", "input", "traceparent", "workflow", "source", "ledger", "by"})
ABOUT_WORKFLOWS = frozenset({"PutOpen", "DropOpen", "Reply"})


def describe(item: object) -> str:  # noqa: C901, PLR0911  # one case for each type
    """Return an object in a few words."""
    match item:
        case str():
            return item if len(item) < 30 or " " in item else _id(item)
        case Holder():
            return f"{item.instance}/{item.incarnation}"
        case TaskPartition():
            return f"{item.capability}/{item.partition}"
        case Body():
            return (item.content or b"").decode()[:40]
        case Terms():
            worker = describe(item.worker)
            return f"[epoch {item.epoch} to {worker} {item.cause} attempt {item.attempt}]"
        case Envelope():
            return f"{describe(item.sender)}>{describe(item.to)} {describe(item.content)}"
        case Record():
            return f"{item.offset}:{describe(item.fact)}"
        case Ledger():
            return repr(item)
        case e.Send():
            return f"Send {describe(item.envelope)}"
        case i.Received():
            return f"Received {describe(item.envelope)}"
        case _:
            return _fields(item)


def _id(text: str) -> str:
    head, dash, rest = text.partition("-")
    return f"{head}-{rest[:SHORT]}" if dash else text[: SHORT + 2]


def _fields(item: object) -> str:
    names = getattr(type(item), "_fields", None) or getattr(type(item), "__slots__", None)
    if names is None or isinstance(item, Exception):
        return str(item)
    shown = []
    for name in names:
        value = getattr(item, name)
        hidden = name in LEFT_OUT and type(item).__name__ not in ABOUT_WORKFLOWS
        if hidden or value in ("", -1, None, (), 0):
            continue
        shown.append(f"{name}={_value(value)}")
    return f"{type(item).__name__}({' '.join(shown)})"


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:6]
    if isinstance(value, int | bool):
        return str(value)
    if isinstance(value, frozenset):
        return "{" + " ".join(sorted(describe(part) for part in value)) + "}"
    if type(value) is tuple:
        return "(" + " ".join(_value(part) for part in value) + ")"
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return str(tuple(value))
    return describe(value)
