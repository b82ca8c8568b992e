"""Keeps shared state: judges what is proposed, and writes what it comes to. It works on any log.

The owner of a `Keeper` tells it which partitions are its own and gives it their changes::

    keeper = Keeper(log, mesh, me, await check_topics(log, mesh), failed=...)
    await keeper.take(partition, first)   # `first`: the committed offset; reads M.state to its end
    await keeper.judge(record)            # one after the other; waits where too much is on its way
    keeper.commits()                      # {partition: offset} to commit; then `committed(...)`
    await keeper.look()                   # every half second: what others wrote, what failed
    await keeper.settle(timeout_s)        # before giving up in peace: what is on its way is told
    keeper.give_up(partition)             # what comes later of it is dropped

**Order of effects.** For each change its entries are appended to `M.state`; when they are
acknowledged, and those of all changes before it, its verdict goes to the writer's inbox; then its
offset may be committed. Judging goes on meanwhile: the view is ahead of the log, and nobody is told
of what the log does not hold. An append whose outcome is unknown is made again until it is
acknowledged: the highest version of a key wins, so a second copy changes nothing. Nothing of its
partition is judged meanwhile, and what failed is appended in its order, one at a time: an entry of
a later change that stood before it would tell the next owner that it was written.

**What others write.** A worker that was replaced writes what its successor writes too, at most
later: then an older entry follows a newer one, and compaction would keep the older. So every offset
of `M.state` is accounted for. `look` reads those that are not our own, and the newer entry is
appended again.

Changes come in order, each at least once. A repeat is dropped; what is missing between two is read
from the log here, so the result does not rest on whoever fetches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache, partial

from mesh.core.messages import Envelope, judged
from mesh.core.shared import Change, Entry, Judgement, RulesEntry
from mesh.core.values import Holder, Inbox
from mesh.errors import MeshError, NewerSchema, TransportError, UsageError, WireError, WrongTopic
from mesh.ports import Incoming, Log, Place, Report
from mesh.processor.inputs import read_kept, read_proposal, view_of
from mesh.processor.owner import Owner
from mesh.processor.part import Append, Due, Part, Span
from mesh.wire import topics
from mesh.wire.entries import dead_letter, encode_entry
from mesh.wire.messages import encode_envelope
from mesh.wire.state import RULES_KEY, encode_kept, kept_key

MAX_DUE = 4_000
"""Changes judged and not settled: two round trips' worth of a busy worker, and little to repeat."""
MAX_FLYING_BYTES = 16 * 1024 * 1024
"""Of appends without a report: a quarter of what the log takes before it refuses."""
AGAIN_S = 0.5
"""Until an append that failed is made again, if nobody looks sooner."""
MAX_TELLING = 20_000
"""Verdicts without a report: an inbox whose broker is away must not fill the whole log's queue."""
NOWHERE = Inbox("", 0)
"""Where the processor reads messages: it reads none."""

_log = logging.getLogger(__name__)


class Keeper(Owner[Part]):
    """Mutable: the partitions of shared state that this worker owns.

    Args:
        log: Where to read and append; opened, and closed, by the caller.
        mesh: The mesh's name.
        me: Who judges; the sender of the verdicts.
        partitions: How many shared state has; from `check_topics`.
        failed: Told why nothing can go on: the log is over, or a newer release wrote something.
        skips_newer: Make dead letters of what a newer release seems to have written.
    """

    def __init__(
        self,
        log: Log,
        mesh: str,
        me: Holder,
        partitions: int,
        *,
        failed: Callable[[MeshError], None],
        skips_newer: bool = False,
    ) -> None:
        super().__init__(failed)
        self.verdicts: Counter[str] = Counter()
        self.dead_letters = 0
        self.healed = 0
        """Entries that were appended again because somebody's older one followed them."""
        self.repeated = 0
        """Appends that were made again because their outcome was unknown."""
        self.untold = 0
        """Verdicts that had nowhere to go: no inbox of this mesh, or no room in the log."""
        self._log = log
        self._mesh = mesh
        self._me = me
        self._partitions = partitions
        self._skips_newer = skips_newer
        self._changes = topics.changes(mesh)
        self._state = topics.state(mesh)
        self._letters = topics.dead_letters(mesh)
        self._due = 0
        self._flying_bytes = 0
        self._telling = 0
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<Keeper of {sorted(self.parts)}, {self._due} due>"

    @property
    def due(self) -> int:
        """Changes that were judged and are not settled."""
        return self._due

    @property
    def _is_full(self) -> bool:
        return self._due >= MAX_DUE or self._flying_bytes >= MAX_FLYING_BYTES

    def settled(self) -> Mapping[int, int]:
        """Return the offset up to which each partition of `M.changes` is done."""
        return {number: part.settled for number, part in self.parts.items()}

    # --- partitions -----------------------------------------------------------------------------

    def take(self, partition: int, first: int) -> Coroutine[None, None, None]:
        """Own a partition from now on; what is returned reads what is kept of it.

        `first` is the committed offset, asked for before: everything below it is settled, so it is
        in `M.state` by now. Changes that are given meanwhile are read from the log afterwards: who
        fetches must not wait, for the group would take that for a death.

        Raises:
            TransportError: The log cannot be read; the partition is not taken.
        """
        self.give_up(partition)
        view = view_of(partition, self._partitions)
        part = self.parts[partition] = Part(partition, first, view)
        return self._open(part)

    async def _open(self, part: Part) -> None:
        try:
            ends = await self._log.ends(self._state)
            if part.partition not in ends:
                raise WrongTopic(f"{self._state} has no partition {part.partition} any more")
            part.read, part.end = ends[part.partition]
            part.edge = part.end
            await self._review(part, Span(part.read, part.end))
            part.read = part.end
            if lost := await self._lost(part):
                self._fail(UsageError(lost))
            while part.next < part.given and not part.gone:
                await self._catch_up(part, part.given)
                while part.unsure and not part.gone:
                    await self._moved()
            part.ready = not part.gone
        finally:
            if not part.ready:
                self._drop(part)

    async def _lost(self, part: Part) -> str:
        """Say that `M.changes` ends before what is judged already, so that it is another log."""
        known = max(part.view.through + 1, part.settled)
        _, high = (await self._log.ends(self._changes)).get(part.partition, (0, 0))
        if known <= high:
            return ""
        return (
            f"{self._changes}[{part.partition}] ends at offset {high}, and what stood below "
            f"{known} was judged: the topic was deleted and created again, and new changes would "
            f"be taken for old ones. Restore it; or, to begin anew without what {self._state} "
            f"holds, delete both, and run `mesh topics apply` with no processor running"
        )

    async def settle(self, timeout_s: float) -> bool:
        """Wait until every change that was judged is settled; False if that takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._due:
                    await self._moved()
        except TimeoutError:
            return False
        return True

    def _drop(self, part: Part) -> None:
        part.gone = True
        self._due -= len(part.dues)
        part.dues.clear()
        if self.parts.get(part.partition) is part:
            del self.parts[part.partition]
        self._wake()

    # --- judging --------------------------------------------------------------------------------

    async def judge(self, record: Incoming) -> None:
        """Judge a record of `M.changes`, in the order of its partition.

        Waits while too much is on its way. One of a partition that is not ours is dropped, and one
        of a partition that is being read, or where an append failed, is read from the log again.
        """
        part = self.parts.get(record.partition)
        if part is None:
            return
        part.given = max(part.given, record.offset + 1)
        part.behind |= bool(part.unsure)
        if not part.ready or part.unsure:
            return
        if record.offset > part.next:
            await self._catch_up(part, record.offset)
        if record.offset <= part.next:
            await self._judge(part, record)

    async def _catch_up(self, part: Part, end: int) -> None:
        """Judge what is read from the log; it may be nothing, for a log can have holes."""
        _log.info("%s[%d]: reading %d to %d", self._changes, part.partition, part.next, end)
        place = Place(self._changes, part.partition)
        async with aclosing(self._log.scan(place, part.next, end)) as batches:
            async for batch in batches:
                for record in batch:
                    await self._judge(part, record)
                    if part.unsure:
                        part.behind = True
                        return
                if part.gone:
                    return
        part.next = max(part.next, end)

    async def _judge(self, part: Part, record: Incoming) -> None:
        while self._is_full and not part.gone:
            await self._moved()
        if part.gone or part.unsure or self._over or record.offset < part.next:
            return
        part.next = record.offset + 1
        try:
            due = self._weigh(part, record)
        except (NewerSchema, TransportError) as error:
            self._fail(error)
            return
        if not due.left and part.dues[0] is due:
            self._settle(part)

    def _weigh(self, part: Part, record: Incoming) -> Due:
        """Judge a record, and append what it comes to."""
        try:
            proposal = read_proposal(record, self._partitions)
        except NewerSchema as error:
            if not self._skips_newer:
                raise
            return self._put_aside(part, record, str(error))
        except WireError as error:
            return self._put_aside(part, record, str(error))
        judgement = part.view.judge(proposal, record.offset, record.append_ms)
        due = self._add(part, record, proposal if isinstance(proposal, Change) else None, judgement)
        if judgement is not None:
            for kept in judgement.written:
                self._write(part, kept, due)
        return due

    def _add(
        self, part: Part, record: Incoming, change: Change | None, judgement: Judgement | None
    ) -> Due:
        due = Due(record.offset, change, judgement)
        part.dues.append(due)
        self._due += 1
        return due

    def _put_aside(self, part: Part, record: Incoming, reason: str) -> Due:
        """Make a dead letter of a record; it is settled when that is acknowledged."""
        _log.warning(
            "dead letter: %s[%d]@%d: %s", record.topic, record.partition, record.offset, reason
        )
        self.dead_letters += 1
        due = self._add(part, record, None, None)
        letter = dead_letter(record, reason, self._me.instance)
        place = Place(self._letters, -1)
        self._append(Append(part, place, letter.key, encode_entry(letter), due, None))
        return due

    def _settle(self, part: Part) -> None:
        """Tell the verdicts that are due, in order; their offsets may then be committed."""
        dues = part.dues
        while dues and not dues[0].left:
            due = dues.popleft()
            self._due -= 1
            if due.judgement is not None:
                self.verdicts[due.judgement.verdict] += 1
                if due.change is not None:
                    self._tell(due.change, due.offset, due.judgement)
            part.settled = due.offset + 1
        self._wake()

    def _tell(self, change: Change, offset: int, judgement: Judgement) -> None:
        """Send a verdict: a hint, so it may be lost; whoever misses it sends the change again."""
        if self._telling >= MAX_TELLING or not _is_inbox(self._mesh, change.inbox.topic):
            self.untold += 1
            return
        content = judged(change, offset, judgement)
        envelope = Envelope(to=change.by, sender=self._me, sender_inbox=NOWHERE, content=content)
        place, key = Place(*change.inbox), change.by.instance.encode()
        try:
            self._log.append(place, key, encode_envelope(envelope), (), self._told)
        except (TransportError, WireError) as error:
            _log.warning("the verdict on %s was not told: %s", change.change, error)
            self.untold += 1
        else:
            self._telling += 1

    def _told(self, report: Report) -> None:
        self._telling -= 1
        self.untold += report.error is not None

    # --- writing --------------------------------------------------------------------------------

    def _write(self, part: Part, kept: Entry | RulesEntry, due: Due | None) -> None:
        place = Place(self._state, part.partition)
        self._append(Append(part, place, kept_key(kept), encode_kept(kept), due, kept))

    def _append(self, append: Append) -> None:
        append.part.flying += 1
        self._flying_bytes += len(append.value)
        if append.due is not None:
            append.due.left += 1
        report = partial(self._reported, append)
        self._log.append(append.place, append.key, append.value, (), report)

    def _reported(self, append: Append, report: Report) -> None:
        part, due = append.part, append.due
        part.flying -= 1
        self._flying_bytes -= len(append.value)
        if due is not None:
            due.left -= 1
        if report.error is not None:
            self._unknown(append, report.error)
            return
        if append.again:
            part.unsure -= 1
            self._repeat(part)
        if append.kept is not None and not part.gone:
            self._landed(part, append.kept, report.offset)
        if due is None or part.gone:
            self._wake()
        elif not due.left and part.dues[0] is due:
            self._settle(part)

    def _landed(self, part: Part, kept: Entry | RulesEntry, offset: int) -> None:
        """Take an entry of our own as read; follow it by the latest, if it came too late."""
        part.landed(offset)
        latest = part.view.restore(kept)
        if latest is not None:
            self.healed += 1
            self._write(part, latest, None)

    def _unknown(self, append: Append, why: str) -> None:
        """Make an append again, at the next look; its change stays due until then."""
        part, failure = append.part, self._log.failure()
        if failure is not None:
            self._fail(failure)
        elif not part.gone:
            _log.warning("appending again: %s", why)
            if append.due is not None:
                append.due.left += 1
            if append.again:
                part.again.appendleft(append)
            else:
                append.again = True
                part.unsure += 1
                part.again.append(append)
            # whoever looks may be waiting for this very one
            asyncio.get_running_loop().call_later(AGAIN_S, self._repeat, part)

    # --- what others wrote ----------------------------------------------------------------------

    async def look(self) -> None:
        """See what others wrote, and make again what is uncertain; call it twice a second.

        Raises:
            TransportError: The log cannot be read just now; the next look sees it too.
        """
        for part in tuple(self.parts.values()):
            self._repeat(part)
        if not self.parts:
            return
        ends = await self._log.ends(self._state)
        for part in tuple(self.parts.values()):
            if part.ready and part.partition in ends and not part.unsure:
                part.extends_to(ends[part.partition][1])
                while part.foreign and not part.gone:
                    await self._review(part, part.foreign[0])
                    part.foreign.popleft()
                self._heal(part)
                if part.behind and not part.unsure:
                    part.behind = False
                    await self._catch_up(part, part.given)

    def _repeat(self, part: Part) -> None:
        """Append again what comes first of what failed, once nothing else is on its way."""
        if part.gone or part.flying or not part.again:
            return
        append = part.again.popleft()
        if append.due is not None:
            append.due.left -= 1
        self.repeated += 1
        try:
            self._append(append)
        except TransportError as error:
            self._fail(error)

    async def _review(self, part: Part, span: Span) -> None:
        """Read what is kept, and append again what an older entry followed."""
        if span.first < span.end:
            place = Place(self._state, part.partition)
            async with aclosing(self._log.scan(place, span.first, span.end)) as batches:
                async for batch in batches:
                    self._restore(part, batch)
                    if part.gone:
                        return
        self._heal(part)

    def _restore(self, part: Part, batch: Sequence[Incoming]) -> None:
        """Take what is kept; `part.stale` are the keys that an older entry may have the end of."""
        for record in () if part.gone else batch:
            try:
                kept = read_kept(record)
            except NewerSchema as error:
                self._fail(error)
                return
            except WireError as error:
                _log.warning("%s[%d]@%d: %s", self._state, record.partition, record.offset, error)
                part.stale.add(record.key or b"")
                continue
            # what somebody else wrote ahead of us may stand before an older one of ours, which was
            # on its way: where a span was read late, only the latest once more is sure to be last
            ahead = part.ready and part.is_behind(kept)
            if part.view.restore(kept) is None and not ahead:
                part.stale.discard(kept_key(kept))
            else:
                part.stale.add(kept_key(kept))
            part.read = max(part.read, record.offset + 1)

    def _heal(self, part: Part) -> None:
        """Append again what an older entry, or none that can be read, followed."""
        if part.unsure:
            return  # nothing may pass what failed; the next look does it
        stale, part.stale = part.stale, set()
        try:
            for key in sorted(stale):
                self.healed += self._renew(part, key)
        except TransportError as error:
            self._fail(error)

    def _renew(self, part: Part, key: bytes) -> bool:
        """Append the latest under a key; tell whether there is one."""
        kept: Entry | RulesEntry | None = part.view.entries.get(key.decode(errors="replace"))
        if key == RULES_KEY and part.view.rules.source >= 0:
            kept = part.view.rules
        if kept is not None:
            self._write(part, kept, None)
        return kept is not None

    # --- waiting --------------------------------------------------------------------------------

    async def _moved(self) -> None:
        """Wait until something was acknowledged or dropped."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)


@lru_cache(1_024)
def _is_inbox(mesh: str, topic: str) -> bool:
    """Tell whether a verdict may go there: a change must not make us write anywhere else."""
    parsed = topics.parse(topic)
    return parsed is not None and parsed.mesh == mesh and parsed.kind is topics.Kind.INBOX
