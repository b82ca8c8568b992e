"""Which entry of the journal answers a call.

A handler names a call by its *place*: the path of its asyncio task and its ordinal there. Deaths,
suspensions and declined awards are nothing that it may notice: it must call the same at the same
places, and is answered from the journal. A *verdict* is something else. An attempt that failed or
whose result was refused ends a **revision**, and the next one is told why, so that it can do
better. So a place may have several entries, `3`, `3~1`, `3~2`, and a call is answered by

1. the entry that this revision has made there; it must match in kind, name and input;
2. else the latest one of an earlier revision that matches: nothing is paid or done twice. Only a
   call outside that failed and may be repeated is made again, under the key that it had (a child
   that failed is not: it had its own attempts), and a read of shared state, which is to see what is
   there now.
3. else, if there is none, by doing it, as a new entry.

What an earlier revision did outside under a key, or for good, cannot be left behind or done at
another place: the key would be another. There a person has to look (`JournalMismatch`). Not so a
write to shared state: it names the version that it expects, so a second one finds the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from mesh.core import calls as c
from mesh.core.ids import effect_key
from mesh.core.tasks import StepState, TaskState
from mesh.core.values import Effect, Status, StepKind
from mesh.errors import JournalMismatch

REPEATABLE: Final = frozenset({Effect.PURE, Effect.IDEMPOTENT, Effect.KEYED})
"""May be done again at the same place, under the same key."""
MOVABLE: Final = frozenset({Effect.PURE, Effect.IDEMPOTENT})
"""May be done again at any place, or left behind."""
CALLS_OUT: Final = frozenset({StepKind.TOOL, StepKind.MODEL})
RETRIED: Final = CALLS_OUT | {StepKind.WRITE}

EffectOf = Callable[[str], Effect]
"""Tells a capability's effect class."""
Signature = tuple[StepKind, str, bytes]
"""What must be equal in the journal and in the call: kind, name, hash of the input."""


class Entry(NamedTuple):
    """An entry of the journal; `step` is None while it has to be made."""

    name: str
    step: StepState | None


def find(
    task: TaskState, call: c.StepCall, taken: Collection[str], effect_of: EffectOf
) -> Entry | JournalMismatch:
    """Return the entry that answers a call, or why a person has to look.

    Args:
        task: The task, with its journal.
        call: `step` is its place.
        taken: The entries that answered this start of the handler before.
        effect_of: The effect class of a capability that was or is to be delegated.
    """
    signed = signature(call)
    known = _entries(task.steps, call.step)
    if known and known[-1].step.offset >= task.revised:
        name, step = known[-1]
        return Entry(name, step) if signature_of(step) == signed else _differs(call, step)
    for _, step in known:
        if signature_of(step) != signed and _has_left_a_mark(step, effect_of):
            return _differs(call, step)
    for name, step in reversed(known):
        if signature_of(step) == signed and not _is_made_again(step):
            return Entry(name, step)
    for name, step in task.steps.items() if task.revision else ():
        same = step.offset < task.revised and signature_of(step) == signed
        there = name not in taken and place_of(name) != call.step
        if same and there and _has_left_a_mark(step, effect_of):
            recorded = f"{shown(signed)} at {name}"
            return JournalMismatch(call.step, recorded=recorded, called=shown(signed))
    return Entry(f"{call.step}~{len(known)}" if known else call.step, None)


def place_of(name: str) -> str:
    """Return the place of an entry, as the handler knows it."""
    return name.partition("~")[0]


def key_of(task: TaskState, name: str) -> str:
    """Return the idempotency key of an entry: that of the first one at its place that matches."""
    step = task.steps[name]
    place, signed = place_of(name), signature_of(step)
    same = (one.name for one in _entries(task.steps, place) if signature_of(one.step) == signed)
    return effect_key(task.opened.task, next(same), step.name)


def signature(call: c.StepCall) -> Signature:
    """Return what must be equal in the journal, of a call."""
    match call:
        case c.Delegate():
            return StepKind.DELEGATE, call.capability, call.input.hash
        case c.Spend():
            return StepKind.SPEND, "spend", b""
        case c.Keep():
            return StepKind.ARTIFACT, call.name, call.input_hash
        case c.Decide():
            return StepKind.DECISION, call.choice, b""
        case c.Sleep():
            return StepKind.SLEEP, "sleep", b""
        case _:
            return call.kind, call.name, call.input_hash


def signature_of(step: StepState) -> Signature:
    """Return what must be equal in a call, of an entry."""
    return step.kind, step.name, step.input_hash


def shown(signed: Signature) -> str:
    """Return a signature in words."""
    kind, name, input_hash = signed
    return f"{kind} {name} (input {input_hash.hex()[:8]})" if input_hash else f"{kind} {name}"


class _Known(NamedTuple):
    name: str
    step: StepState


def _entries(steps: Mapping[str, StepState], place: str) -> list[_Known]:
    """Return what the journal has at a place, the oldest first."""
    known: list[_Known] = []
    name = place
    while (step := steps.get(name)) is not None:
        known.append(_Known(name, step))
        name = f"{place}~{len(known)}"
    return known


def _is_made_again(step: StepState) -> bool:
    failed = step.result is not None and step.result.status is Status.FAILED
    retried = failed and step.kind in RETRIED and step.effect in REPEATABLE
    return retried or step.kind is StepKind.READ


def _has_left_a_mark(step: StepState, effect_of: EffectOf) -> bool:
    """Tell whether something outside may know of this step that a second one would double.

    What failed may have happened all the same; only a child that refused its input did nothing.
    """
    if step.kind in CALLS_OUT:
        return step.effect not in MOVABLE
    if step.kind is StepKind.DELEGATE:
        refused = step.result is not None and step.result.status is Status.REJECTED
        return effect_of(step.name) not in MOVABLE and not refused
    return False


def _differs(call: c.StepCall, step: StepState) -> JournalMismatch:
    return JournalMismatch(
        call.step, recorded=shown(signature_of(step)), called=shown(signature(call))
    )
