"""Nobody bids: a task that waits for a worker and gets none, though the mesh is at work.

Each try leaves a trace: a call for bids that no award follows, an award that is declined. They are
counted in a row, and work that begins ends the row. Where nobody can even be asked nothing is
written, so a task that was opened and never awarded is looked at again after a time: log time in
which the partition moved, for an outage is nobody's refusal.

A workflow in which somebody waits for a halt to be lifted is left alone: it waits for a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Seen, Sight, make_room, quote
from mesh.core.halts import WAIT
from mesh.core.tasks import Phase
from mesh.core.values import Offer

MAX_ROWS = 1_024
"""Tasks of one workflow that wait for a worker, of which each try is known; older are forgotten."""
MAX_OFFSETS = 31
"""Tries that prove a finding: the last."""
MAX_ASKED = 8
"""Of those who were asked so many are named, the most often asked first."""
NEVER_MS = 2**62


class _Row:
    """Mutable: the tries in a row to find a worker for one task, since work last began."""

    def __init__(self, since: tuple[int, int], moved_ms: int) -> None:
        self.since = since
        self.moved_ms = moved_ms
        self.called = -1
        self.tries: list[int] = []
        self.asked: Counter[str] = Counter()
        self.declined: Counter[str] = Counter()
        self.said: dict[str, str] = {}

    def ask(self, called: f.BidsCalled, offset: int) -> None:
        """Note a call for bids; the one before it, if no award followed, came to nothing."""
        if self.called >= 0:
            self.tries.append(self.called)
        self.called = offset
        own = called.own_offer
        self.asked.update(called.candidates)
        if own is not None:
            self.asked[own.instance] += 1
            self.hear((own,))

    def hear(self, offers: Sequence[Offer]) -> None:
        """Note what bidders answered who declined."""
        for own in offers:
            if own.declined:
                self.said[own.instance] = own.declined

    def decline(self, name: str, reason: str, offset: int) -> None:
        """Note that somebody declined an award."""
        self.declined[name] += 1
        self.said[name] = reason
        self.tries.append(offset)

    def in_words(self) -> str:
        """Return who was asked how often, and what they said where it stands in the log."""
        every = (self.asked + self.declined).most_common()
        if not every:
            return "Nobody was asked: no instance that offers it was there with a slot free."
        names = ", ".join(self._asked(name) for name, _ in every[:MAX_ASKED])
        more = f" and {len(every) - MAX_ASKED} more" if len(every) > MAX_ASKED else ""
        return f"Nobody began the work: {names}{more}."

    def _asked(self, name: str) -> str:
        """Return what became of asking one instance."""
        asked, declined = self.asked[name], self.declined[name]
        parts = [f"asked {times(asked)}"] if asked else []
        parts += [f"declined {times(declined)}"] if declined else []
        parts += [f'said "{quote(self.said[name])}"'] if name in self.said else []
        return f"{name} ({', '.join(parts)})"


def times(count: int) -> str:
    """Return a count in words."""
    return "once" if count == 1 else f"{count} times"


class NobodyBids:
    """Mutable: the tasks of each workflow that wait for a worker."""

    name = "nobody-bids"
    kinds: frozenset[type] = frozenset(
        {f.TaskOpened, f.BidsCalled, f.TaskAwarded, f.AwardDeclined, f.TaskExpired, f.TaskFailed}
    )

    def __init__(self) -> None:
        self.due_ms = NEVER_MS
        self._moved_ms = 0
        self._waiting: dict[str, dict[str, tuple[int, Sight]]] = {}
        self._rows: dict[str, dict[str, _Row]] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        match sight.fact:
            case f.TaskOpened(award=None):
                self._wait(sight)
            case f.BidsCalled() as called:
                row = self._row(sight)
                row.ask(called, sight.record.offset)
                return self._tried(sight, row)
            case f.TaskAwarded(award=terms):
                self._stop_waiting(sight)
                known = self._rows.get(sight.opened.workflow, {}).get(sight.opened.task)
                if known is not None:
                    known.called = -1
                    known.hear(terms.offers)
            case f.AwardDeclined(by=by, reason=reason):
                row = self._row(sight)
                row.decline(by.instance, reason, sight.record.offset)
                return self._tried(sight, row)
            case f.TaskExpired() | f.TaskFailed():
                return self._ended(sight)
            case _:
                pass
        return ()

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._waiting.pop(workflow, None)
        self._rows.pop(workflow, None)

    # --- tries in a row -------------------------------------------------------------------------

    def _row(self, sight: Sight) -> _Row:
        """Return the tries since work on the task last began."""
        rows = self._rows.setdefault(sight.opened.workflow, {})
        since = (len(sight.task.steps), sight.task.attempts)
        row = rows.get(sight.opened.task)
        if row is None or row.since != since:
            rows.pop(sight.opened.task, None)
            make_room(rows, MAX_ROWS)
            row = rows[sight.opened.task] = _Row(since, sight.moved_ms)
        return row

    def _tried(self, sight: Sight, row: _Row) -> Sequence[Finding]:
        """Return what is found if too many tries came to nothing."""
        limit, took_ms = sight.limits.fruitless_calls, sight.moved_ms - row.moved_ms
        soon = len(row.tries) <= limit or took_ms <= sight.limits.fruitless_ms
        if soon or _is_halted(sight):
            return ()
        seen = Seen(
            thing=sight.opened.task,
            measure="calls for bids without a bid, and awards declined, in a row",
            seen=len(row.tries),
            limit=limit,
            evidence=[*row.tries[-MAX_OFFSETS:], sight.record.offset],
            text=(
                f"Nobody takes {sight.opened.capability} (task {sight.opened.task}): "
                f"{len(row.tries)} tries in a row came to nothing within {took_ms / 1000:.0f} s "
                f"({limit} allowed). "
                f"{row.in_words()}"
            ),
        )
        return (seen.of(self.name, sight.task),)

    # --- time without an award ------------------------------------------------------------------

    def _wait(self, sight: Sight) -> None:
        """Look again when the task should have been awarded."""
        due_ms = sight.moved_ms + sight.limits.unawarded_ms
        waiting = self._waiting.setdefault(sight.opened.workflow, {})
        waiting[sight.opened.task] = (due_ms, sight)
        self.due_ms = min(self.due_ms, due_ms)

    def _stop_waiting(self, sight: Sight) -> Sight | None:
        waiting = self._waiting.get(sight.opened.workflow, {})
        return waiting.pop(sight.opened.task, (0, None))[1]

    def overdue(self, moved_ms: int) -> Sequence[Sight]:
        """Return the openings of tasks that have waited long enough; see `frame.Patient`."""
        over: list[Sight] = []
        self.due_ms, self._moved_ms = NEVER_MS, moved_ms
        for waiting in self._waiting.values():
            for task, (due_ms, sight) in list(waiting.items()):
                if sight.task.phase is Phase.ENDED:
                    del waiting[task]
                elif due_ms < moved_ms:
                    del waiting[task]
                    over.append(sight)
                else:
                    self.due_ms = min(self.due_ms, due_ms)
        return over

    def late(self, sight: Sight) -> Sequence[Finding]:
        """Return what is found of a task that waited too long; see `frame.Patient`."""
        if _is_halted(sight):
            return ()
        return (self._unawarded(sight, self._moved_ms - sight.moved_ms, sight.limits.unawarded_ms),)

    def _ended(self, sight: Sight) -> Sequence[Finding]:
        """Return what is found of a task that ended, and never had a worker."""
        opening = self._stop_waiting(sight)
        if opening is None or _is_halted(sight):
            return ()
        waited_ms = sight.moved_ms - opening.moved_ms
        limit = sight.limits.fruitless_ms
        if waited_ms <= limit:
            return ()
        return (self._unawarded(opening, waited_ms, limit, sight.record.offset),)

    def _unawarded(self, opening: Sight, waited_ms: int, limit: int, ended: int = -1) -> Finding:
        """Return that a task waited so long for a worker, in vain."""
        opened = opening.opened
        row = self._rows.get(opened.workflow, {}).get(opened.task) or _Row((0, 0), 0)
        calls = [*row.tries, row.called] if row.called >= 0 else row.tries
        then = "ended without ever having had one" if ended >= 0 else "was never awarded"
        evidence = [opening.record.offset, *calls[-MAX_OFFSETS + 1 :], ended]
        seen = Seen(
            thing=opened.task,
            measure="milliseconds without a worker, while the partition moved",
            seen=waited_ms,
            limit=limit,
            evidence=[offset for offset in evidence if offset >= 0],
            text=(
                f"Nobody takes {opened.capability} (task {opened.task}): it waited "
                f"{waited_ms / 1000:.0f} s for a worker and {then} ({limit / 1000:.0f} s allowed). "
                f"{row.in_words()}"
            ),
        )
        return seen.of(self.name, opening.task)


def _is_halted(sight: Sight) -> bool:
    """Tell whether somebody in the workflow waits for a halt to be lifted."""
    return any(
        wait.kind == WAIT
        for task in sight.ledger.open_tasks(sight.opened.workflow)
        for wait in task.waiting_for
    )
