"""Standing for the command line: what is written of it, and whether the log makes the same.

The check is a plain loop over the audit stream, without the processor and what it keeps: it folds
each partition from its beginning, and at the offset that an entry of `M.standing` names, the fold
must tell the same of its agent, figure for figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.cli.output import Out
from mesh.cli.reading import AuditReader, compacted
from mesh.config import Config
from mesh.core.accounts import Accounts
from mesh.core.ledger import Ledger
from mesh.core.standing import UNIT, Latest, Standing, Tally, permille
from mesh.errors import WireError, WrongTopic
from mesh.ports import Log, Place
from mesh.processor.notes import read_note
from mesh.telling import words
from mesh.wire import topics
from mesh.wire.entries import decode_standing

ENDS = {
    "finished": "finished",
    "failed": "failed",
    "rejected": "sent back",
    "lapsed": "lapsed (died or too late)",
    "refused": "refused (cannot be served)",
    "declined": "declined",
}
"""What may come of an award, in words."""


async def read_standings(log: Log, config: Config, out: Out) -> Latest:
    """Read `M.standing` to its end; a mesh that has none yet is said."""
    found = Latest()
    try:
        async for incoming in compacted(log, topics.standing(config.mesh), config):
            try:
                found.see(decode_standing(incoming.value))
            except WireError as error:
                where = f"{incoming.partition}/{incoming.offset}"
                out.complain(f"the standing at {where} cannot be read: {error}")
    except WrongTopic:
        missing = topics.standing(config.mesh)
        out.complain(f"there is no topic {missing}: `mesh topics apply` creates it")
    return found


# --- shown --------------------------------------------------------------------------------------


def shape(tally: Tally) -> dict[str, Any]:
    """Return what an agent did at one capability, for scripts."""
    figures = {name: figure for name, figure in tally._asdict().items() if name != "version"}
    figures["good"], figures["bad"] = _weight(tally.good), _weight(tally.bad)
    return figures | {"standing": permille(tally.good, tally.bad) / 1_000}


def _weight(weight: int) -> float:
    return round(weight / UNIT, 2)


def brief(tallies: Sequence[Tally], capabilities: Sequence[str]) -> str:
    """Return an agent's standing at each of its capabilities, in their order."""
    known = {own.capability: own for own in tallies}
    return ", ".join(_standing(known.get(name)) for name in capabilities)


def _standing(tally: Tally | None) -> str:
    if tally is None or not tally.good + tally.bad:
        return "new"
    return words.share(permille(tally.good, tally.bad))


def done(tallies: Sequence[Tally]) -> str:
    """Return what came of all that an agent was awarded."""
    return f"{sum(own.finished for own in tallies):,}/{sum(own.won for own in tallies):,}"


def lines(tallies: Sequence[Tally]) -> Iterator[str]:
    """Yield what an agent did in words, a line for each capability."""
    for own in tallies:
        told = [_bids(own), *_ends(own), *_costs(own)]
        yield f"{own.capability} {_standing(own)}: {', '.join(part for part in told if part)}"
    if not tallies:
        yield "nothing yet"


def _bids(own: Tally) -> str:
    bids = f"{words.plural(own.offered, 'bid')}, " if own.offered else ""
    itself = f" ({own.own:,} from itself)" if own.own else ""
    return f"{bids}{own.won:,} won{itself}"


def _ends(own: Tally) -> Iterator[str]:
    for name, said in ENDS.items():
        if count := getattr(own, name):
            yield f"{count:,} {said}"
    if own.conflicts:
        yield f"{words.plural(own.conflicts, 'conflict')} over shared state"


def _costs(own: Tally) -> Iterator[str]:
    if own.finished:
        yield f"{words.duration(own.work_ms // own.finished)} each"
    if own.bid_micro_usd:
        bid, spent = words.money(own.bid_micro_usd), words.money(own.spent_micro_usd)
        yield f"bid {bid} for what then cost {spent}"


# --- checked ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What the check of one partition came to.

    `gone` is the offset below which the log has lost what was counted: then nothing can be said.
    `behind` are agents of which the latest is not written yet.
    """

    partition: int
    entries: int
    behind: int
    gone: int
    differences: tuple[str, ...]


async def verify(log: Log, reader: AuditReader, config: Config, written: Latest) -> list[Checked]:
    """Fold the audit stream anew, and compare it with what is written."""
    found = []
    for partition, (low, high) in sorted((await reader.ends()).items()):
        mine = {own.agent: own for own in written.entries if own.partition == partition}
        since = max((own.since for own in mine.values()), default=0)
        if low > since:
            lost = Checked(
                partition=partition, entries=len(mine), behind=0, gone=low, differences=()
            )
            found.append(lost)
            continue
        note = await read_note(log, Place(topics.open_workflows(config.mesh), partition))
        check = _Check(partition, since, mine)
        async for incoming in reader.scan(partition, since, high):
            audited = reader.decode(incoming)
            if audited is None:
                check.ledger.observe(incoming.append_ms)
                continue
            void = check.ledger.add(audited.record)
            check.accounts.see(audited.record, check.ledger, void)
            check.compare(incoming.offset + 1)
        found.append(check.result(note.offset))
    return found


class _Check:
    """Mutable: one partition as it is folded."""

    def __init__(self, partition: int, since: int, mine: dict[str, Standing]) -> None:
        self.accounts = Accounts(partition, since)
        self.ledger = Ledger()
        self._mine = mine
        self._due: dict[int, list[Standing]] = {}
        self._differences: list[str] = []
        for own in mine.values():
            self._due.setdefault(own.version, []).append(own)

    def compare(self, offset: int) -> None:
        """Compare the entries whose version is reached."""
        for own in self._due.pop(offset, ()):
            made = self.accounts.standing(own.agent)
            self._differences += _differences(own, made)

    def result(self, noted: int) -> Checked:
        """Return what it came to; by `noted` the processor had written all that was before."""
        for own in (own for late in self._due.values() for own in late):
            self._differences.append(f"{own.agent}: no fact ends at its version, {own.version}")
        behind = 0
        for agent in self.accounts.agents:
            version = self.accounts.standing(agent).version
            known = self._mine[agent].version if agent in self._mine else 0
            if known < version <= noted:
                text = f"{agent}: written up to {known}, and it was to be up to {version}"
                self._differences.append(text)
            behind += known < version
        return Checked(
            partition=self.accounts.partition,
            entries=len(self._mine),
            behind=behind,
            gone=0,
            differences=tuple(self._differences),
        )


def _differences(written: Standing, made: Standing) -> Iterator[str]:
    """Yield what differs, one line each."""
    tallies = {own.capability: own for own in made.tallies}
    for own in written.tallies:
        other = tallies.pop(own.capability, None) or Tally(own.capability)
        for name, one, two in zip(Tally._fields, own, other, strict=True):
            if one != two:
                where = f"{written.agent} at {own.capability}, version {written.version}"
                yield f"{where}: {name} is written as {one}, and the log makes {two}"
    for name in tallies:
        yield f"{written.agent} at {name}: it is not written"


def verdict(checks: Sequence[Checked], topic: str) -> str:
    """Return the outcome of a check in words."""
    compared = sum(own.entries for own in checks if not own.gone)
    wrong = sum(len(own.differences) for own in checks)
    behind = sum(own.behind for own in checks)
    lines = [line for own in checks for line in own.differences]
    said = "no difference" if not wrong else words.plural(wrong, "difference")
    lines.append(f"{words.plural(compared, 'entry', 'entries')} of {topic} compared: {said}")
    if behind:
        lines.append(f"{words.plural(behind, 'entry', 'entries')} not written yet")
    lines += [
        f"partition {own.partition}: the log's records below {own.gone} are gone (retention), so "
        f"what is counted there cannot be checked: {words.plural(own.entries, 'entry', 'entries')}"
        for own in checks
        if own.gone
    ]
    return "\n".join(lines)
