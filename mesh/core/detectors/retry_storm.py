"""Retry storm: the same thing fails again and again, and is tried again at once.

A task has a bound of attempts, but retries multiply: a caller that retries a task that retries a
tool asks 27 times where each meant three. So failures are counted by *what* failed, over the whole
workflow, whoever tried it; and, whatever the input, by who tried it. A success starts anew. Who
waits longer each time raises no storm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Seen, Sight, make_room, quote
from mesh.core.detectors.likeness import alike

GROWTH = 4
"""Times that the later half of a row takes longer than the earlier one if its pauses grow: with
equal pauses that is about one, with pauses that double it is more than ten."""
SHORT_MS = 100
"""An earlier half shorter than this is taken for this: tries at one time are no measure."""
MAX_THINGS = 1_024
"""Things of one workflow that failed last, each with its failures; older ones are forgotten."""


class _Row:
    """Mutable: the last failures in a row of one thing, and how many there were in its storm.

    `last` has the time and the offset of each. `storm` is 0 while there is none.
    """

    def __init__(self) -> None:
        self.last: deque[tuple[int, int]] = deque()
        self.storm = 0


class RetryStorm:
    """Mutable: the last failures in a row of each thing, in each workflow."""

    name = "retry-storm"
    kinds: frozenset[type] = frozenset(
        {f.StepFinished, f.WorkFinished, f.ResultRejected, f.TaskAwarded, f.TaskCompleted}
    )

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, _Row]] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        rows = self._rows.setdefault(sight.opened.workflow, {})
        fact = sight.fact
        if isinstance(fact, f.StepFinished):
            reason = fact.error
            if not reason and not rows:
                return ()
            alike_, any_ = _keys(fact.name, fact.input_hash, fact.task)
            name = fact.name
        else:
            reason = sight.failure
            if not reason and (not rows or sight.result is None):
                return ()
            name = sight.opened.capability
            alike_, any_ = _keys(name, alike(sight.opened.input), sight.opened.parent)
        if not reason:
            rows.pop(alike_, None)
            rows.pop(any_, None)
            return ()
        seen = self._failed(sight, alike_, _allowed(sight)) or self._failed(
            sight, any_, sight.limits.retries
        )
        return () if seen is None else (_told(seen, name, reason).of(self.name, sight.task),)

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._rows.pop(workflow, None)

    def _failed(self, sight: Sight, key: str, limit: int) -> Seen | None:
        """Note a failure; return what was counted if there are too many in too short a time."""
        rows = self._rows[sight.opened.workflow]
        row = rows.pop(key, None)
        if row is None:
            make_room(rows, MAX_THINGS)
            row = _Row()
        rows[key] = row
        row.last.append((sight.now_ms, sight.record.offset))
        while len(row.last) > 2 * max(sight.limits.retries_alike, sight.limits.retries) + 1:
            row.last.popleft()
        last = list(row.last)[-limit - 1 :]
        took_ms = sight.now_ms - last[0][0]
        if len(last) <= limit or took_ms > sight.limits.retry_window_ms or _backs_off(last):
            row.storm = 0
            return None
        row.storm = row.storm + 1 if row.storm else len(last)
        which = "" if row.storm == len(last) else f", the last {len(last)} of them"
        return Seen(
            thing=key,
            measure="failures of the same thing in a row",
            seen=row.storm,
            limit=limit,
            evidence=[offset for _, offset in last],
            text=f"{which} within {took_ms / 1000:.1f} s",
        )


def _allowed(sight: Sight) -> int:
    """Return the limit for one thing: a task that may have more attempts is given them, twice.

    At most twice the limit: attempts without number are what a storm is made of.
    """
    limit = sight.limits.retries_alike
    if isinstance(sight.fact, f.StepFinished):
        return limit
    return max(limit, min(2 * sight.opened.max_attempts + 1, 2 * limit))


def _backs_off(row: Sequence[tuple[int, int]]) -> bool:
    """Tell whether the pauses grow, as they should."""
    first, middle, last = (row[at][0] for at in (0, len(row) // 2, -1))
    return last - middle > GROWTH * max(middle - first, SHORT_MS)


def _keys(name: str, digest: bytes, asker: str) -> tuple[str, str]:
    """Return the names of this thing: with its input whoever asks, and whatever the input."""
    return f"{name} {digest.hex()}", f"{name} of {asker}"


def _told(seen: Seen, name: str, reason: str) -> Seen:
    with_input = "with the same input " if " of " not in seen.thing else ""
    return Seen(
        thing=seen.thing,
        measure=seen.measure,
        seen=seen.seen,
        limit=seen.limit,
        evidence=seen.evidence,
        text=(
            f"{name} {with_input}failed {seen.seen} times in a row{seen.text} ({seen.limit} "
            f"allowed), and was tried again each time. The last error: {quote(reason)}"
        ),
    )
