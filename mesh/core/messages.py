"""The messages: hints between instances, never the truth.

Each is wrapped in an `Envelope` that names its addressee with incarnation; one for an earlier
incarnation, or a repeat, is refused. What a message claims about the log it proves by carrying the
record; whoever misses a message reads the log instead, so any of them may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from mesh.core.facts import Record
from mesh.core.keys import Resolution
from mesh.core.settings import MAX_BODY_BYTES, MAX_REASON
from mesh.core.shared import Against, Change, Judgement, Verdict
from mesh.core.tasks import Header
from mesh.core.values import Amount, Ancestor, Body, Charter, Holder, Inbox

MAX_RIVALS = 8
"""Of one verdict: a person reads no more of them, and the message stays one event."""
MAX_WORDS = 200
"""Characters of a rival's reason; all of it stands in the key's history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallForBids:
    """Supervisor to candidate: would you, and on what terms? Answer before `bids_until_ms`."""

    workflow: str
    task: str
    call: int
    capability: str
    caller: str
    input: Body
    charter: Charter
    ancestors: tuple[Ancestor, ...]
    means: Amount
    deadline_ms: int
    bids_until_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bid:
    """Candidate to supervisor: I would, for this price, in this time."""

    task: str
    call: int
    price_micro_usd: int
    eta_ms: int
    confidence_permille: int
    slot: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Decline:
    """Candidate to supervisor: I pass, and why."""

    task: str
    call: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Award:
    """Supervisor to worker: this is yours.

    `opened` is the record of `TaskOpened`, `awarded` that of `TaskAwarded`, None where the award
    stands in `opened`. `header` is where a reader of this workflow begins.
    """

    workflow: str
    task: str
    header: Header
    caller: str
    opened: Record
    awarded: Record | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopt:
    """New supervisor to worker: tell me from now on. `award` is the award's log position."""

    workflow: str
    task: str
    award: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """Worker to new supervisor: `running`, or `unknown` (that award is refused from now on)."""

    workflow: str
    task: str
    award: int
    status: str
    lease_end_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Worker to supervisor: the award was given up by the fact in `record`, which counted."""

    workflow: str
    task: str
    award: int
    record: Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """Supervisor to worker, or a person to a supervisor (`award` -1): end this."""

    workflow: str
    task: str
    award: int
    because: str
    person: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Worker to supervisor: still at it; the lease is known to run until `lease_end_ms`."""

    workflow: str
    task: str
    award: int
    lease_end_ms: int
    text: str


class Current(NamedTuple):
    """The current entry of one key, for a writer whose change was judged.

    `version` is 0 for a key that has none. A value that would make the message too large is None;
    the writer reads it from `M.state`.
    """

    key: str
    version: int
    value: bytes | None
    agent: str
    task: str
    contested: bool


class Rival(NamedTuple):
    """Who stood against a change on one of its keys: another change, or a person's word.

    What decided between them is the rule of `prefix`. `version` is the entry's as it was then;
    `same` says that both want the same value. `person` is "" unless a person settled it. The
    objective and the reason are the other's own, the reason cut to `MAX_WORDS`.
    """

    key: str
    version: int
    agent: str
    person: str
    workflow: str
    task: str
    objective: str
    because: str
    same: bool
    prefix: str
    resolution: Resolution


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Processor to writer: what became of the copy of your change at `offset` of `M.changes`.

    `rivals` stood against it, at most `MAX_RIVALS`; of a repeat none are known.
    What is not accepted, and is `forgotten`, may have been accepted as an earlier copy.
    """

    change: str
    offset: int
    verdict: Verdict
    reason: str
    versions: tuple[int, ...]
    entries: tuple[Current, ...]
    rivals: tuple[Rival, ...] = ()
    forgotten: bool = False


Content = (
    CallForBids | Bid | Decline | Award | Adopt | Adopted | Outcome | Cancel | Progress | Judged
)


def judged(change: Change, offset: int, judgement: Judgement) -> Judged:
    """Return what the writer of a change is told; values are left out once they are too large."""
    entries: list[Current] = []
    left = MAX_BODY_BYTES
    for write, entry in zip(change.writes, judgement.entries, strict=False):  # none if malformed
        if entry is None:
            entries.append(Current(write.key, 0, None, "", "", contested=False))
            continue
        left -= len(entry.value or b"")
        value = entry.value if left >= 0 else None
        entries.append(
            Current(entry.key, entry.version, value, entry.agent, entry.task, entry.contested)
        )
    return Judged(
        change=change.change,
        offset=offset,
        verdict=judgement.verdict,
        reason=judgement.reason[:MAX_REASON],
        versions=judgement.versions,
        entries=tuple(entries),
        rivals=tuple(islice(_rivals(judgement.against), MAX_RIVALS)),
        forgotten=judgement.forgotten,
    )


def _rivals(every: Iterable[Against]) -> Iterator[Rival]:
    """Yield whose values stood against a change: the one in force, and those that contest it."""
    for own in every:
        entry, rule = own.entry, own.rule
        holder = Rival(
            key=entry.key,
            version=entry.version,
            agent=entry.agent,
            person="" if entry.agent else entry.writer,
            workflow=entry.workflow,
            task=entry.task,
            objective=entry.objective,
            because=entry.because[:MAX_WORDS],
            same=entry.value == own.wanted,
            prefix=rule.prefix,
            resolution=rule.resolution,
        )
        yield holder
        for other in entry.candidates:
            yield holder._replace(
                agent=other.agent,
                person="",
                workflow="",
                task=other.task,
                objective=other.objective,
                because=other.because[:MAX_WORDS],
                same=other.value == own.wanted,
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A message with its addressee and where to answer. `to.incarnation` -1 fits any."""

    to: Holder
    sender: Holder
    sender_inbox: Inbox
    content: Content


Bidder = Callable[[CallForBids], Bid | Decline]
"""An agent's own answer to a call for bids: synchronous, cheap, and never raising."""
