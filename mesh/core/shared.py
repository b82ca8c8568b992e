"""Shared state: versioned entries under keys, and the verdict on each change.

One partition of `M.changes` orders all changes of the groups that live in it. `View.judge` is a
pure fold over that order: what a verdict depends on (the entries, the rules, the writer's scope)
stands in the same partition before it or in the change itself. So whoever folds the same prefix has
the same view, and a processor that was replaced can only write what its successor writes too.

**Entries are what is kept.** `M.state` holds the latest entry of each key, and with each the offset
of the change that made it (`source`) and the changes before it (`recent`). A view that is read back
from there knows what it has judged: a change below the largest `source` is done, wholly, because
entries are written in order and before the next change is judged; one at it may be half done.

**A change whose outcome is unknown is sent again under its id.** What was accepted made a version
of each of its keys, and is answered from `recent`. What was in conflict stays so while the rules
stay: versions only grow, and in an arbitration a change must come before *everything* that was
accepted since the version that it expected, and never comes before a person's word that it has not
seen. What expected a version older than `recent` reaches is a conflict under any rule, and
`forgotten`: the view cannot tell whether it was accepted before. Its writer can, from `M.state`.

**`M.state` is written in the order of the judgements**, whoever writes: the owner of the partition
hands `written`, and what `restore` returns, to one queue, commits an offset of `M.changes` when all
of it up to there is acknowledged, and keeps on reading `M.state` behind itself.

Source of the compare-and-set register: Herlihy, "Wait-free synchronization", TOPLAS 13(1), 1991.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from mesh.core.fitting import too_large, unfit
from mesh.core.keys import (
    NO_RULES,
    Resolution,
    Rule,
    Rules,
    apart,
    check_rules,
    is_prefix,
    reaches,
)
from mesh.core.merges import Unmergeable, merge
from mesh.core.settings import MAX_NAME, MAX_REASON
from mesh.core.values import Holder, Inbox
from mesh.errors import DefinitionError

MAX_VALUE_BYTES = 60 * 1024
"""Of one value: an entry with its candidates and the longest texts stays one event of 256 KiB;
larger things are artifacts, and the state names their hash."""
MAX_WRITES = 32
"""Keys of one change: they are judged and written one after the other."""
MAX_SCOPE = 1_000
"""Prefixes of one writer: each of its keys is held against them."""
RECENT = 16
"""Accepted changes that an entry remembers: a writer that lags by more reads again."""
MAX_CANDIDATES = 2
"""Values that are kept for a person beside the current one; a person can weigh that many, and the
entry stays one event."""


class Write(NamedTuple):
    """One key of a change: the version that it expects, 0 for none yet; None deletes."""

    key: str
    expected: int
    value: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Proposed: these values for these keys, together.

    `change` is the idempotency key of the step that writes, so a repeat has the same one. `scope`
    is what the writer's card lets it write. `objective` is what the change serves, for arbitration.
    The verdict goes to `inbox`.
    """

    change: str
    by: Holder
    agent: str
    scope: tuple[str, ...]
    workflow: str
    task: str
    step: str
    writes: tuple[Write, ...]
    objective: str
    because: str
    inbox: Inbox


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """A person's word on a contested entry: this value, if that is still its version."""

    change: str
    key: str
    expected: int
    value: bytes | None
    person: str
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RulesAdopted:
    """These rules hold from here on in this partition, if their version is the largest so far."""

    rules: Rules
    person: str
    because: str


Proposal = Change | Settlement | RulesAdopted
"""What may stand in `M.changes`."""


class Verdict(StrEnum):
    """What became of a change; the first five made a version, `settled` by a person's word."""

    ACCEPTED = "accepted"
    MERGED = "merged"
    PREFERRED = "preferred"
    SETTLED = "settled"
    CONTESTED = "contested"
    CONFLICT = "conflict"
    REFUSED = "refused"


ACCEPTING = frozenset({Verdict.ACCEPTED, Verdict.MERGED, Verdict.PREFERRED, Verdict.SETTLED})
"""Verdicts after which the value is in force, perhaps merged."""


class Past(NamedTuple):
    """An accepted change that an entry remembers: which version it made, and how."""

    version: int
    change: str
    verdict: Verdict
    objective: str


class Candidate(NamedTuple):
    """A value that contests the current one, and for whom."""

    value: bytes | None
    change: str
    agent: str
    task: str
    objective: str
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The latest of a key: its value (None: deleted) and version, and where they come from.

    `source` and `append_ms` are the offset and time of the change in `M.changes` that made this
    version. A person's settlement has an empty agent, task and step, and `writer` is the person.
    """

    key: str
    version: int
    value: bytes | None
    agent: str
    writer: str
    workflow: str
    task: str
    step: str
    objective: str
    because: str
    source: int
    append_ms: int
    candidates: tuple[Candidate, ...]
    recent: tuple[Past, ...]

    @property
    def contested(self) -> bool:
        """Whether a person must settle it."""
        return bool(self.candidates)

    @property
    def change(self) -> str:
        """The id of the change that made this version."""
        return self.recent[-1].change

    @property
    def verdict(self) -> Verdict:
        """How this version came about."""
        return self.recent[-1].verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class RulesEntry:
    """The rules in force in a partition, kept in `M.state` beside its entries."""

    rules: Rules
    person: str
    because: str
    source: int


class Against(NamedTuple):
    """What stood against one write of a change: the entry as it was, and the rule for its key."""

    entry: Entry
    wanted: bytes | None
    rule: Rule


class Judgement(NamedTuple):
    """What a change came to.

    `entries` are those of its keys afterwards, in its order, None for a key that has none; there
    are none of a change that is malformed. `versions` are those that this change made, 0 where that
    is forgotten. `written` is what is to be appended to `M.state`, in order. `reason` says why a
    change was not accepted as it is, in words for its writer; `against` whom that was decided by,
    and is empty for a repeat. What is not accepted, and is `forgotten`, may have been as an earlier
    copy: no entry remembers as much as was accepted since.
    """

    verdict: Verdict
    reason: str
    entries: tuple[Entry | None, ...]
    versions: tuple[int, ...] = ()
    written: tuple[Entry | RulesEntry, ...] = ()
    against: tuple[Against, ...] = ()
    forgotten: bool = False


class _Said(NamedTuple):
    """What is said of one write: `value` where it makes a version."""

    verdict: Verdict
    reason: str = ""
    value: bytes | None = None
    candidates: tuple[Candidate, ...] = ()


def anywhere(_key: str) -> bool:
    """Say that a key lives here: for a view of the only partition."""
    return True


class View:
    """Mutable: the entries and the rules of one partition, and the judge of what changes them.

    `lives_here` says whether a key belongs in this partition: a change that was sent to another
    one would give a key two entries.
    """

    __slots__ = ("_lives_here", "_unseen", "entries", "rules", "through")

    def __init__(self, lives_here: Callable[[str], bool] = anywhere) -> None:
        self._lives_here = lives_here
        self._unseen: set[str] = set()  # whose latest was made here, and not read back yet
        self.entries: dict[str, Entry] = {}
        self.rules = RulesEntry(rules=NO_RULES, person="", because="", source=-1)
        self.through = -1
        """The largest `source`: everything below it was judged, and what it made was written."""

    def __repr__(self) -> str:
        rules = self.rules.rules.version
        return f"View(through={self.through}, entries={len(self.entries)}, rules={rules})"

    def restore(self, kept: Entry | RulesEntry) -> Entry | RulesEntry | None:
        """Take what `M.state` holds, in its order, before and while this view judges.

        Returns:
            The latest, where `kept` was written after it by a writer that was replaced: who owns
            the partition appends what is returned, behind what it has judged so far. None
            otherwise, also while something later that was judged here is still on its way.
        """
        known: Entry | RulesEntry | None
        if isinstance(kept, RulesEntry):
            key, known = _RULES, self.rules
            ahead = kept.source - self.rules.source
        else:
            key = kept.key
            known = entry = self.entries.get(key)
            ahead = kept.version - (0 if entry is None else entry.version)
        if ahead < 0:
            return None if key in self._unseen else known
        self._unseen.discard(key)
        if ahead > 0:
            self._take(kept)
        return None

    def _take(self, kept: Entry | RulesEntry) -> None:
        if isinstance(kept, RulesEntry):
            self.rules = kept
        else:
            self.entries[kept.key] = kept
        self.through = max(self.through, kept.source)

    def judge(self, proposal: Proposal, offset: int, append_ms: int) -> Judgement | None:
        """Judge what stands at `offset`, in order; a repeat of the log's is judged once.

        Returns:
            What it came to; None for what was judged before and made nothing that is remembered.
        """
        malformed = _malformed(proposal)
        if malformed:
            return Judgement(Verdict.REFUSED, malformed, ())
        if isinstance(proposal, RulesAdopted):
            return None if offset < self.through else self._adopt(proposal, offset)
        if isinstance(proposal, Settlement):
            return self._settle(proposal, offset, append_ms)
        again = self._again(proposal, offset, append_ms)
        if again is not None or offset < self.through:
            return again
        return self._judge(proposal, offset, append_ms)

    def _remembered(self, change: Change) -> Judgement | None:
        """Answer for what was judged before, from what the entries remember."""
        pasts = [self._past(write.key, change.change) for write in change.writes]
        known = [past.verdict for past in pasts if past is not None]
        if not known:
            return None
        verdict = worst(known)
        reason = "" if verdict is Verdict.ACCEPTED else f"it was {verdict} before"
        versions = tuple(0 if past is None else past.version for past in pasts)
        return Judgement(verdict, reason, self._current(change), versions)

    def _past(self, key: str, change: str) -> Past | None:
        entry = self.entries.get(key)
        for past in entry.recent if entry is not None else ():
            if past.change == change:
                return past
        return None

    def _again(self, change: Change, offset: int, append_ms: int) -> Judgement | None:
        """Answer a repeat; finish what was written in part, at the offset that is half done."""
        if self._remembered(change) is None:
            return None
        written: list[Entry] = []
        for write in change.writes if offset == self.through else ():
            if self._past(write.key, change.change) is None:
                said = self._weigh(change, write)
                assert said.verdict in ACCEPTING, "the first of its entries says that all were"
                written.append(self._put(change, write, said, offset, append_ms))
        remembered = self._remembered(change)
        assert remembered is not None
        return remembered._replace(written=tuple(written))

    def _judge(self, change: Change, offset: int, append_ms: int) -> Judgement:
        objections = (self._objection(change, write) for write in change.writes)
        reason = next(filter(None, objections), "")
        if reason:
            return self._unchanged(change, Verdict.REFUSED, reason)
        all_said = [self._weigh(change, write) for write in change.writes]
        verdict = worst(said.verdict for said in all_said)
        reason = "; ".join(said.reason for said in all_said if said.verdict is verdict)
        rules = self.rules.rules
        against = tuple(
            Against(entry, write.value, rule)
            for write, said in zip(change.writes, all_said, strict=True)
            if said.verdict is verdict and verdict not in (Verdict.ACCEPTED, Verdict.REFUSED)
            if (entry := self.entries.get(write.key)) and (rule := rules.rule_for(write.key))
        )
        if verdict in (Verdict.CONFLICT, Verdict.REFUSED):
            return self._unchanged(change, verdict, reason, against)
        written = tuple(
            self._put(change, write, said, offset, append_ms)
            for write, said in zip(change.writes, all_said, strict=True)
        )
        versions = tuple(entry.version for entry in written)
        return Judgement(verdict, reason[:MAX_REASON], written, versions, written, against)

    def _unchanged(
        self, change: Change, verdict: Verdict, reason: str, against: tuple[Against, ...] = ()
    ) -> Judgement:
        """Return a verdict by which nothing changes."""
        current = self._current(change)
        said = Judgement(verdict, reason[:MAX_REASON], current, against=against)
        return said._replace(forgotten=all(map(_is_forgotten, current, change.writes)))

    def _objection(self, change: Change, write: Write) -> str:
        key, expected, _ = write
        if not self._lives_here(key):
            return f"{key} lives in another partition than this change was sent to"
        if not reaches(change.scope, key):
            scope = ", ".join(filter(is_prefix, change.scope))
            return f"{key} is outside the scope of {change.agent}: {scope or 'nothing'}"
        if self.rules.rules.rule_for(key) is None:
            return f"no rule reaches {key}; add one for its prefix by `mesh policy apply`"
        current = self.entries.get(key)
        latest = current.version if current is not None else 0
        if not 0 <= expected <= latest:
            return f"{key} has no version {expected}; its latest is {latest or 'none'}"
        return ""

    def _weigh(self, change: Change, write: Write) -> _Said:
        """Say what becomes of one write; scope and rules were looked at."""
        entry = self.entries.get(write.key)
        rule = self.rules.rules.rule_for(write.key)
        assert rule is not None
        merging = rule.resolution is Resolution.MERGE
        if merging and write.value is not None:
            try:
                merge(rule.merge, write.value, write.value)
            except Unmergeable as error:  # it would make the next writer's change unmergeable
                return _Said(Verdict.REFUSED, f"{write.key}: {error}")
        if entry is None or (write.expected == entry.version and not entry.contested):
            return _Said(Verdict.ACCEPTED, value=write.value)
        if unresolved := _unresolved(rule, entry, write):
            return _Said(Verdict.CONFLICT, f"{_behind(entry, write)}{unresolved}")
        if merging:
            return _merged(rule, entry, write)
        return self._arbitrate(change, write, entry)

    def _arbitrate(self, change: Change, write: Write, entry: Entry) -> _Said:
        """Compare what a change serves with all that was accepted since what it expected."""
        served = [past.objective for past in entry.recent if past.version > write.expected]
        served += [candidate.objective for candidate in entry.candidates]
        served += [entry.objective] if entry.contested else []
        rules = self.rules.rules
        strongest = min(served, key=rules.rank)
        rank, best = rules.rank(change.objective), rules.rank(strongest)
        if rank < best:
            reason = f"{_named(change.objective)} comes before {_named(strongest)}"
            return _Said(Verdict.PREFERRED, reason, write.value)
        if rank > best:
            reason = f"{_named(strongest)} comes before {_named(change.objective)}"
            return _Said(Verdict.CONFLICT, f"{_behind(entry, write)}; {reason}")
        if len(change.writes) > 1 or len(entry.candidates) >= MAX_CANDIDATES:
            both = f"both serve {_named(strongest)}"
            return _Said(Verdict.CONFLICT, f"{_behind(entry, write)}; {both}")
        if write.value == entry.value and not entry.contested:
            return _Said(Verdict.ACCEPTED, "somebody wrote the same before", write.value)
        own = change.change, change.agent, change.task, change.objective, change.because
        reason = f"{write.key} is contested: both serve {_named(strongest)}"
        return _Said(
            Verdict.CONTESTED,
            f"{reason}; a person settles it by `mesh state settle`",
            entry.value,
            (*entry.candidates, Candidate(write.value, *own)),
        )

    def _put(self, change: Change, write: Write, said: _Said, offset: int, append_ms: int) -> Entry:
        known = self.entries.get(write.key)
        holds = known if said.candidates else None  # what is contested stays whose it was
        version = 1 if known is None else known.version + 1
        past = Past(version, change.change, said.verdict, change.objective)
        return self._keep(
            Entry(
                key=write.key,
                version=version,
                value=said.value,
                agent=holds.agent if holds else change.agent,
                writer=holds.writer if holds else change.by.instance,
                workflow=holds.workflow if holds else change.workflow,
                task=holds.task if holds else change.task,
                step=holds.step if holds else change.step,
                objective=holds.objective if holds else change.objective,
                because=holds.because if holds else change.because,
                source=offset,
                append_ms=append_ms,
                candidates=said.candidates,
                recent=_recall(known, past),
            )
        )

    def _keep(self, entry: Entry) -> Entry:
        """Take an entry that was made here; `M.state` is to hold it soon."""
        self._unseen.add(entry.key)
        self._take(entry)
        return entry

    def _settle(self, settlement: Settlement, offset: int, append_ms: int) -> Judgement | None:
        known = self.entries.get(settlement.key)
        past = self._past(settlement.key, settlement.change)
        if past is not None:
            return Judgement(past.verdict, "", (known,), (past.version,))
        if offset < self.through:
            return None
        if known is None or not known.contested or known.version != settlement.expected:
            reason = f"{settlement.key} is not contested at version {settlement.expected}"
            return Judgement(Verdict.REFUSED, reason, (known,))
        version = known.version + 1
        past = Past(version, settlement.change, Verdict.SETTLED, known.objective)
        entry = replace(known, version=version, value=settlement.value, candidates=())
        entry = replace(entry, source=offset, append_ms=append_ms, recent=_recall(known, past))
        entry = replace(entry, writer=settlement.person, because=settlement.because)
        entry = self._keep(replace(entry, agent="", workflow="", task="", step=""))
        return Judgement(Verdict.SETTLED, "", (entry,), (version,), (entry,))

    def _adopt(self, adopted: RulesAdopted, offset: int) -> Judgement:
        try:
            check_rules(adopted.rules)
        except DefinitionError as error:
            return Judgement(Verdict.REFUSED, str(error)[:MAX_REASON], ())
        if adopted.rules.version <= self.rules.rules.version:
            held = self.rules.rules.version
            same = adopted.rules == self.rules.rules
            verdict = Verdict.ACCEPTED if same else Verdict.REFUSED
            return Judgement(verdict, "" if same else f"version {held} of the rules holds", ())
        self._unseen.add(_RULES)
        self._take(
            RulesEntry(
                rules=adopted.rules, person=adopted.person, because=adopted.because, source=offset
            )
        )
        return Judgement(Verdict.ACCEPTED, "", (), written=(self.rules,))

    def _current(self, change: Change) -> tuple[Entry | None, ...]:
        return tuple(self.entries.get(write.key) for write in change.writes)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())


_RULES = "~rules"  # no key is called so
_SEVERITY = {verdict: number for number, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a whole of which each part has one."""
    return max(verdicts, key=_SEVERITY.__getitem__)


def _malformed(proposal: Proposal) -> str:
    """Say why a proposal cannot be judged at all, whatever the entries are."""
    texts = [("because", proposal.because, 0, MAX_REASON)]
    values: list[bytes | None] = []
    keys: list[str] = []
    if isinstance(proposal, Change):
        texts += [
            ("change", proposal.change, 1, MAX_NAME),
            ("agent", proposal.agent, 1, MAX_NAME),
            ("by.instance", proposal.by.instance, 0, MAX_NAME),
            ("objective", proposal.objective, 0, MAX_NAME),
            ("workflow", proposal.workflow, 0, MAX_NAME),
            ("task", proposal.task, 0, MAX_NAME),
            ("step", proposal.step, 0, MAX_REASON),
        ]
        if not 0 < len(proposal.writes) <= MAX_WRITES:
            return f"a change has 1 to {MAX_WRITES} keys, this has {len(proposal.writes)}"
        if len(proposal.scope) > MAX_SCOPE:
            return f"scope has {len(proposal.scope)} prefixes, {MAX_SCOPE} are allowed"
        keys = [write.key for write in proposal.writes]
        values = [write.value for write in proposal.writes]
    else:
        texts.append(("person", proposal.person, 1, MAX_NAME))
    if isinstance(proposal, Settlement):
        texts.append(("change", proposal.change, 1, MAX_NAME))
        keys, values = [proposal.key], [proposal.value]
    return unfit(texts) or apart(keys) or too_large(values, MAX_VALUE_BYTES)


def _behind(entry: Entry, write: Write) -> str:
    """Say that a write expected another version, and whose the current one is."""
    whose = f"{entry.agent or entry.writer} wrote version {entry.version}"
    task = f" in task {entry.task}" if entry.task else ""
    if entry.contested and write.expected == entry.version:
        return f"{entry.key} is contested until a person settles it"
    return f"{entry.key}: version {write.expected} was expected, and {whose}{task}"


def _is_forgotten(entry: Entry | None, write: Write) -> bool:
    """Tell whether a write may have been accepted without being remembered."""
    return entry is not None and max(0, write.expected) < entry.version - len(entry.recent)


def _unresolved(rule: Rule, entry: Entry, write: Write) -> str:
    """Say why no rule resolves this conflict; "" if it is for the rule to resolve."""
    if _is_forgotten(entry, write):
        return "; too much came since to tell whether this was accepted before"
    since = (past for past in entry.recent if past.version > write.expected)
    if any(past.verdict is Verdict.SETTLED for past in since):
        return "; a person settled it since"
    if rule.resolution is Resolution.REJECT:
        return f"; under {rule.prefix} conflicts are rejected"
    if entry.contested and rule.resolution is Resolution.MERGE:
        return "; what is contested is not merged"
    return ""


def _merged(rule: Rule, entry: Entry, write: Write) -> _Said:
    if write.value is None or entry.value is None:
        return _Said(Verdict.CONFLICT, f"{_behind(entry, write)}; a deletion is not merged")
    try:
        value = merge(rule.merge, entry.value, write.value)
    except Unmergeable as error:  # the write's own value was looked at
        return _Said(Verdict.CONFLICT, f"{_behind(entry, write)}; as it stands, {error}")
    if len(value) > MAX_VALUE_BYTES:
        return _Said(Verdict.REFUSED, f"{write.key}: merged, the value has {len(value)} bytes")
    whose = entry.agent or entry.writer
    reason = f"merged by {rule.merge} with version {entry.version} of {whose}"
    return _Said(Verdict.MERGED, reason, value)


def _named(objective: str) -> str:
    return objective or "no objective"


def _recall(known: Entry | None, past: Past) -> tuple[Past, ...]:
    before: Sequence[Past] = known.recent if known is not None else ()
    return (*before[-(RECENT - 1) :], past)
