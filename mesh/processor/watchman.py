"""Watches the audit stream: judges every fact, runs the detectors, and writes what they find.

It folds the agents' standing as well, and has it written (see `mesh.processor.standing`).

The owner of a `Watchman` tells it which partitions are its own and gives it their records::

    watchman = Watchman(log, mesh, failed=...)   # after `await check_audit(log, mesh)`
    await watchman.start()                 # reads the policy and the orders, and goes on reading
    await watchman.take(partition, first)  # `first`: the committed offset; reads what it must
    await watchman.see(record)             # one after the other; waits where too much is on its way
    watchman.commits()                     # {partition: offset} that may be committed now
    watchman.committed(offsets)            # what the group took of them
    await watchman.look()                  # every half second: the lag, and where to begin again
    watchman.answer(asked, incident)       # what `inquiries` hold: see `mesh.processor.survey`
    await watchman.settle(timeout_s)       # before giving up in peace
    watchman.give_up(partition)            # what comes later of it is dropped
    await watchman.close()                 # reads no more

**Order of effects.** A finding is appended to `M.incidents` under its workflow, with what answers
it by the policy of that moment. When that is acknowledged and the answer is a halt, the order is
appended to `M.control`, if one is due (`mesh.core.responses`); only when that is acknowledged, too,
may the record that led to it be committed. An incident's id is derived from what it is about, so a
repeat (an append whose outcome was unknown, a restart, a worker that was replaced and writes on) is
the same incident, and readers show it once.

**Where a successor begins.** To judge the record at the committed offset one must know every
workflow that is open there, from its beginning, and all supervisions. So a `Header` is kept (see
`mesh.processor.beat` and `notes`), in `M.open` under `watchman/PARTITION`: the same kind of entry
by which supervisors tell where to begin, compacted, in the same partition. It is not in the
commit's metadata: those of a processor are written by Faust, which has none, and 200 supervisions
are four times as long as a broker allows. It cannot be derived from the entries of workflows
either: those have the supervision of their own task partition alone, and young workflows have no
entry yet.
A header is written once everything before it is settled, so it and the commit need no order: with
an old one more is read, and nothing else differs.

What lies between header and commit is read quietly. What is found there about workflows that have
ended was told before the commit. What is found about open ones is looked up on `M.incidents`: what
was told is answered as it was told, by the policy of then (a halt that is due still is given, and
what a person lifted stays lifted); what was not, for limits may have changed since, is told now.

Nothing here decides what a fact means.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import NamedTuple

from mesh.core.detectors.frame import Finding
from mesh.core.detectors.limits import LimitTable
from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder
from mesh.core.ids import audit_partition_of
from mesh.core.responses import Response, halt_for
from mesh.errors import (
    MeshError,
    NewerSchema,
    TransportError,
    UsageError,
    WireError,
    WrongTopic,
)
from mesh.ports import Incoming, Log, Place, Report
from mesh.processor.beat import RECALLED, Beat
from mesh.processor.inputs import check_alike, read_fact
from mesh.processor.notes import BEGINNING, encode_note, note_key, read_note, within
from mesh.processor.owner import Owner
from mesh.processor.post import Asked, Due, Post, Telling
from mesh.processor.responder import Responder
from mesh.processor.standing import WRITES, Register
from mesh.wire import topics
from mesh.wire.entries import encode_entry

NOTE_EVERY = 20_000
"""Records after which it is noted anew where to begin: a second of reading more after a restart,
and at most a few kilobytes a second in `M.open`."""
MAX_FLYING = 1_000
"""Findings without a report: far more than a mesh in order has in a day, and little memory."""
MAX_ASKED = 1_000
"""Inquiries without an answer: half a second of them in a busy partition."""
TOLD_EVERY = 100_000
"""Records after which a long restoring says how far it is."""

_log = logging.getLogger(__name__)


async def check_audit(log: Log, mesh: str) -> int:
    """Return how many partitions the audit stream has.

    Raises:
        WrongTopic: A topic that is read or written is missing, or the two do not fit together; the
            message names each.
    """
    alike = (topics.audit(mesh), topics.open_workflows(mesh), topics.standing(mesh))
    others = (topics.incidents(mesh), topics.control(mesh), topics.policy(mesh))
    return await check_alike(log, alike, *others)


class Progress(NamedTuple):
    """How far the restoring of a partition is: the next offset, and the one to come to."""

    next: int
    end: int


class Watchman(Owner["Post"]):
    """Mutable: the audit partitions that this worker owns, and what was found in them.

    Args:
        log: Where to read and append; opened, and closed, by the caller.
        mesh: The mesh's name.
        limits: The detectors' limits while no policy says others.
        failed: Told why nothing can go on: the log is over, or a newer release wrote a fact.
        skips_newer: Pass over what a newer release seems to have written, as over garbage.
    """

    def __init__(
        self,
        log: Log,
        mesh: str,
        *,
        failed: Callable[[MeshError], None],
        limits: LimitTable | None = None,
        skips_newer: bool = False,
    ) -> None:
        super().__init__(failed)
        self.facts = 0
        self.void = 0
        self.unreadable = 0
        """Records that are no facts: they are passed over, as by every reader of the stream."""
        self.findings: Counter[str] = Counter()
        """By kind, as they were found; what is found again after a restart counts again."""
        self.told = 0
        """Incidents that were acknowledged."""
        self.halted = 0
        """Orders to halt that were acknowledged."""
        self.repeated = 0
        """Appends that were made again because their outcome was unknown."""
        self.untold = 0
        """Findings that fit into no record."""
        self._log = log
        self._mesh = mesh
        self._skips_newer = skips_newer
        self._audit = topics.audit(mesh)
        self._open = topics.open_workflows(mesh)
        self._incidents = topics.incidents(mesh)
        self._standing = topics.standing(mesh)
        self._control = topics.control(mesh)
        self.responder = Responder(log, mesh, failed=self._fail, limits=limits)
        self.responder.changed = self._policy_changed
        self.responder.lifted = self._was_lifted
        self.inquiries: deque[Asked] = deque()
        """What the detectors ask, for whoever knows more than a partition: see `answer`."""
        self._flying = 0
        self._again: deque[Telling] = deque()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Watchman of {sorted(self.parts)}, {self._flying} on their way>"

    @property
    def open_workflows(self) -> int:
        """Workflows that are open in our partitions: what our memory grows with."""
        return sum(len(post.beat.ledger.members) for post in self.parts.values())

    @property
    def is_told(self) -> bool:
        """Whether all that was found is acknowledged."""
        return not self._flying

    @property
    def _is_full(self) -> bool:
        return self._flying >= MAX_FLYING or len(self.inquiries) >= MAX_ASKED

    def settled(self) -> Mapping[int, int]:
        """Return the offset up to which each partition of `M.audit` is done."""
        ready = (post for post in self.parts.values() if post.ready.is_set())
        return {post.partition: post.settled for post in ready}

    def lag(self) -> Mapping[int, int]:
        """Return how many records of each partition are yet to be judged, as of the last look."""
        return {post.partition: max(0, post.end - post.beat.next) for post in self.parts.values()}

    def restoring(self) -> Mapping[int, Progress]:
        """Return the partitions that are not watched yet, and how far each is."""
        waiting = (post for post in self.parts.values() if not post.ready.is_set())
        return {post.partition: Progress(post.beat.next, post.until) for post in waiting}

    async def start(self) -> None:
        """Read the policy that holds and the orders that were given; call it before `take`.

        Raises:
            WrongTopic: A topic is missing.
            TransportError: The log cannot be read.
        """
        await self.responder.start()

    async def close(self) -> None:
        """Read no more; call it when all was given up."""
        await self.responder.close()

    def _policy_changed(self) -> None:
        """Judge by the limits of a new policy from here on."""
        for post in self.parts.values():
            post.beat.watch.limits = self.responder.limits

    # --- partitions -----------------------------------------------------------------------------

    def take(self, partition: int, first: int) -> Coroutine[None, None, None]:
        """Own a partition from now on; what is returned reads what must be known of it.

        `first` is the offset that was committed for it, 0 for none. Call and await in one, or give
        records meanwhile.

        Raises:
            TransportError: The log cannot be read; the partition is not taken. From the awaiting.
        """
        self.give_up(partition)
        place = Place(self._standing, partition)
        told = partial(self._standing_told, partition)
        register = Register(self._log, place, told, skips_newer=self._skips_newer)
        post = self.parts[partition] = Post(partition, self.responder, register)
        return self._take(post, first)

    async def _take(self, post: Post, first: int) -> None:
        try:
            ends = await self._log.ends(self._audit)
            if post.partition not in ends:
                raise WrongTopic(f"{self._audit} has no partition {post.partition} any more")
            low, high = ends[post.partition]
            note = await read_note(self._log, Place(self._open, post.partition))
            written = (await self._log.ends(self._standing))[post.partition][1]
            known = await post.register.restore(written, high)
            # without any standing there is no place to begin but the first
            header = within(
                note if known else BEGINNING, low, high, f"{self._audit}[{post.partition}]"
            )
            if not known:
                post.register.accounts.since = header.offset
            post.beat = Beat(header, self.responder.limits, self.responder.lifts)
            post.first = max(header.offset, min(first, high))
            post.end, post.noted, post.committed = high, header.offset, min(first, high)
            await self._restore(post)
            while post.beat.next < post.given and not post.gone:
                await self._catch_up(post, post.given)
            post.ready.set()
        except (NewerSchema, UsageError) as error:
            self._fail(error)
        finally:
            if not post.ready.is_set():
                self._drop(post)

    async def settle(self, timeout_s: float) -> bool:
        """Wait until all that was found is told; False if that takes too long.

        The agents' standing is written then, and where to begin, so that who comes next reads
        little.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while any(own.dues or not own.register.is_settled for own in self.parts.values()):
                    for post in tuple(self.parts.values()):
                        post.register.write_all()
                    await self._change()
                for post in tuple(self.parts.values()):
                    self._note(post, least=1)
                while self._flying:
                    await self._change()
        except TimeoutError:
            return False
        return True

    def _drop(self, post: Post) -> None:
        post.gone = True
        post.ready.set()
        post.dues.clear()
        if self.parts.get(post.partition) is post:
            del self.parts[post.partition]
        self._changed.set()

    # --- restoring ------------------------------------------------------------------------------

    async def _restore(self, post: Post) -> None:
        """Fold what lies before the committed offset; tell what is found of what is still open."""
        beat, held, said = post.beat, list[Finding](), post.beat.next
        first = max(0, said - RECALLED)
        if first < post.first:
            _log.info("%s[%d]: reading %d to %d", self._audit, post.partition, first, post.first)
            place = Place(self._audit, post.partition)
            async with aclosing(self._log.scan(place, first, post.first)) as batches:
                async for batch in batches:
                    held += self._restored(post, batch)
                    held = [own for own in held if beat.is_open(own.workflow)]
                    if beat.next >= said + TOLD_EVERY:
                        said = beat.next
                        where = (self._audit, post.partition, said, post.first)
                        _log.info("%s[%d]: at %d of %d", *where)
                    await asyncio.sleep(0)  # what is there already would come without a pause
                    if post.gone:
                        return
        beat.next = max(beat.next, post.first)
        told = await self.responder.told({own.workflow for own in held}) if held else {}
        for finding in held:
            known = told.get(finding.id)
            if known is None:
                self._tell(post, finding, None)
            elif known.response == Response.HALT:
                self._halt(post, post.cases.add(known, finding.at))

    def _restored(self, post: Post, batch: Sequence[Incoming]) -> Sequence[Finding]:
        found: list[Finding] = []
        for record in batch:
            if post.gone:
                break
            if record.offset < post.beat.next:
                _recall(post.beat, record)
            else:
                found += self._judged(post, record)
        post.beat.watch.asked()  # it was answered before the commit
        return found

    # --- watching -------------------------------------------------------------------------------

    async def see(self, record: Incoming) -> None:
        """Judge a record of `M.audit`, in the order of its partition.

        Waits where too much is on its way, and not for a partition that is restored: what is given
        meanwhile is read from the log afterwards, and so is what is missing between two. A repeat
        is dropped, and so is one of a partition that is not ours.
        """
        post = self.parts.get(record.partition)
        if post is None:
            return
        if not post.ready.is_set():
            post.given = record.offset + 1
            return
        if record.offset > post.beat.next:
            await self._catch_up(post, record.offset)
        await self._see(post, record)

    async def _catch_up(self, post: Post, end: int) -> None:
        """Judge what was not given to us; it may be none, for a log can have holes."""
        place = Place(self._audit, post.partition)
        async with aclosing(self._log.scan(place, post.beat.next, end)) as batches:
            async for batch in batches:
                for record in batch:
                    await self._see(post, record)
                await asyncio.sleep(0)  # as above
                if post.gone:
                    return

    async def _see(self, post: Post, record: Incoming) -> None:
        while self._is_full and not post.gone:
            await self._change()
        if post.gone or record.offset < post.beat.next:
            return
        found = self._judged(post, record)
        asked = post.beat.watch.asked()
        if (found or asked) and not post.gone:
            due = Due(record.offset)
            post.dues.append(due)
            for finding in found:
                self._tell(post, finding, due)
            for inquiry in asked:
                due.left += 1
                self.inquiries.append(Asked(post, inquiry, due))
            post.pop_settled()

    def _judged(self, post: Post, record: Incoming) -> Sequence[Finding]:
        """Fold a record; return what is found by it."""
        try:
            fact = read_fact(record)
        except WireError as error:
            if isinstance(error, NewerSchema) and not self._skips_newer:
                self._fail(error)
            else:
                self._pass_over(post, record, error)
            return ()
        void, found = post.beat.add(fact)
        post.register.see(fact, post.beat.ledger, void)
        self.facts += 1
        self.void += bool(void)
        for finding in found:
            self.findings[finding.kind] += 1
            _log.warning("%s in %s: %s", finding.kind, finding.workflow, finding.text)
        return found

    def _pass_over(self, post: Post, record: Incoming, error: WireError) -> None:
        self.unreadable += 1
        _log.warning("%s[%d]@%d is no fact: %s", *record[:3], error)
        post.beat.skip(record.offset, record.append_ms)

    # --- telling --------------------------------------------------------------------------------

    def _tell(self, post: Post, finding: Finding, due: Due | None) -> None:
        """Put a finding on the incidents' topic; `due` waits for it."""
        incident = self.responder.responses.answered(finding.incident(post.partition))
        try:
            value = encode_entry(incident)
        except WireError:
            _log.exception("a finding about %s fits into no record", finding.workflow)
            self.untold += 1
            return
        key = finding.workflow.encode()
        halts = (incident, finding.at) if incident.response == Response.HALT else None
        self._append(Telling(post, Place(self._incidents, -1), key, value, due, halts))

    def _order(self, post: Post, incident: Incident, at: int) -> HaltOrder | None:
        """Return the order that an incident leads to; its workflow may be another's to watch."""
        if audit_partition_of(incident.workflow) == post.partition:
            return post.cases.add(incident, at)
        return halt_for(incident, at, self.responder.halts)

    def _halt(self, post: Post, order: HaltOrder | None, due: Due | None = None) -> None:
        """Give an order that is due; `due` waits for it."""
        if order is None or post.gone:
            return
        _log.warning("%s is halted: %s", order.target, order.because)
        place = Place(self._control, 0)
        self._append(Telling(post, place, order.target.encode(), encode_entry(order), due))

    def _was_lifted(self, workflow: str) -> None:
        """Halt a workflow again for what its lifter had not seen."""
        for post in tuple(self.parts.values()):
            self._halt(post, post.cases.again(workflow))

    def tell(
        self,
        partition: int,
        incident: Incident,
        key: str,
        *,
        at: int | None = None,
        due: Due | None = None,
    ) -> None:
        """Put on the incidents' topic what was found with more than one partition in view.

        Args:
            partition: Its owner tells it; if that is not ours any more, nobody does.
            incident: What was found; one that was told already is answered as it was then.
            key: Of the record: the workflow, or what else it is about.
            at: The offset of the fact by which it was found, in its workflow's partition; None if
                the workflow has ended, and cannot be halted.
            due: Waits for it.
        """
        post = self.parts.get(partition)
        if post is None:
            return
        self.findings[incident.kind] += 1
        _log.warning("%s in %s: %s", incident.kind, key, incident.text)
        if not incident.response:
            incident = self.responder.responses.answered(incident)
        try:
            value = encode_entry(incident)
        except WireError:
            _log.exception("a finding about %s fits into no record", key)
            self.untold += 1
            return
        halts = (incident, at) if at is not None and incident.response == Response.HALT else None
        place = Place(self._incidents, -1)
        self._append(Telling(post, place, key.encode(), value, due, halts))

    def answer(self, asked: Asked, incident: Incident | None) -> None:
        """Take the answer to one of `inquiries`; what led to it may be committed then."""
        post, due = asked.post, asked.due
        if incident is not None and not post.gone:
            at = asked.inquiry.offset
            self.tell(post.partition, incident, incident.workflow, at=at, due=due)
        due.left -= 1
        post.pop_settled()
        self._put_note(post)
        self._changed.set()

    def _append(self, telling: Telling) -> None:
        self._flying += 1
        if telling.due is not None:
            telling.due.left += 1
        try:
            report = partial(self._reported, telling)
            self._log.append(telling.place, telling.key, telling.value, (), report)
        except TransportError as error:
            self._unknown(telling, str(error))

    def _reported(self, telling: Telling, report: Report) -> None:
        if report.error is not None:
            self._unknown(telling, report.error)
            return
        if telling.halts is not None:
            self._halt(telling.post, self._order(telling.post, *telling.halts), telling.due)
        self._landed(telling)
        self.told += telling.place.topic == self._incidents
        self.halted += telling.place.topic == self._control

    def _unknown(self, telling: Telling, why: str) -> None:
        """Make an append again, at the next look; its record stays due until then."""
        failure = self._log.failure()
        if failure is not None:
            self._landed(telling)
            self._fail(failure)
        elif telling.post.gone:
            self._landed(telling)
        else:
            _log.warning("appending again: %s", why)
            self._again.append(telling)

    def _landed(self, telling: Telling) -> None:
        """Count an append that is on its way no more."""
        self._flying -= 1
        if telling.due is not None:
            telling.due.left -= 1
            telling.post.pop_settled()
        self._put_note(telling.post)
        self._changed.set()

    def _standing_told(self, partition: int, problem: str) -> None:
        """Hear that an entry of `M.standing` was acknowledged, or why not."""
        post, failure = self.parts.get(partition), self._log.failure()
        if problem and failure is not None:
            self._fail(failure)
        elif post is not None:
            self._put_note(post)
        self._changed.set()

    # --- now and then ---------------------------------------------------------------------------

    async def look(self) -> None:
        """Make again what is uncertain, measure the lag, note where to begin; twice a second.

        Raises:
            TransportError: The log cannot be asked just now; the next look does.
        """
        again, self._again = self._again, deque()
        for telling in again:
            self._flying -= 1
            if telling.due is not None:
                telling.due.left -= 1
            if not telling.post.gone:
                self.repeated += 1
                self._append(telling)
        if not self.parts:
            return
        ends = await self._log.ends(self._audit)
        for post in tuple(self.parts.values()):
            post.end = ends[post.partition][1] if post.partition in ends else post.end
            self._note(post, least=NOTE_EVERY)
        await self._look_at_standing()

    async def _look_at_standing(self) -> None:
        ready = [post for post in self.parts.values() if post.ready.is_set()]
        ends = await self._log.ends(self._standing)
        for post in ready:
            try:
                await post.register.review(ends[post.partition][1])
            except NewerSchema as error:
                self._fail(error)
            if not post.gone:
                post.register.write(max(1, WRITES // len(ready)))

    def _note(self, post: Post, *, least: int) -> None:
        """Have it noted where to begin, if that is so many records further than it was."""
        if not post.ready.is_set() or post.gone:
            return
        header = post.beat.begin()
        if post.note is None and header.offset >= post.noted + least:
            post.note, post.note_at = header, post.beat.next
        self._put_note(post)

    def _put_note(self, post: Post) -> None:
        """Write down where to begin, once everything before the time of asking is settled."""
        header = post.note
        if header is None or post.gone or post.done < post.note_at:
            return
        post.note, post.noted = None, header.offset
        try:
            value = encode_note(post.partition, header)
        except WireError as error:
            _log.warning("who comes next reads more than it must: %s", error)
            return
        place = Place(self._open, post.partition)
        self._append(Telling(post, place, note_key(post.partition), value))

    async def _change(self) -> None:
        """Wait until something was acknowledged or dropped."""
        self._changed.clear()
        await self._changed.wait()


def _recall(beat: Beat, record: Incoming) -> None:
    """Show a record that stands before the beginning."""
    with suppress(WireError):
        beat.recall(read_fact(record))
