"""Root tasks: the task partitions that Kafka's group gave to this node, and their supervision.

One `Tenure` for each partition, from its assignment to its revocation::

    taking   `SupervisionTaken` is appended, then the log is read through it
    held     it counted: recovered tasks go on, submitted records are opened
    waiting  another holder's lease is running: take again when it is over

Only a held tenure opens tasks; what comes before waits in a bounded queue. The offset that is
committed lies behind every record whose task has neither ended nor been noted in `M.open`, and
carries a header: where a successor begins to read. A header is an own log position so far back
that a lease was surely extended, and clocks surely levelled, between it and what is looked for.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import Final, NamedTuple

from mesh.core import facts as f
from mesh.core.book import End
from mesh.core.budget import ZERO
from mesh.core.desk import BEGINNING, Desk, earliest
from mesh.core.effects import CommitOffset, DropOpen, Intake, PutOpen, Reply
from mesh.core.ids import workflow_id
from mesh.core.inputs import PartitionAssigned, PartitionRevoked, Submitted
from mesh.core.ledger import Ledger
from mesh.core.policy import Policy
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.supervisor import Supervisor
from mesh.core.tasks import Header
from mesh.core.values import Mode, Status, TaskPartition
from mesh.core.watches import Defect, Roots

COMMIT_MS: Final = 500
"""Offsets are committed at most this often: a commit costs a round trip, a repeat costs little."""
KEPT_ENDS: Final = 10_000
"""Ended root tasks without an event id that are remembered: their records come again only after a
partition moved, and then those that came last."""
PACKED_AT_ONCE: Final = 1_000
"""Of what a recovery finds asleep so much is packed at once, in some 50 ms, the rest bit by bit."""
FORGET_LATER_MS: Final = 60_000
"""An event is remembered here for longer than by the log: what the log has forgotten may be run."""


class Asker(NamedTuple):
    """Who wants an answer. A repeat may ask for one elsewhere."""

    reply_topic: str
    correlation_id: str


class Tenure:
    """Mutable: one task partition while the group says that it is this node's."""

    __slots__ = (
        "committed", "ended", "events", "floor", "given", "latest", "next_offset", "offsets",
        "open", "paused", "position", "queue", "recovered", "renewed_ms", "repeatable", "source",
        "state", "taking", "used",
    )  # fmt: skip

    def __init__(self, source: TaskPartition, given: PartitionAssigned) -> None:
        self.source = source
        self.given = given
        self.state = "taking"
        self.taking: f.Fact | None = None
        self.used = False
        self.renewed_ms = 0
        self.position = -1
        self.queue: deque[Submitted] = deque()
        self.offsets: dict[int, str] = {}
        self.open: dict[str, Header] = {}
        self.ended: deque[str] = deque()
        self.events: deque[str] = deque()
        self.repeatable: dict[str, Header] = {}
        self.next_offset = -1
        self.recovered = -1  # the last record that the log, as it was read, knows of
        self.committed = -1
        self.floor: Header = BEGINNING
        self.latest: Header = BEGINNING
        self.paused = False

    def __repr__(self) -> str:
        return f"Tenure({self.source} {self.state} open={len(self.open)} queue={len(self.queue)})"


class Partitions(Roots):
    """Mutable: the tenures of one node."""

    def __init__(self, desk: Desk, supervisor: Supervisor, policy: Policy) -> None:
        self.desk = desk
        self.supervisor = supervisor
        self.policy = policy
        self.tenures: dict[TaskPartition, Tenure] = {}
        self._requests: dict[str, tuple[Submitted, int]] = {}
        self._askers: dict[str, tuple[Asker, ...]] = {}
        self._noted: set[str] = set()
        self._suspended: set[str] = set()
        self._committing = False
        self._renewing = False

    # --- taking and giving up -------------------------------------------------------------------

    def assigned(self, given: PartitionAssigned) -> None:
        """Take the supervision of a partition that the group gave."""
        tenure = self.tenures[given.source] = Tenure(given.source, given)
        self._take(tenure)

    def _take(self, tenure: Tenure) -> None:
        tenure.state = "taking"
        tenure.renewed_ms = self.desk.now_ms
        fact = f.SupervisionTaken(
            source=tenure.source,
            by=self.desk.me,
            inbox=self.desk.inbox,
            lease_ms=self.desk.settings.supervision_lease_ms,
        )
        tenure.taking = fact
        self.desk.append(self.desk.home(tenure.source), fact, self._taken, tenure)
        self.desk.at(self.desk.now_ms + 2 * fact.lease_ms, self._take_again, tenure, "taking")

    def _taken(self, record: f.Record, _: str, tenure: Tenure) -> None:
        """Read through the own taking: only the log says whether it counts."""
        latest = tenure.taking is record.fact
        if latest and self.tenures.get(tenure.source) is tenure:
            header = tenure.given.header or BEGINNING
            self.desk.read_source(
                header, tenure.source, record.offset, self._was_read, tenure, record
            )

    def _was_read(self, read: Ledger, tenure: Tenure, record: f.Record) -> None:
        """Go on with what the log says of a taking."""
        taking, position = record.fact, record.offset
        if self.tenures.get(tenure.source) is not tenure or tenure.taking is not taking:
            return
        desk, source = self.desk, tenure.source
        ledger = desk.ledger_of(desk.home(source))
        ledger.observe(read.log_time_ms)
        lease = read.supervisions.get(source)
        if lease is not None:
            ledger.supervisions[source] = lease
        if lease is None or lease.position != position:
            tenure.state = "waiting"
            left_ms = lease.end_ms - read.log_time_ms if lease is not None else 0
            again_ms = desk.now_ms + max(0, left_ms) + desk.settings.clock_skew_ms
            desk.at(again_ms, self._take_again, tenure, "waiting")
            return
        tenure.state = "held"
        tenure.position = position
        tenure.floor = Header(position, read.log_time_ms, ())
        self._recover(tenure, read, ledger)
        self._renew_later()
        queue, tenure.queue = tenure.queue, deque()
        for submitted in queue:
            self.submitted(submitted)

    def _take_again(self, tenure: Tenure, state: str) -> None:
        """Take again after another's lease, or if the report of a taking does not come."""
        if self.tenures.get(tenure.source) is tenure and tenure.state == state:
            self._take(tenure)

    def _recover(self, tenure: Tenure, read: Ledger, ledger: Ledger) -> None:
        """Go on with every open root task of the partition, and answer those that ended."""
        header, ended = tenure.given.header or BEGINNING, dict(read.ended)
        for task in read.tasks.values():
            opened = task.opened
            if opened.parent or opened.source != tenure.source:
                continue
            workflow = opened.workflow
            self.desk.hold(workflow)
            known = self.desk.headers.get(workflow, header)
            self.desk.headers[workflow] = earliest([known, header])
            ledger.merge(read, workflow, self.desk.works)
            self._ask(workflow, opened.reply_topic, opened.correlation_id)
            self._requests.pop(workflow, None)  # it is open, whatever became of the report
            if workflow not in ledger.tasks:
                ended[workflow] = ledger.ended[workflow]  # since it was read
                self.desk.release(workflow)
                continue
            tenure.open[workflow] = header
            tenure.recovered = max(tenure.recovered, opened.offset)
            if opened.event_id:
                tenure.repeatable[workflow] = header
            if workflow in tenure.given.opened:
                self._noted.add(workflow)
            else:
                self._note_later(tenure, workflow)
        self._recover_ended(tenure, ended, header)
        for workflow in tenure.given.opened - read.tasks.keys() - read.ended.keys():
            # it ended so long ago that the log has forgotten it
            self.desk.step.messages.append(DropOpen(tenure.source, workflow))
        for number, workflow in enumerate(list(tenure.open)):
            self.supervisor.settle(workflow)
            for task in ledger.open_tasks(workflow):
                read_now = task.opened.task not in ledger.unmerged
                self.supervisor.adopt(task, read=read_now)
            if number < PACKED_AT_ONCE:
                self.supervisor.pack(workflow)
        tenure.given = tenure.given._replace(opened=frozenset())  # all of it was looked at

    def _recover_ended(self, tenure: Tenure, ended: dict[str, End], header: Header) -> None:
        ledger = self.desk.ledger_of(self.desk.home(tenure.source))
        for workflow, end in ended.items():
            ledger.ended[workflow] = end
            if end.source == tenure.source:
                tenure.recovered = max(tenure.recovered, end.record)
            noted = workflow in tenure.given.opened
            if noted:
                self._ask(workflow, end.reply_topic, end.correlation_id)
            self._ended(tenure, workflow, end, header)
            if noted:
                self.desk.step.messages.append(DropOpen(tenure.source, workflow))

    def revoked(self, given: PartitionRevoked) -> None:
        """Give a partition up: in order, or with nothing written because it is lost."""
        tenure = self.tenures.get(given.source)
        if tenure is None:
            return
        if tenure.state == "held" and not given.lost:
            self._commit(tenure)
            home, source = self.desk.home(tenure.source), tenure.source
            fact = f.SupervisionReleased(source=source, by=self.desk.me, authority=tenure.position)
            self.desk.append(home, fact, self._released)
        del self.tenures[given.source]
        self._let_go(tenure)
        for workflow, (submitted, _) in list(self._requests.items()):
            if submitted.source == given.source:
                del self._requests[workflow]
        for other in list(self.tenures.values())[:1]:
            self._flow(other)

    def _released(self, _: f.Record, __: str) -> None:
        """Whether or not it counted, the supervision is given up."""

    def _let_go(self, tenure: Tenure) -> None:
        lease = self.desk.ledger_of(self.desk.home(tenure.source)).supervisions.get(tenure.source)
        if lease is not None and lease.holder == self.desk.me:
            lease.held = False
        for workflow in list(tenure.open):
            self._noted.discard(workflow)
            self._suspended.discard(workflow)
            self._askers.pop(workflow, None)
            if not self.supervisor.forget_asleep(workflow):
                self.supervisor.source_lost(workflow)
                self.desk.release(workflow)
        tenure.open.clear()

    def _lose(self, tenure: Tenure) -> None:
        """The supervision ran out while the group still says that it is ours: take it again."""
        header = earliest([tenure.floor, *tenure.open.values(), *_inherited(tenure)])
        opened = tenure.given.opened | (self._noted & tenure.open.keys())
        askers = dict(self._askers)
        self._let_go(tenure)
        self._askers = askers
        again = Tenure(tenure.source, tenure.given._replace(header=header, opened=opened))
        self.tenures[tenure.source] = again
        again.offsets, again.next_offset = tenure.offsets, tenure.next_offset
        again.committed, again.queue = tenure.committed, tenure.queue
        again.ended, again.events = tenure.ended, tenure.events
        again.repeatable, again.paused = tenure.repeatable, tenure.paused
        lost = [given for given, _ in self._requests.values() if given.source == tenure.source]
        again.queue.extendleft(reversed(lost))
        self._take(again)

    # --- keeping it -----------------------------------------------------------------------------

    def _renew_later(self) -> None:
        if not self._renewing:
            self._renewing = True
            self.desk.at(
                self.desk.now_ms + self.desk.settings.supervision_lease_ms // 6, self._renew
            )

    def _renew(self) -> None:
        """Renew, each third of the lease, where tasks are open or came since the last time."""
        self._renewing = False
        due_ms = self.desk.now_ms - self.desk.settings.supervision_lease_ms // 3
        for tenure in list(self.tenures.values()):
            needed = tenure.state == "held" and (tenure.open or tenure.used)
            if needed and tenure.renewed_ms <= due_ms:
                tenure.renewed_ms = self.desk.now_ms
                tenure.used = False
                fact = f.SupervisionRenewed(
                    source=tenure.source, by=self.desk.me, authority=tenure.position
                )
                self.desk.append(self.desk.home(tenure.source), fact, self._renewed, tenure)
        if self.tenures:
            self._renew_later()

    def _renewed(self, _: f.Record, void: str, tenure: Tenure) -> None:
        if void and self.tenures.get(tenure.source) is tenure and tenure.state == "held":
            self._lose(tenure)

    # --- root tasks -----------------------------------------------------------------------------

    def submitted(self, submitted: Submitted) -> None:
        """Open a root task, or answer its repeat."""
        tenure = self.tenures.get(submitted.source)
        if tenure is None:
            return
        if tenure.state != "held":
            tenure.queue.append(submitted)
            self._flow(tenure)
            return
        source, request = submitted.source, submitted.request
        count = self.desk.audit_partitions
        workflow = workflow_id(source, submitted.offset, request.event_id, count)
        ledger = self.desk.ledger(workflow)
        end = ledger.ended.get(workflow)
        if end is None and self._lapsed(tenure):
            tenure.queue.append(submitted)
            self._lose(tenure)
            self._flow(self.tenures[source])
            return
        tenure.offsets[submitted.offset] = workflow
        tenure.next_offset = max(tenure.next_offset, submitted.offset + 1)
        self._ask(workflow, request.reply_topic, request.correlation_id)
        if end is not None:
            self._answer(workflow, end)
            self._commit_later()
        elif workflow not in tenure.open:
            self._open(tenure, submitted, workflow)
        self._flow(tenure)

    def _lapsed(self, tenure: Tenure) -> bool:
        """Say whether the lease ran out while nothing was open: what it would open were void."""
        settings = self.desk.settings
        kept_ms = tenure.renewed_ms + settings.supervision_lease_ms + settings.clock_skew_ms
        return not tenure.open and not tenure.used and kept_ms < self.desk.now_ms

    def skipped(self, source: TaskPartition, offset: int) -> None:
        """Let the offset of a record pass that went to the dead letters."""
        tenure = self.tenures.get(source)
        if tenure is not None:
            tenure.next_offset = max(tenure.next_offset, offset + 1)
            self._commit_later()

    def _open(self, tenure: Tenure, submitted: Submitted, workflow: str) -> None:
        tenure.used = True
        desk, request = self.desk, submitted.request
        offered = desk.card.capability(request.capability)
        settings = desk.settings
        timeout_ms = request.timeout_ms or (
            offered.timeout_ms if offered is not None else settings.timeout_ms
        )
        default = offered.budget if offered is not None and offered.budget else settings.budget
        budget = request.budget or default
        defect, field = request.defect, request.defect_field
        if not defect:
            objection = self.policy.refusal(
                budget, timeout_ms, request.capability, desk.card.owner, settings
            )
            if objection is not None:
                defect, field = objection
        opened = f.TaskOpened(
            workflow=workflow,
            task=workflow,
            by=desk.me,
            authority=tenure.position,
            source=submitted.source,
            offset=submitted.offset,
            parent="",
            step="",
            capability=request.capability,
            input=request.input,
            charter=request.charter,
            ancestors=(),
            after=(),
            grant=ZERO if defect else budget,
            deadline_ms=submitted.append_ms + timeout_ms,
            lease_ms=offered.lease_ms if offered is not None else settings.work_lease_ms,
            max_attempts=offered.max_attempts if offered is not None else settings.max_attempts,
            mode=request.mode or (offered.mode if offered is not None else Mode.DIRECT),
            named_agent=request.named_agent,
            acceptance=request.acceptance,
            event_id=request.event_id,
            reply_topic=request.reply_topic,
            correlation_id=request.correlation_id,
            traceparent=request.traceparent,
            award=None,
        )
        desk.hold(workflow)
        header = desk.headers[workflow] = self._header(tenure, submitted.append_ms)
        tenure.open[workflow] = header
        if opened.event_id:
            tenure.repeatable[workflow] = header
        self._requests[workflow] = (submitted, tenure.position)
        self.supervisor.open(opened, None, Defect(defect, field) if defect else None)
        self._note_later(tenure, workflow)

    def _header(self, tenure: Tenure, append_ms: int) -> Header:
        """Return where a reader of a task that is opened now begins."""
        settings, desk = self.desk.settings, self.desk
        home = desk.home(tenure.source)
        back_ms = settings.supervision_lease_ms + 2 * settings.clock_skew_ms
        before_ms = max(append_ms, desk.ledger_of(home).log_time_ms) - back_ms
        mark = desk.mark_before(home, before_ms, tenure.position)
        if mark is None:
            return tenure.floor
        seen = desk.ledger_of(home).supervision(tenure.source)
        header = Header(mark[0], mark[1], (seen,) if seen is not None else ())
        if header != tenure.latest:  # thousands that were opened in one second share one
            tenure.latest = header
        return tenure.latest

    def root_opened(self, opened: f.TaskOpened, void: str) -> None:
        """Hear the report of a root task's first fact."""
        submitted, position = self._requests.get(opened.workflow, (None, -1))
        if submitted is None or position != opened.authority:
            return
        tenure = self.tenures.get(opened.source)
        if not void:
            del self._requests[opened.workflow]
        elif tenure is not None and tenure.state == "held":
            self._lose(tenure)

    def root_suspended(self, workflow: str) -> None:
        """Note a waiting root task, so that the partition moves on; it is no load."""
        for tenure in self.tenures.values():
            if workflow in tenure.open:
                self._suspended.add(workflow)
                self._note(tenure, workflow)
                self._flow(tenure)

    def root_awarded(self, workflow: str) -> None:
        """Count a root task that waits no more."""
        self._suspended.discard(workflow)

    def _note_later(self, tenure: Tenure, workflow: str) -> None:
        later_ms = self.desk.now_ms + self.desk.settings.open_after_ms
        self.desk.at(later_ms, self._note, tenure, workflow)

    def _note(self, tenure: Tenure, workflow: str) -> None:
        """Put an open task into `M.open`, once."""
        if self.tenures.get(tenure.source) is not tenure or workflow in self._noted:
            return
        header = tenure.open.get(workflow)
        if header is None:
            return
        if workflow in self._requests:  # it may never have been opened: its record is still needed
            self._note_later(tenure, workflow)
        else:
            self._noted.add(workflow)
            self.desk.step.messages.append(PutOpen(tenure.source, workflow, header))
            self._commit_later()

    def root_ended(self, workflow: str) -> None:
        """Answer the submitter, and let the offset pass."""
        tenure = next((t for t in self.tenures.values() if workflow in t.open), None)
        if tenure is None:
            return
        ledger = self.desk.ledger(workflow)
        self._ended(tenure, workflow, ledger.ended[workflow], tenure.open.pop(workflow))
        self._suspended.discard(workflow)
        if workflow in self._noted:
            self._noted.discard(workflow)
            self.desk.step.messages.append(DropOpen(tenure.source, workflow))
        self.desk.release(workflow)
        self._flow(tenure)
        self._commit_later()

    def _ended(self, tenure: Tenure, workflow: str, end: End, header: Header) -> None:
        """Answer for a root task that ended, and remember it in case it is asked for again.

        The end of one with an event id must be found by a successor, too, as long as the log
        refuses to have it run again: so the committed header lies before it.
        """
        self._answer(workflow, end)
        ended = self.desk.ledger(workflow).ended
        if end.event_id:
            tenure.repeatable.setdefault(workflow, header)
            tenure.events.append(workflow)
        else:
            tenure.ended.append(workflow)
        if len(tenure.ended) > KEPT_ENDS:
            ended.pop(tenure.ended.popleft(), None)
        oldest_ms = self.desk.log_now(workflow) - EVENT_WINDOW_MS - FORGET_LATER_MS
        while tenure.events:
            known = ended.get(tenure.events[0])
            if known is not None and known.log_time_ms >= oldest_ms:
                break
            forgotten = tenure.events.popleft()
            tenure.repeatable.pop(forgotten, None)
            ended.pop(forgotten, None)

    def _ask(self, workflow: str, reply_topic: str, correlation_id: str) -> None:
        """Take note of who wants an answer, in memory: `TaskOpened` names the first alone."""
        asker, known = Asker(reply_topic, correlation_id), self._askers.get(workflow, ())
        if reply_topic and asker not in known:
            self._askers[workflow] = (*known, asker)

    def _answer(self, workflow: str, end: End) -> None:
        """Answer everyone who asked."""
        completed = end.status is Status.COMPLETED
        for asker in self._askers.pop(workflow, ()):
            self.desk.step.messages.append(
                Reply(
                    asker.reply_topic,
                    asker.correlation_id,
                    workflow,
                    end.status.value,
                    end.body.content if completed else None,
                    "" if completed else end.reason,
                    end.body.hash if completed else b"",
                )
            )

    # --- offsets and flow -----------------------------------------------------------------------

    def _commit_later(self) -> None:
        if not self._committing:
            self._committing = True
            self.desk.at(self.desk.now_ms + COMMIT_MS, self._commit_all)

    def _commit_all(self) -> None:
        self._committing = False
        for tenure in self.tenures.values():
            if tenure.state == "held":
                self._commit(tenure)

    def _commit(self, tenure: Tenure) -> None:
        """Commit behind every task that has neither ended nor been noted in `M.open`."""
        for offset in sorted(tenure.offsets):
            workflow = tenure.offsets[offset]
            if workflow in tenure.open and workflow not in self._noted:
                break
            del tenure.offsets[offset]
        offset = min(tenure.offsets, default=tenure.next_offset)
        if offset <= tenure.committed:
            return
        tenure.committed = offset
        headers = [header for name, header in tenure.open.items() if name not in self._noted]
        headers += _inherited(tenure)
        if tenure.repeatable:
            headers.append(min(tenure.repeatable.values(), key=attrgetter("offset")))
        headers = headers or [self._header(tenure, 0)]
        self.desk.step.commits.append(CommitOffset(tenure.source, offset, earliest(headers)))

    def _flow(self, tenure: Tenure) -> None:
        """Pause the task partitions while too much is open: load waits in Kafka."""
        limit = self.desk.settings.open_tasks
        waiting = len(self._suspended)
        busy = sum(len(t.open) + len(t.queue) for t in self.tenures.values()) - waiting
        if busy >= limit:
            if not tenure.paused:
                tenure.paused = True
                self.desk.step.commits.append(Intake((tenure.source,), open=False))
        elif busy <= limit * 3 // 4:
            paused = [other for other in self.tenures.values() if other.paused]
            for other in paused:
                other.paused = False
            if paused:
                sources = tuple(other.source for other in paused)
                self.desk.step.commits.append(Intake(sources, open=True))


def _inherited(tenure: Tenure) -> list[Header]:
    """Return where to read from, as long as records are due that the log knew of already.

    A successor gets them, too: it must find that they were opened, and may have ended.
    """
    due = max(tenure.committed, 0) <= tenure.recovered
    return [tenure.given.header or BEGINNING] if due else []
