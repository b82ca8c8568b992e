"""No progress: steps and tasks go on, and every answer is one that was known.

An answer is known if the same was answered before to the same question, cosmetics aside, and that
was known when it was asked: ten samples taken at once are none. Of an error the words are enough,
whatever was asked. A new question is progress even if its answer is
like another's: 500 items may all be "ok". Other words of a model are none, for it finds new ones
every time; a new artifact and an accepted write are. Answers are counted for the task that asked
and for the whole workflow, so that a branch that is stuck shows in a busy workflow. One that was
paid for again counts more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.detectors.frame import (
    ENDS,
    MAX_EVIDENCE,
    Finding,
    Seen,
    Sight,
    agent_of,
    make_room,
    quote,
)
from mesh.core.detectors.likeness import alike, same_words
from mesh.core.ids import derive
from mesh.core.tasks import Phase
from mesh.core.values import NOTHING, Amount, Body, StepKind

MAX_KNOWN = 10_000
"""Answers of one workflow that are remembered; what was known before them counts as new."""
PACED = 4
"""Answers after one pause that are a poll: what is asked in one round of it."""
WHOLE = ""
"""Stands for the whole workflow among the names of its tasks."""


class _Pause(NamedTuple):
    """A task slept: what it asks next is a poll."""

    task: str


class _End(NamedTuple):
    """A task ended: nothing more is asked by it."""

    task: str


class _Answer(NamedTuple):
    """What `asker` was told by the tool, model or capability `name`; `error` "" for success.

    `paid` says whether it cost money or tokens. An error counts as unpaid: that it is tried again
    is the retry storm's. `asked_at` and `offset` are the places of question and answer in the log.
    """

    asker: str
    kind: StepKind
    name: str
    asked: bytes | Body
    said: Body
    error: str
    paid: bool
    asked_at: int
    offset: int

    @property
    def id(self) -> str:
        """The same for all answers that say nothing new beside each other."""
        if self.error:
            return derive("error", self.name, same_words(self.error))
        asked = alike(self.asked) if isinstance(self.asked, Body) else self.asked
        return derive("answer", self.name, asked, alike(self.said))


_Event = _Pause | _End | _Answer


class _Run:
    """Mutable: the known answers in a row of one task, or of the whole workflow."""

    def __init__(self) -> None:
        self.count = 0
        self.paid = 0
        self.offsets: deque[int] = deque(maxlen=MAX_EVIDENCE)


class _Learnt:
    """Mutable: what one workflow was told so far.

    Most workflows end after a few answers, too few for a finding: `early` keeps these as they are,
    for to read them takes longer than all the rest. None once they were read.
    """

    def __init__(self) -> None:
        self.early: list[_Event] | None = []
        self.known: dict[str, int] = {}
        self.runs: dict[str, _Run] = {}
        self.paced: dict[str, int] = {}

    def hear(self, event: _Event, least: int) -> list[tuple[str, _Run]]:
        """Take an event; return the rows that became longer, if one may be above `least`."""
        if self.early is None:
            return self._take(event)
        self.early.append(event)
        if len(self.early) <= least + 1:  # a row needs one answer more, which was new
            return []
        early, self.early = self.early, None
        return [self._take(one) for one in early][-1]

    def _take(self, event: _Event) -> list[tuple[str, _Run]]:
        if isinstance(event, _Answer):
            return self._told(event)
        self.paced.pop(event.task, None)
        if isinstance(event, _Pause):
            self.paced[event.task] = PACED
        else:
            self.runs.pop(event.task, None)
        return []

    def _told(self, answer: _Answer) -> list[tuple[str, _Run]]:
        """Count an answer for who asked and for the workflow."""
        asker, name = answer.asker, answer.id
        if name not in self.known:
            make_room(self.known, MAX_KNOWN)
            self.known[name] = answer.offset
            if answer.kind is not StepKind.MODEL:
                self.runs.pop(asker, None)
                self.runs.pop(WHOLE, None)
            return []
        if answer.kind in _MAKES or answer.asked_at < self.known[name]:
            return []
        if self.paced.get(asker, 0) > 0:
            self.paced[asker] -= 1
            return []
        scopes = dict.fromkeys((asker, WHOLE))
        longer = [(scope, self.runs.setdefault(scope, _Run())) for scope in scopes]
        for _, run in longer:
            run.count += 1
            run.paid += answer.paid
            run.offsets.append(answer.offset)
        return longer


class NoProgress:
    """Mutable: the answers that each open workflow got, and how many known ones in a row."""

    name = "no-progress"
    kinds: frozenset[type] = frozenset({f.StepFinished, *ENDS})

    def __init__(self) -> None:
        self._workflows: dict[str, _Learnt] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        learnt = self._workflows.get(sight.opened.workflow)
        if learnt is None:
            learnt = self._workflows[sight.opened.workflow] = _Learnt()
        stale, paid = sight.limits.stale_results, sight.limits.stale_paid_results
        longer: list[tuple[str, _Run]] = []
        for event in _events(sight):
            longer = learnt.hear(event, min(stale, paid))
        for scope, run in longer:
            if run.count > stale or run.paid > paid:
                return (_seen(sight, run, scope).of(self.name, sight.task),)
        return ()

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._workflows.pop(workflow, None)


_MAKES = frozenset({StepKind.ARTIFACT, StepKind.WRITE})
"""Steps that ask nothing: what they make is progress if it is new, and else says nothing."""


def _events(sight: Sight) -> Iterator[_Event]:
    """Yield what a fact says of questions and answers."""
    fact = sight.fact
    if isinstance(fact, f.StepFinished):
        if fact.kind is not StepKind.SLEEP:
            yield _step_answer(sight, fact)
        elif _is_long(sight, fact):
            yield _Pause(fact.task)
    elif sight.task.phase is Phase.ENDED:
        yield _End(sight.opened.task)
        yield _task_answer(sight)


def _is_long(sight: Sight, fact: f.StepFinished) -> bool:
    """Tell whether a sleep was a pause."""
    begun_ms = sight.task.steps[fact.step].begun_ms
    return sight.record.append_ms - begun_ms >= sight.limits.pace_ms


def _step_answer(sight: Sight, fact: f.StepFinished) -> _Answer:
    return _Answer(
        asker=fact.task,
        kind=fact.kind,
        name=fact.name,
        asked=fact.input_hash,
        said=fact.result,
        error=fact.error,
        paid=not fact.error and _is_paid(fact.spent),
        asked_at=sight.task.steps[fact.step].offset,
        offset=sight.record.offset,
    )


def _task_answer(sight: Sight) -> _Answer:
    opened, result = sight.opened, sight.result
    return _Answer(
        asker=opened.parent,
        kind=StepKind.DELEGATE,
        name=opened.capability,
        asked=opened.input,
        said=result or NOTHING,
        error="" if result is not None else f"{type(sight.fact).__name__} {_reason(sight)}",
        paid=result is not None and _is_paid(sight.task.purse.spent),
        asked_at=sight.task.offset,
        offset=sight.record.offset,
    )


def _is_paid(spent: Amount) -> bool:
    return spent.micro_usd > 0 or spent.tokens > 0


def _reason(sight: Sight) -> str:
    fact = sight.fact
    return fact.reason if isinstance(fact, f.TaskFailed | f.TaskRejected) else ""


def _seen(sight: Sight, run: _Run, scope: str) -> Seen:
    limits = sight.limits
    paid = run.count <= limits.stale_results
    seen, limit = (
        (run.paid, limits.stale_paid_results) if paid else (run.count, limits.stale_results)
    )
    also = ", paid for it" if paid else ""
    who = "The whole workflow" if scope == WHOLE else _asker(sight, scope)
    return Seen(
        thing=f"answers to {scope or 'the workflow'}",
        measure=f"answers in a row that were known{' and paid for again' if paid else ''}",
        seen=seen,
        limit=limit,
        evidence=run.offsets,
        text=(
            f"{who} asked {seen} times in a row for what it had been told already{also}, and was "
            f"told the same ({limit} allowed); the last: {quote(_asked(sight))}."
        ),
    )


def _asker(sight: Sight, scope: str) -> str:
    task = sight.ledger.tasks.get(scope, sight.task)
    return f"{agent_of(task) or 'nobody'} {task.opened.capability}"


def _asked(sight: Sight) -> str:
    fact = sight.fact
    if isinstance(fact, f.StepFinished):
        return f"{fact.kind} {fact.name}" + (f" ({fact.error})" if fact.error else "")
    return sight.opened.capability
