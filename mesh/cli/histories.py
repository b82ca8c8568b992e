"""The history of a key: every proposal for it, from all sides, judged again from the log.

A conflict has two sides: the change that came first, and the one that expected what was there
before. Each says where the other stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mesh.cli.judging import Around, Fold, Home, Judged, keys_of
from mesh.cli.keeping import Proposed, Replica
from mesh.core.keys import Rule, Rules
from mesh.core.shared import (
    Change,
    Entry,
    Judgement,
    Proposal,
    RulesAdopted,
    Settlement,
    Verdict,
)

if TYPE_CHECKING:
    from mesh.cli.keeping import StateReader

_SIDES: Mapping[str, tuple[str, str]] = {
    Verdict.CONFLICT: ("lost_to", "beat"),
    Verdict.PREFERRED: ("beat", "lost_to"),
    Verdict.CONTESTED: ("met", "met"),
    Verdict.MERGED: ("met", "met"),
}
"""What the others are to a change with this verdict, and what it is to them."""
UNKNOWN = "unknown"
"""In the place of a verdict: what it rested on lies before the log's beginning."""


class Kind(StrEnum):
    """What was proposed."""

    CHANGE = "change"
    SETTLEMENT = "settlement"
    RULES = "rules"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One proposal in the history of a key.

    `version` is the one that it made or agreed with, 0 if none. `beat` names the changes that lost
    against it, `lost_to` those that it lost against, `met` those that it was merged with or
    contests; all by their places. `together` are the other keys of the same change. Of rules,
    `rule` is what holds from there on.
    """

    where: str
    at_ms: int
    kind: Kind
    agent: str = ""
    instance: str = ""
    person: str = ""
    workflow: str = ""
    task: str = ""
    step: str = ""
    change: str = ""
    expected: int = 0
    version: int = 0
    value: bytes | None = None
    verdict: str
    reason: str = ""
    rule: str = ""
    objective: str = ""
    because: str = ""
    again: bool = False
    beat: tuple[str, ...] = ()
    lost_to: tuple[str, ...] = ()
    met: tuple[str, ...] = ()
    together: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class History:
    """All that the log has of a key.

    `low` is above 0 where retention took the beginning of its partition; `base` is what was there
    then, None if nothing was or nobody knows. `entry` is what the log makes of the key, `kept` what
    `M.state` has of it.
    """

    key: str
    partition: int
    low: int
    events: tuple[Event, ...]
    base: Entry | None
    entry: Entry | None
    kept: Entry | None

    @property
    def cut(self) -> bool:
        """Whether the beginning is gone."""
        return self.low > 0

    @property
    def behind(self) -> bool:
        """Whether `M.state` has not caught up with the log."""
        made = self.entry.version if self.entry is not None else 0
        return made > (self.kept.version if self.kept is not None else 0)


class Historian:
    """Mutable: gathers the history of one key from the records of its partition, in order."""

    def __init__(self, key: str, home: Home, around: Around, kept: Entry | None) -> None:
        self.key = key
        self.partition = home.partition
        self.versions: dict[int, Entry] = {}
        self._kept = kept
        self._fold = Fold(home, around)
        self._events: dict[str, Event] = {}
        self._made: dict[int, str] = {}
        self._seen: set[str] = set()
        self._base = self._fold.view.entries.get(key)
        if self._base is not None:
            self.versions[self._base.version] = self._base

    def __repr__(self) -> str:
        return f"Historian({self.key}, {len(self._events)} proposals)"

    def add(self, proposed: Proposed) -> None:
        """Take the next record of the partition."""
        rule = self._rules().rule_for(self.key)
        judged = self._fold.add(proposed)
        for kept in judged.judgement.written if judged.judgement is not None else ():
            if isinstance(kept, Entry) and kept.key == self.key:
                self.versions[kept.version] = kept
        match proposed.proposal:
            case RulesAdopted() as adopted:
                event = self._adopted(adopted, judged, rule)
            case Change() | Settlement() as proposal if self.key in keys_of(proposal):
                event = self._proposed(proposal, judged, rule)
            case _:
                return
        if event is not None:
            self._events[event.where] = event

    def history(self) -> History:
        """Return what was gathered."""
        return History(
            key=self.key,
            partition=self.partition,
            low=self._fold.low,
            events=tuple(self._events.values()),
            entry=self._fold.view.entries.get(self.key, self._kept),
            base=self._base,
            kept=self._kept,
        )

    def _rules(self) -> Rules:
        return self._fold.view.rules.rules

    def _adopted(self, adopted: RulesAdopted, judged: Judged, rule: Rule | None) -> Event | None:
        """Tell of rules where they change what holds for this key."""
        judgement = judged.judgement
        new = self._rules().rule_for(self.key)
        if judgement is None or not judgement.written or new == rule:
            return None
        return Event(
            where=self._where(judged),
            at_ms=judged.proposed.append_ms,
            kind=Kind.RULES,
            person=adopted.person,
            version=adopted.rules.version,
            verdict=str(judgement.verdict),
            rule=told(new),
            because=adopted.because,
        )

    def _proposed(self, proposal: Proposal, judged: Judged, rule: Rule | None) -> Event:
        verdict, reason, version = self._outcome(proposal, judged)
        event = self._event(proposal, judged, verdict)
        again = event.change in self._seen
        self._seen.add(event.change)
        event = replace(event, reason=reason, version=version, again=again, rule=told(rule))
        if version in self.versions and self.versions[version].source == judged.proposed.offset:
            self._made[version] = event.where
        return event if again else self._opposed(event, judged)

    def _outcome(self, proposal: Proposal, judged: Judged) -> tuple[str, str, int]:
        """Return verdict, reason and the version that was made or agreed with."""
        judgement = judged.judgement
        if judgement is not None:
            return judgement.verdict, judgement.reason, self._version(proposal, judgement)
        for past in self._kept.recent if self._kept is not None else ():
            if past.change == _change(proposal):
                return past.verdict, "", past.version
        return UNKNOWN, "what it met lies before the log's beginning (retention)", 0

    def _version(self, proposal: Proposal, judgement: Judgement) -> int:
        if not judgement.versions:
            return 0
        return judgement.versions[keys_of(proposal).index(self.key)]

    def _opposed(self, event: Event, judged: Judged) -> Event:
        """Say which changes were accepted since the version that this one expected; tell them."""
        before = judged.before.get(self.key)
        side = _SIDES.get(event.verdict)
        if side is None or before is None:
            return event
        own, theirs = side
        since = range(event.expected + 1, before.version + 1)
        others = [self._made[number] for number in since if number in self._made]
        for other in others:
            self._events[other] = _facing(self._events[other], theirs, [event.where])
        return _facing(event, own, others)

    def _event(self, proposal: Proposal, judged: Judged, verdict: str) -> Event:
        common = Event(
            where=self._where(judged),
            at_ms=judged.proposed.append_ms,
            kind=Kind.CHANGE,
            verdict=verdict,
            because=getattr(proposal, "because", ""),
            change=_change(proposal),
        )
        match proposal:
            case Change():
                write = next(own for own in proposal.writes if own.key == self.key)
                return replace(
                    common,
                    agent=proposal.agent,
                    instance=proposal.by.instance,
                    workflow=proposal.workflow,
                    task=proposal.task,
                    step=proposal.step,
                    expected=write.expected,
                    value=write.value,
                    objective=proposal.objective,
                    together=tuple(key for key in keys_of(proposal) if key != self.key),
                )
            case Settlement():
                return replace(
                    common,
                    kind=Kind.SETTLEMENT,
                    person=proposal.person,
                    expected=proposal.expected,
                    value=proposal.value,
                )
            case _:
                raise AssertionError("rules have no key")

    def _where(self, judged: Judged) -> str:
        return f"{self.partition}/{judged.proposed.offset}"


def _facing(event: Event, side: str, others: Sequence[str]) -> Event:
    """Return an event that knows of others; `side` says what they are to it."""
    more: dict[str, Any] = {side: (*getattr(event, side), *others)}
    return replace(event, **more)


def told(rule: Rule | None) -> str:
    """Return a rule in words."""
    if rule is None:
        return "no rule"
    by = f" by {rule.merge}" if rule.merge else ""
    return f"{rule.resolution}{by} (under {rule.prefix})"


async def read_history(reader: StateReader, key: str) -> Historian:
    """Read the partition of a key from its beginning; one in which it never stood has no events."""
    ends = await reader.ends(reader.changes)
    partition = await reader.home(key)
    around = Around(ends[partition][0])
    name = key.encode()
    # What was judged before the log begins is needed of every key: they share rules and changes.
    keep = None if around.low > 0 else (lambda own: own == name)
    view = Replica()
    async for row in reader.rows(partition, keep=keep):
        view.see(row)
        if row.kept is not None:
            around.add(row.kept)
    historian = Historian(key, Home(partition, len(ends)), around, view.entries.get(key))
    async for proposed in reader.proposals(partition):
        historian.add(proposed)
    return historian


def _change(proposal: Proposal) -> str:
    return "" if isinstance(proposal, RulesAdopted) else proposal.change
