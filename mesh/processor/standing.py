"""Writes standing: what one audit partition tells of the agents, on `M.standing`.

`mesh.core.accounts` folds it, and says what it needs to begin again in the middle. This sees to it:
`clean` is the offset up to which every change is in an acknowledged entry, and nothing behind it is
noted as a place to begin.

Entries are written now and then, the agent that changed first before the others, and so many in a
second at most, for every instance of the mesh reads them. Partition P of `M.standing` is what
partition P of the audit stream tells, so its owner is the only one that writes there, but for a
worker that was replaced and writes on. Readers keep the entry with the highest version. But the
topic is compacted: so the owner reads what stands there last, and where that is older than what
was written, it writes the later one again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial

from mesh.core.accounts import Accounts
from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.standing import Latest, Standing
from mesh.errors import NewerSchema, TransportError, UsageError, WireError
from mesh.ports import Incoming, Log, Place, Report
from mesh.processor.inputs import read_standing
from mesh.wire.entries import encode_entry

WRITES = 50
"""Entries that a worker writes at one look, of which there are two in a second: all are read by
every instance, whatever the number of agents; where more than 100 change, they take turns."""
NEVER = 2**62

_log = logging.getLogger(__name__)


class Register:
    """Mutable: the standing of one audit partition, and what of it is written.

    Args:
        log: Where to read and append.
        place: The partition of `M.standing`.
        told: Called with "" when an entry was acknowledged, else with what is wrong.
        skips_newer: Pass over what a newer release wrote.
    """

    def __init__(
        self, log: Log, place: Place, told: Callable[[str], None], *, skips_newer: bool = False
    ) -> None:
        self.accounts = Accounts(place.partition)
        self.written = 0
        """Entries that were acknowledged."""
        self.healed = 0
        """Entries that were written again because an older one followed them."""
        self._log = log
        self._place = place
        self._told = told
        self._skips_newer = skips_newer
        self._dirty: dict[str, int] = {}
        self._flying: dict[str, int] = {}
        self._rest: set[str] = set()
        self._kept: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._landed: set[int] = set()
        self._next = 0

    def __repr__(self) -> str:
        return f"<Register of {self._place.partition}, {len(self._dirty)} to be written>"

    async def restore(self, end: int, audit_end: int) -> int:
        """Take what is written; return its highest version, 0 if there is nothing.

        The ends are those of the partitions of `M.standing` and of the audit stream.

        Raises:
            TransportError: The log cannot be read.
            NewerSchema: A newer release wrote an entry, and it is not to be passed over.
            UsageError: It tells of what the audit stream does not have.
        """
        highest = Latest()
        async for own in self._read(end):
            highest.see(own)
        self.accounts.restore(highest.entries)
        self._kept = {own.agent: own.version for own in highest.entries}
        self._heal()
        known = max(self._kept.values(), default=0)
        if known > audit_end:
            topic, partition = self._place
            raise UsageError(
                f"partition {partition} of the audit stream ends at offset {audit_end}, and "
                f"{topic} tells of what stood below {known}: the audit stream was deleted and "
                f"created again. Restore it; or, to begin anew without what agents have done, "
                f"delete {topic}, and run `mesh topics apply` with no processor running"
            )
        return known

    def see(self, record: Record, ledger: Ledger, void: str) -> None:
        """Fold a record that the ledger has just judged."""
        for agent in self.accounts.see(record, ledger, void):
            self._dirty.setdefault(agent, record.offset)

    def clean(self, end: int) -> int:
        """Return the offset up to which all is written, of what was folded up to `end`."""
        return min(end, *self._dirty.values(), *self._flying.values(), NEVER)

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing is to be written, or on its way."""
        return not self._dirty and not self._flying

    def write(self, most: int) -> None:
        """Write the entries of so many agents that changed, unless they were written just now."""
        rest, self._rest = self._rest, set()
        due = [own for own in self._dirty if own not in self._flying and own not in rest]
        for agent in due[:most]:
            self._rest.add(agent)
            self._write(agent)

    def write_all(self) -> None:
        """Write the entries of all agents that changed, but those that are on their way."""
        for agent in [own for own in self._dirty if own not in self._flying]:
            self._write(agent)

    def _write(self, agent: str) -> None:
        standing = self.accounts.standing(agent)
        try:
            value = encode_entry(standing)
        except WireError:
            _log.exception("the standing of %s fits into no record", agent)
            del self._dirty[agent]
            return
        self._flying[agent] = self._dirty.pop(agent)
        try:
            report = partial(self._reported, agent, standing.version)
            self._log.append(self._place, agent.encode(), value, (), report)
        except TransportError as error:
            self._again(agent, str(error))

    def _reported(self, agent: str, version: int, report: Report) -> None:
        if report.error is not None:
            self._again(agent, report.error)
            return
        del self._flying[agent]
        self.written += 1
        self._landed.add(report.offset)
        self._kept[agent] = max(version, self._kept.get(agent, 0))
        self._told("")

    def _again(self, agent: str, why: str) -> None:
        """Have an entry written again: with its outcome unknown, it may be there twice."""
        first = self._flying.pop(agent)
        self._dirty[agent] = min(first, self._dirty.get(agent, first))
        self._told(why)

    # --- what others wrote ----------------------------------------------------------------------

    async def review(self, end: int) -> None:
        """Read what others wrote up to `end`, and have again what an older entry followed.

        What is on its way cannot be told from what others write: then the next call does it.

        Raises:
            TransportError: The log cannot be read.
            NewerSchema: As for `restore`.
        """
        if self._flying:
            return
        ours = sum(self._next <= offset < end for offset in self._landed)
        if ours == end - self._next:
            self._next = end
        async for _ in self._read(end):
            pass
        self._landed.clear()
        self._heal()

    def _heal(self) -> None:
        for agent, last in self._last.items():
            busy = agent in self._dirty or agent in self._flying
            if last < self._kept.get(agent, 0) and not busy:
                self.healed += 1
                self._dirty[agent] = NEVER
        self._last = {}

    async def _read(self, end: int) -> AsyncIterator[Standing]:
        """Yield the entries that were not read yet, and note which stands last under each key."""
        if self._next >= end:
            return
        async with aclosing(self._log.scan(self._place, self._next, end)) as batches:
            async for batch in batches:
                for record in batch:
                    own = self._entry(record)
                    agent = (record.key or b"").decode(errors="replace")
                    self._last[agent] = -1 if own is None else own.version
                    if own is not None:
                        yield own
        self._next = end

    def _entry(self, record: Incoming) -> Standing | None:
        """Return the entry that a record holds, None if it is none."""
        try:
            return read_standing(record)
        except NewerSchema as error:
            if not self._skips_newer:
                raise
            _log.warning("standing: %s", error)
        except WireError as error:
            _log.warning("%s[%d]@%d is no standing: %s", *record[:3], error)
        return None
