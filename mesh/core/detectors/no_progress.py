"""No progress: steps and tasks go on, and every answer is one that was known.

An answer is known if the same was asked before and the same was answered, cosmetics aside; of an
error the words are enough, whatever was asked. A new question is progress even if its answer is
like another's: 500 items may all be "ok". Answers are counted for the task that asked and for the
whole workflow, so that a branch that is stuck shows in a busy workflow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

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
from mesh.core.values import StepKind

MAX_KNOWN = 10_000
"""Answers of one workflow that are remembered; what was known before them counts as new."""
PACED = 4
"""Answers after one pause that are a poll: what is asked in one round of it."""
WHOLE = ""
"""Stands for the whole workflow among the names of its tasks."""


class _Run:
    """Mutable: the known answers in a row of one task, or of the whole workflow."""

    def __init__(self) -> None:
        self.count = 0
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
            if fact.kind not in _ASKS:
                return ()
            answer, asker = _step_answer(fact), fact.task
        else:
            if sight.task.phase is not Phase.ENDED:
                return ()
            _drop(learnt, sight.opened.task)
            answer, asker = _task_answer(sight), sight.opened.parent
        return self._answered(sight, learnt, answer, asker)

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._workflows.pop(workflow, None)

    def _answered(
        self, sight: Sight, learnt: _Learnt, answer: str, asker: str
    ) -> Sequence[Finding]:
        """Count an answer for who asked and for the workflow; return what is found by it."""
        if answer not in learnt.known:
            make_room(learnt.known, MAX_KNOWN)
            learnt.known[answer] = None
            learnt.runs.pop(asker, None)
            learnt.runs.pop(WHOLE, None)
            return ()
        if learnt.paced.get(asker, 0) > 0:
            learnt.paced[asker] -= 1
            return ()
        found = []
        for scope in dict.fromkeys((asker, WHOLE)):
            run = learnt.runs.setdefault(scope, _Run())
            run.count += 1
            run.offsets.append(sight.record.offset)
            if run.count > sight.limits.stale_results:
                found.append(_seen(sight, run, scope).of(self.name, sight.task))
        return found[:1]


_ASKS = frozenset({StepKind.TOOL, StepKind.MODEL})


def _rest(sight: Sight, learnt: _Learnt, fact: f.StepFinished) -> None:
    """Note a pause: what is asked after it is a poll."""
    step = sight.task.steps.get(fact.step)
    if step is not None and sight.record.append_ms - step.begun_ms >= sight.limits.pace_ms:
        learnt.paced[fact.task] = PACED


def _drop(learnt: _Learnt, task: str) -> None:
    """Forget what only matters while a task is open."""
    learnt.runs.pop(task, None)
    learnt.paced.pop(task, None)


def _step_answer(fact: f.StepFinished) -> str:
    if fact.error:
        return derive("error", fact.name, same_words(fact.error))
    return derive("answer", fact.name, fact.input_hash, alike(fact.result))


def _task_answer(sight: Sight) -> str:
    opened, result = sight.opened, sight.result
    if result is None:
        status = type(sight.fact).__name__
        return derive("error", opened.capability, status, same_words(_reason(sight)))
    return derive("answer", opened.capability, alike(opened.input), alike(result))


def _reason(sight: Sight) -> str:
    fact = sight.fact
    return fact.reason if isinstance(fact, f.TaskFailed | f.TaskRejected) else ""


def _seen(sight: Sight, run: _Run, scope: str) -> Seen:
    limit = sight.limits.stale_results
    who = "The whole workflow" if scope == WHOLE else _asker(sight, scope)
    return Seen(
        thing=f"answers to {scope or 'the workflow'}",
        measure="answers in a row that were known",
        seen=run.count,
        limit=limit,
        evidence=run.offsets,
        text=(
            f"{who} asked {run.count} times in a row for what it had been told already and was "
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
