"""A workflow in plain sentences: who did what, for whom, why and at what price.

For people who do not know the protocol: a risk officer, an auditor. Each sentence stands by itself
and is about one fact that counted; where it stands in the log is its evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.values import Cause, Effect, Mode, Outcome, Terms
from mesh.telling.words import MAX_TEXT, amount, clip, listed, money, plural, sentence

_CAUSES = {
    Cause.FAILED: "after the attempt before had failed",
    Cause.REJECTED: "after the result before had been sent back",
    Cause.DIED: "after the worker before had fallen silent",
    Cause.DECLINED: "after it had been declined",
    Cause.RESUMED: "to go on where it was interrupted",
}
OUTSIDE = "Somebody outside the mesh"


class Prose:
    """Mutable: knows the tasks of one workflow that were told so far, so that it can name them."""

    def __init__(self) -> None:
        self._capabilities: dict[str, str] = {}
        self._agents: dict[str, str] = {}
        self._callers: dict[str, str] = {}
        self._tell: dict[type, Callable[[Any], str]] = {
            f.TaskOpened: self._opened,
            f.BidsCalled: self._called,
            f.TaskAwarded: lambda fact: self._awarded(fact, fact.award),
            f.ResultRejected: self._sent_back,
            f.CancelRequested: self._cancel,
            f.TaskCompleted: self._completed,
            f.AwardDeclined: lambda fact: (
                f"{self.who(fact)} declines {self._what(fact)}: {fact.reason}"
            ),
            f.StepBegun: self._begun,
            f.StepFinished: self._step,
            f.SpendReserved: self._reserves,
            f.SpendSettled: lambda fact: f"{self.who(fact)} is charged {amount(fact.amount)}",
            f.DecisionRecorded: self._decides,
            f.WorkSuspended: lambda fact: f"{self._what(fact, first=True)} is {sentence(fact)}",
            f.WorkCancelled: lambda fact: (
                f"{self.who(fact)} gives up {self._what(fact)}: {fact.reason}"
            ),
            f.WorkFinished: self._finished,
            f.TaskFailed: lambda fact: self._ends(fact, "fails"),
            f.TaskRejected: lambda fact: self._ends(fact, "is rejected"),
            f.TaskExpired: lambda fact: self._ends(fact, "runs out of time"),
            f.TaskCancelled: lambda fact: self._ends(fact, "is cancelled"),
        }

    def sentence(self, fact: f.Fact) -> str:
        """Return what a fact says, in one sentence; facts are told in the order of the log."""
        tell = self._tell.get(type(fact))
        return clip(sentence(fact) if tell is None else tell(fact), 3 * MAX_TEXT)

    def who(self, fact: f.Fact) -> str:
        """Return who a fact is about: the agent that works on the task, else who wrote it."""
        return self._agents.get(getattr(fact, "task", "")) or fact.by.instance

    def _what(self, fact: Any, *, first: bool = False) -> str:
        """Return what the task is about."""
        capability = self._capabilities.get(fact.task, "a task")
        return f"{'The' if first else 'the'} task {capability}"

    def _opened(self, fact: f.TaskOpened) -> str:
        self._capabilities[fact.task] = fact.capability
        caller = self._callers[fact.task] = fact.caller or OUTSIDE
        goal = "" if fact.parent else clip(fact.charter.goal)
        goal = f" ({goal})" if goal not in ("", fact.capability) else ""
        asks = f"{caller} asks for {fact.capability}{goal} and allows {amount(fact.grant)}"
        if fact.award is None:
            return asks
        return f"{asks}; {self._awarded(fact, fact.award)}"

    def _called(self, fact: f.BidsCalled) -> str:
        own = 1 if fact.own_offer is not None else 0
        asked = plural(len(fact.candidates) + own, "candidate")
        return f"Bids for {self._what(fact)} are called for from {asked}"

    def _awarded(self, fact: Any, terms: Terms) -> str:
        self._agents[fact.task] = terms.agent
        again = f" {_CAUSES[terms.cause]}" if terms.cause in _CAUSES else ""
        given = f"{terms.agent} is given {self._what(fact)}{again}"
        if terms.mode is not Mode.AUCTION:
            return f"{given} ({terms.why})"
        return f"{given}; {self._bids(terms)}, so it won: {terms.why}"

    def _bids(self, terms: Terms) -> str:
        made = [own for own in terms.offers if not own.declined]
        ranked = sorted(made, key=lambda own: own.score_permille, reverse=True)
        bids = [
            f"{own.agent} bid {money(own.price_micro_usd)} (score {own.score_permille})"
            for own in ranked[:4]
        ]
        declined = len(terms.offers) - len(made)
        passed = f"; {plural(declined, 'candidate')} declined" if declined else ""
        return f"{listed(bids) or 'nobody bid'}{passed}"

    def _sent_back(self, fact: f.ResultRejected) -> str:
        checker = self._callers.get(fact.task, "Who asked")
        return f"{checker} sends the result of {self.who(fact)} back: {fact.reason}"

    def _cancel(self, fact: f.CancelRequested) -> str:
        by = fact.person or "Its supervisor"
        return f"{by} asks to end {self._what(fact)}: {fact.because}"

    def _completed(self, fact: f.TaskCompleted) -> str:
        checker = self._callers.get(fact.task, "Who asked")
        return f"{checker} accepts the result of {self.who(fact)} for {self._what(fact)}"

    def _begun(self, fact: f.StepBegun) -> str:
        effect = "" if fact.effect is Effect.PURE else f", which is {fact.effect}"
        reserve = "" if fact.reserve == ZERO else f", with {amount(fact.reserve)} set aside"
        return f"{self.who(fact)} begins the {fact.kind} {fact.name}{effect}{reserve}"

    def _step(self, fact: f.StepFinished) -> str:
        return f"{self.who(fact)}: {sentence(fact)}"

    def _reserves(self, fact: f.SpendReserved) -> str:
        return f"{self.who(fact)} sets {amount(fact.amount)} aside: {fact.because}"

    def _decides(self, fact: f.DecisionRecorded) -> str:
        return f"{self.who(fact)} decides: {fact.choice}, because {fact.because}"

    def _finished(self, fact: f.WorkFinished) -> str:
        if fact.outcome is not Outcome.COMPLETED:
            where = f" at {fact.field}" if fact.field else ""
            return f"{self.who(fact)} {fact.outcome} {self._what(fact)}{where}: {fact.error}"
        sure = f", {fact.confidence_permille // 10} % sure" if fact.confidence_permille else ""
        return f"{self.who(fact)} finishes {self._what(fact)} for {amount(fact.spent)}{sure}"

    def _ends(self, fact: Any, how: str) -> str:
        return f"{self._what(fact, first=True)} {how}: {fact.reason}"
