"""No progress: steps and tasks go on, and every answer is one that was known.

An answer is known if the same was asked before and the same was answered, cosmetics aside; of an
error the words are enough, whatever was asked. A new question is progress even if its answer is
like another's: 500 items may all be "ok". Other words of a model are none, for it finds new ones
every time; a new artifact and an accepted write are. Answers are counted for the task that asked
and for the whole workflow, so that a branch that is stuck shows in a busy workflow. One that was
paid for again counts more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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
from mesh.core.values import Amount, StepKind

MAX_KNOWN = 10_000
"""Answers of one workflow that are remembered; what was known before them counts as new."""
PACED = 4
"""Answers after one pause that are a poll: what is asked in one round of it."""
WHOLE = ""
"""Stands for the whole workflow among the names of its tasks."""


class _Answer(NamedTuple):
    """What `asker` was told: its name, the kind of step, and whether it was paid for.

    An error counts as unpaid: that it is tried again is the retry storm's.
    """

    name: str
    asker: str
    paid: bool
    kind: StepKind


class _Run:
    """Mutable: the known answers in a row of one task, or of the whole workflow."""

    def __init__(self) -> None:
        self.count = 0
        self.paid = 0
        self.offsets: deque[int] = deque(maxlen=MAX_EVIDENCE)


class _Learnt:
    """Mutable: what one workflow was told so far."""

    def __init__(self) -> None:
        self.known: dict[str, None] = {}
        self.runs: dict[str, _Run] = {}
        self.paced: dict[str, int] = {}


class NoProgress:
    """Mutable: the answers that each open workflow got, and how many known ones in a row."""

    name = "no-progress"
    kinds: frozenset[type] = frozenset({f.StepFinished, *ENDS})

    def __init__(self) -> None:
        self._workflows: dict[str, _Learnt] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        learnt = self._workflows.setdefault(sight.opened.workflow, _Learnt())
        fact = sight.fact
        if isinstance(fact, f.StepFinished):
            if fact.kind is StepKind.SLEEP:
                _rest(sight, learnt, fact)
                return ()
            answer = _step_answer(fact)
        elif sight.task.phase is Phase.ENDED:
            learnt.runs.pop(sight.opened.task, None)
            learnt.paced.pop(sight.opened.task, None)
            answer = _task_answer(sight)
        else:
            return ()
        return self._answered(sight, learnt, answer)

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._workflows.pop(workflow, None)

    def _answered(self, sight: Sight, learnt: _Learnt, answer: _Answer) -> Sequence[Finding]:
        """Count an answer for who asked and for the workflow; return what is found by it."""
        asker, limits = answer.asker, sight.limits
        if answer.name not in learnt.known:
            make_room(learnt.known, MAX_KNOWN)
            learnt.known[answer.name] = None
            if answer.kind is not StepKind.MODEL:
                learnt.runs.pop(asker, None)
                learnt.runs.pop(WHOLE, None)
            return ()
        if answer.kind in _MAKES:
            return ()
        if learnt.paced.get(asker, 0) > 0:
            learnt.paced[asker] -= 1
            return ()
        found = []
        for scope in dict.fromkeys((asker, WHOLE)):
            run = learnt.runs.setdefault(scope, _Run())
            run.count += 1
            run.paid += answer.paid
            run.offsets.append(sight.record.offset)
            if run.count > limits.stale_results or run.paid > limits.stale_paid_results:
                found.append(_seen(sight, run, scope).of(self.name, sight.task))
        return found[:1]


_MAKES = frozenset({StepKind.ARTIFACT, StepKind.WRITE})
"""Steps that ask nothing: what they make is progress if it is new, and else says nothing."""


def _rest(sight: Sight, learnt: _Learnt, fact: f.StepFinished) -> None:
    """Note a pause: what is asked after it is a poll."""
    step = sight.task.steps.get(fact.step)
    if step is not None and sight.record.append_ms - step.begun_ms >= sight.limits.pace_ms:
        learnt.paced[fact.task] = PACED


def _step_answer(fact: f.StepFinished) -> _Answer:
    if fact.error:
        name = derive("error", fact.name, same_words(fact.error))
    else:
        name = derive("answer", fact.name, fact.input_hash, alike(fact.result))
    return _Answer(name, fact.task, not fact.error and _is_paid(fact.spent), fact.kind)


def _task_answer(sight: Sight) -> _Answer:
    opened, result = sight.opened, sight.result
    if result is None:
        status = type(sight.fact).__name__
        name = derive("error", opened.capability, status, same_words(_reason(sight)))
    else:
        name = derive("answer", opened.capability, alike(opened.input), alike(result))
    paid = result is not None and _is_paid(sight.task.purse.spent)
    return _Answer(name, opened.parent, paid, StepKind.DELEGATE)


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
