"""Why: a task's awards decided again from their figures, and everything that was refused.

Nothing here is taken on trust. An award is recomputed by the same function that made it
(`negotiation.recompute`), a refused fact is explained by the ledger's own verdict, and each line
names its coordinates: audit partition and offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core import negotiation
from mesh.core.negotiation import WEIGHTS, Means
from mesh.core.standing import PERMILLE
from mesh.core.tasks import Phase
from mesh.core.values import Amount, Mode, Offer, Outcome, Terms, Wait
from mesh.telling import words
from mesh.telling.story import Books, Chronicle, Entry

RULES = {
    Mode.DIRECT: (
        "direct: the supervisor itself if it offers the capability and has a slot free, else the "
        "less loaded of two live instances chosen by rendezvous hash"
    ),
    Mode.NAMED: "named: an instance of the agent that the caller named",
    Mode.AUCTION: (
        f"auction: {WEIGHTS.price} per mille for price against what the task can pay, "
        f"{WEIGHTS.time} for time against the time left, {WEIGHTS.trust} for confidence times "
        "standing (good results of all, in tenths; on trial, the best who was asked); a free slot "
        "before none; ties by rendezvous hash"
    ),
}
COUNTS = "what counts: the author's lease in log time, the task's phase, and the check of the kind"
ATTEMPTS = "attempts: at most `max_attempts`, all on the same budget"
ENDS: dict[type, str] = {
    f.TaskRejected: "input: must fit the schema, as budget and deadline the limits",
    f.TaskExpired: "deadline: fixed when the task is opened; no lease outlives it",
    f.TaskCancelled: "cancellation: asked for by its supervisor or a person, or its parent ended",
}
CEILING = "budget: reserve before you spend; spent + reserved + granted + free = budget"


class Points(NamedTuple):
    """One offer with its score taken apart, in per mille of each part and in all."""

    offer: Offer
    price: int
    time: int
    trust: int
    score: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One thing that happened to a task, and why.

    `kind` is `award`, `refused`, `sent back`, `failed`, `budget`, `parked`, `halted` or `end`.
    `agrees` is None where there is nothing to recompute, else whether that gave what was recorded.
    """

    kind: str
    where: str
    at_ms: int
    text: str
    rule: str
    agrees: bool | None = None
    disagreement: str = ""
    means: Means | None = None
    points: tuple[Points, ...] = ()
    books: Books | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """All reasons of one task, in the order of the log."""

    task: str
    capability: str
    workflow: str
    reasons: tuple[Reason, ...]

    @property
    def awards(self) -> int:
        """How many awards were recomputed."""
        return sum(reason.kind == "award" for reason in self.reasons)

    @property
    def agrees(self) -> bool:
        """Whether every award follows from its figures."""
        return all(reason.agrees is not False for reason in self.reasons)


def explain(chronicle: Chronicle, task: str, partition: int) -> Explanation | None:
    """Return why a task went as it did, None if it was never opened."""
    state = chronicle.states.get(task)
    if state is None:
        return None
    calls = {
        entry.record.offset: entry.record.fact
        for entry in chronicle.entries
        if isinstance(entry.record.fact, f.BidsCalled)
    }
    own = [e for e in chronicle.entries if getattr(e.record.fact, "task", "") == task]
    asking = _Asking(state.opened, calls, partition)
    reasons = [reason for entry in own for reason in asking.about(entry)]
    if state.phase is Phase.SUSPENDED:
        reasons += asking.parked(own[-1], state.waiting_for)
    return Explanation(
        task=task,
        capability=state.opened.capability,
        workflow=chronicle.workflow,
        reasons=tuple(reasons),
    )


class _Asking:
    def __init__(
        self, opened: f.TaskOpened, calls: dict[int, f.BidsCalled], partition: int
    ) -> None:
        self.opened = opened
        self.calls = calls
        self.partition = partition

    def about(self, entry: Entry) -> Iterator[Reason]:
        """Yield what there is to say about one record of the task."""
        fact = entry.record.fact
        if entry.void:
            by = f"{type(fact).__name__} of {fact.by.instance}/{fact.by.incarnation}"
            text = f"{by} is void: {entry.void}"
            yield self._reason(entry, "refused", text, COUNTS, entry.books)
            return
        if isinstance(fact, f.TaskOpened | f.TaskAwarded) and fact.award is not None:
            yield self._award(entry, fact.award)
        elif isinstance(fact, f.ResultRejected):
            text = f"the result of the award at {fact.award} was sent back: {fact.reason}"
            yield self._reason(entry, "sent back", text, ATTEMPTS)
        elif isinstance(fact, f.WorkFinished) and fact.outcome is not Outcome.COMPLETED:
            yield from self._failed(entry, fact)
        elif isinstance(fact, f.StepFinished) and fact.error:
            text = f"step {fact.step}, {fact.kind} {fact.name}: {fact.error}"
            yield self._reason(entry, "failed", text, "a tool's error is the step's result")
        elif isinstance(fact, f.AwardDeclined):
            yield self._reason(entry, "refused", words.sentence(fact), "a decline is no attempt")
        elif isinstance(fact, f.EndFact) and not isinstance(fact, f.TaskCompleted):
            rule = ENDS.get(type(fact), ATTEMPTS)
            yield self._reason(entry, "end", words.sentence(fact), rule)

    def parked(self, entry: Entry, waits: tuple[Wait, ...]) -> Iterator[Reason]:
        """Yield what a person must look at, and what was halted."""
        for wait in waits:
            if wait.kind == "halt":
                rule = "a halt suspends at the next step, and awards nothing before it is lifted"
                yield self._reason(entry, "halted", f"{wait.note} was halted", rule)
            elif wait.note:
                rule = "parked: it must not happen twice, or the code no longer fits the journal"
                yield self._reason(entry, "parked", wait.note, rule)

    def _failed(self, entry: Entry, fact: f.WorkFinished) -> Iterator[Reason]:
        where = f" at {fact.field}" if fact.field else ""
        text = f"the attempt {fact.outcome}{where}: {fact.error}"
        yield self._reason(entry, "failed", text, ATTEMPTS)
        if "BudgetExceeded" in fact.error and entry.books is not None:
            books = entry.books
            text = f"of {words.amount(books.total)} is free: {words.amount(books.free)}"
            yield self._reason(entry, "budget", text, CEILING, books)

    def _award(self, entry: Entry, terms: Terms) -> Reason:
        called = self.calls.get(terms.call)
        disagreement = negotiation.recompute(self.opened, called, terms)
        means = None
        if called is not None:
            means = negotiation.means_of(self.opened, called, terms.free)
        return Reason(
            kind="award",
            where=self._where(entry),
            at_ms=entry.record.append_ms,
            text=words.awarded(terms),
            rule=RULES[terms.mode],
            agrees=not disagreement,
            disagreement=disagreement,
            means=means,
            points=tuple(_points(offer, means) for offer in terms.offers) if means else (),
        )

    def _reason(
        self, entry: Entry, kind: str, text: str, rule: str, books: Books | None = None
    ) -> Reason:
        return Reason(
            kind=kind,
            where=self._where(entry),
            at_ms=entry.record.append_ms,
            text=text,
            rule=rule,
            books=books,
        )

    def _where(self, entry: Entry) -> str:
        return f"{self.partition}/{entry.record.offset}"


def _points(offer: Offer, means: Means) -> Points:
    """Take a score apart: the same function, asked for one part at a time."""
    if offer.declined:
        return Points(offer, 0, 0, 0, 0)
    price, time, trust = (
        negotiation.score(offer, means, negotiation.Weights(*weights))
        for weights in ((PERMILLE, 0, 0), (0, PERMILLE, 0), (0, 0, PERMILLE))
    )
    return Points(offer, price, time, trust, negotiation.score(offer, means))


def dimensions(books: Books) -> Iterator[tuple[str, Books]]:
    """Yield name and figures of each dimension that is limited, figures as amounts of it alone."""
    for place, name in enumerate(Amount._fields):
        if books.total[place]:
            alone = [Amount(**{name: part[place]}) for part in books]
            yield name, Books(*alone)
