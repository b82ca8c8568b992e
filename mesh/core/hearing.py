"""What workers tell of the tasks that a node supervises: that they live, and what came of an award.

A message says nothing that the log does not say; it saves reading it. One that does not fit what is
known here is refused, and nothing changes.
"""

from __future__ import annotations

from typing import Final

from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.tasks import TaskState
from mesh.core.watches import Watch, Watches

NOBODY_MS: Final = 1_000
"""A task that nobody can be had for is tried again after this, and when the fleet changes."""
GIVES_UP = f.AwardDeclined | f.WorkSuspended | f.WorkCancelled | f.WorkFinished
"""What a worker tells of."""


class Hearing(Watches):
    """Mutable: watches, and what is heard about them."""

    def outcome(self, envelope: m.Envelope, outcome: m.Outcome) -> None:
        """Take a worker's word that it gave an award up, with the fact that did."""
        watch, task = self._meant(envelope, outcome.task, outcome.award)
        fact = outcome.record.fact
        if watch is None or task is None or task.lease is None:
            return
        about = (outcome.task, outcome.award, task.lease.holder)
        if not isinstance(fact, GIVES_UP) or (fact.task, fact.authority, fact.by) != about:
            self.desk.refuse(envelope, "the fact is not the award's")
            return
        self.desk.ledger(watch.workflow).learn(outcome.record)
        watch.adopting = False
        watch.known = isinstance(fact, f.AwardDeclined)
        watch.exact = not isinstance(fact, f.WorkSuspended)
        if isinstance(fact, f.AwardDeclined):
            watch.tried[fact.by.instance] = fact.reason
            watch.declines += 1
            rest_ms = self.desk.settings.retry_pause_ms << min(watch.declines - 1, 8)
            watch.rests_ms = self.desk.now_ms + min(rest_ms, NOBODY_MS)
        else:  # one that declined has as much as it can take, until it tells its load
            self.desk.directory.placed(fact.by.instance, -1)
        self._after(watch)
        if not isinstance(fact, f.AwardDeclined):
            self.slot_freed()

    def adopted(self, envelope: m.Envelope, adopted: m.Adopted) -> None:
        """Take a worker's answer to an adoption."""
        watch, _ = self._meant(envelope, adopted.task, adopted.award)
        if watch is not None:
            watch.adopting = False
            if adopted.status == "running":
                self._heard(watch, adopted.lease_end_ms)

    def progress(self, envelope: m.Envelope, progress: m.Progress) -> None:
        """Hear that a worker is alive."""
        watch, _ = self._meant(envelope, progress.task, progress.award)
        if watch is not None:
            self._heard(watch, progress.lease_end_ms)

    def _heard(self, watch: Watch, lease_end_ms: int) -> None:
        left_ms = lease_end_ms - self.desk.ledger(watch.workflow).log_time_ms
        left_ms = min(left_ms, self._lease_ms(watch))
        silent_ms = self.desk.now_ms + left_ms + self.desk.settings.clock_skew_ms
        watch.silent_ms = max(watch.silent_ms, silent_ms)

    def _lease_ms(self, watch: Watch) -> int:
        task = self._known(watch)
        return task.opened.lease_ms if task is not None else 0

    def _meant(
        self, envelope: m.Envelope, task_id: str, award: int
    ) -> tuple[Watch | None, TaskState | None]:
        """Find what a worker's message is about; None and a refusal if it is not current here."""
        task, watch = self._task(task_id), self.watches.get(task_id)
        lease = task.lease if task is not None else None
        if watch is None or lease is None:
            self.desk.refuse(envelope, "the task is not supervised here")
        elif lease.position != award or not lease.held or lease.holder != envelope.sender:
            self.desk.refuse(envelope, "another award is current")
        else:
            return watch, task
        return None, None
