"""Spend velocity: a budget that goes much faster than the workflow's own plan.

The plan is the root task's: so much of each dimension, until its deadline. It is a generous one in
most workflows, so "faster than planned" is normal and found only far above it, over a window, with
a floor of payments (the burn rate of reliability engineering, with the fast window alone). What is
counted is what was paid; a reservation that was never settled is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.budget import HOP, ZERO
from mesh.core.detectors.fan_out import listed_by
from mesh.core.detectors.frame import MAX_EVIDENCE, Finding, Seen, Sight
from mesh.core.values import Amount

SLICES = 16
"""Parts of the window: it moves by one of them, and memory does not grow with the payments."""
DIMENSIONS = ("micro_usd", "tokens", "tool_calls", "hops")
"""Attempts are few, and the retry storm's."""
WORDS = {
    "micro_usd": "money",
    "tokens": "tokens",
    "tool_calls": "tool calls",
    "hops": "delegations",
}


class _Slice(NamedTuple):
    """What was paid in one part of the window, by dimension: how much, and how often."""

    number: int
    amounts: list[int]
    payments: list[int]


class _Window:
    """Mutable: what one workflow paid lately; `whole` is the sum of the slices."""

    def __init__(self) -> None:
        self.slices: deque[_Slice] = deque()
        self.whole = _slice(0)
        self.offsets: deque[int] = deque(maxlen=MAX_EVIDENCE)

    def pay(self, amount: Amount, number: int, offset: int) -> None:
        """Add a payment to its slice, and drop the slices that left the window."""
        while self.slices and self.slices[0].number <= number - SLICES:
            gone = self.slices.popleft()
            for at in range(len(DIMENSIONS)):
                self.whole.amounts[at] -= gone.amounts[at]
                self.whole.payments[at] -= gone.payments[at]
        if not self.slices or self.slices[-1].number != number:
            self.slices.append(_slice(number))
        for own in (self.slices[-1], self.whole):
            for at in range(len(DIMENSIONS)):
                own.amounts[at] += amount[at]
                own.payments[at] += amount[at] > 0
        self.offsets.append(offset)

    def often(self, most: int) -> Iterator[tuple[str, int]]:
        """Yield each dimension that was paid more often than `most`, with how much it was."""
        for at, name in enumerate(DIMENSIONS):
            if self.whole.payments[at] > most:
                yield name, self.whole.amounts[at]


def _slice(number: int) -> _Slice:
    return _Slice(number, [0] * len(DIMENSIONS), [0] * len(DIMENSIONS))


class Velocity:
    """Mutable: what each workflow paid within its window."""

    name = "velocity"
    kinds: frozenset[type] = frozenset({f.StepFinished, f.SpendSettled, f.TaskOpened})

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        amount = _paid(sight.fact)
        if amount == ZERO or sight.root.opened.parent:
            return ()  # nothing was paid, or the root's plan is not known
        window = self._windows.get(sight.opened.workflow)
        if window is None:
            window = self._windows[sight.opened.workflow] = _Window()
        plan_ms, window_ms = _times(sight)
        window.pay(amount, sight.now_ms * SLICES // window_ms, sight.record.offset)
        found = []
        for name, paid in window.often(sight.limits.velocity_payments):
            planned: int = getattr(sight.root.opened.grant, name)
            times = paid * plan_ms // (planned * window_ms)
            if times <= sight.limits.velocity_times or (name == "hops" and _is_listed(sight)):
                continue
            found.append(_seen(sight, window, name, times, paid).of(self.name, sight.task))
        return found

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._windows.pop(workflow, None)


def _paid(fact: f.SupervisorFact | f.WorkerFact) -> Amount:
    match fact:
        case f.StepFinished(spent=spent):
            return spent
        case f.SpendSettled(amount=amount):
            return amount
        case f.TaskOpened(parent=parent) if parent:
            return HOP
    return ZERO


def _times(sight: Sight) -> tuple[int, int]:
    """Return how long the plan is, and the window within it."""
    plan_ms = max(1, sight.root.opened.deadline_ms - sight.root.opened_ms)
    return plan_ms, max(SLICES, plan_ms * sight.limits.velocity_window_permille // 1000)


def _is_listed(sight: Sight) -> bool:
    """Tell whether a list foresaw as many children as the parent of this one has now."""
    parent = sight.ledger.tasks.get(sight.opened.parent)
    return parent is not None and len(parent.children) <= listed_by(parent)


def _seen(sight: Sight, window: _Window, name: str, times: int, paid: int) -> Seen:
    plan_ms, window_ms = _times(sight)
    planned: int = getattr(sight.root.opened.grant, name)
    limit = sight.limits.velocity_times
    return Seen(
        thing=name,
        measure=f"times as fast as planned: {WORDS[name]}",
        seen=times,
        limit=limit,
        evidence=window.offsets,
        text=(
            f"{paid * 100 // planned} % of the {WORDS[name]} that this workflow may use in "
            f"{plan_ms / 1000:.0f} s went within {window_ms / 1000:.1f} s ({paid:,} of "
            f"{planned:,} {name}): {times} times as fast as planned ({limit} allowed)."
        ),
    )
