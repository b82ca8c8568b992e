"""Runs a recorded task's handler against its journal: offline, and without doing anything.

The handler is started as a worker would start it. Each call is compared with the journal's step of
that place, as a worker would find it there (`mesh.core.recall`), and answered with the recorded
result. A tool, a model or another agent is never called. What the handler returns in the end must
be what was recorded. So a divergence is what a worker would park the task for, or a result that
changed. Where several attempts were made, it is the last one that is run.

A call that was refused (no budget, not in the scope) left no record. It is known by the steps that
came after it on its path, or by the end that it led to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from mesh.core import calls as c
from mesh.core.negotiation import refuse_call
from mesh.core.recall import find, place_of, shown, signature, signature_of
from mesh.core.settings import Settings
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import Amount, Effect, Outcome
from mesh.errors import BudgetExceeded, JournalMismatch, ScopeError

if TYPE_CHECKING:
    from mesh.runtime.agent import Agent
    from mesh.runtime.artifacts import Artifacts
    from mesh.runtime.running import HandlerInput

LIMIT_S: Final = 60.0
"""A replay waits for nothing but the handler's own computing."""
SWEEP_S: Final = 0.05


class Verdict(StrEnum):
    """What a replay came to."""

    SAME = "same"
    WAITS = "waits"
    DIVERGES = "diverges"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The replay of one task.

    `verdict` is `same` if the handler took every recorded step and ended as recorded, `waits` if it
    took all and waits where the recorded one did. Else `step` names the first that differs, with
    both sides; "" stands for the end. `digest` says whether the code itself is the recorded one.
    """

    task: str
    capability: str
    agent: str
    verdict: Verdict
    steps: int
    same_code: bool
    step: str = ""
    recorded: str = ""
    called: str = ""


class Replayer:
    """Mutable: replays the tasks of one agent."""

    def __init__(self, agent: Agent, artifacts: Artifacts | None) -> None:
        from mesh.runtime.handlers import Runner

        self.agent = agent
        self._one: _One | None = None
        self._now_ms = 0
        self._runner = Runner(
            agent,
            self._said,
            clock=lambda: self._now_ms,
            settings=Settings(suspend_after_ms=1),
            artifacts=artifacts,
            progress=lambda *_: None,
        )

    async def replay(self, state: TaskState) -> Replay:
        """Run a task's handler against its journal."""
        one = self._one = _One(self.agent, state)
        self._now_ms = state.opened_ms
        self._runner.apply(c.Start(one.work))
        try:
            async with asyncio.timeout(LIMIT_S):
                while not one.over.is_set():
                    self._now_ms += int(SWEEP_S * 1_000)
                    self._runner.sweep(self._now_ms)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(one.over.wait(), SWEEP_S)
        except TimeoutError:
            one.differs("", "an end", f"nothing for {LIMIT_S:.0f} s")
        if not one.finished:
            self._runner.apply(c.Stop(one.work.task, one.work.award, "lost"))
        return one.result()

    async def close(self) -> None:
        """Let go of threads and of handlers that go on."""
        await self._runner.close(1.0)

    def _said(self, said: HandlerInput) -> None:
        one = self._one
        if one is None or (said.task, said.award) != (one.work.task, one.work.award):
            return
        for answer in one.hear(said):
            asyncio.get_running_loop().call_soon(self._runner.apply, answer)


class _One:
    """Mutable: one task against its journal."""

    def __init__(self, agent: Agent, state: TaskState) -> None:
        self.agent = agent
        self.state = state
        self.over = asyncio.Event()
        self.finished = False
        opened = state.opened
        restart = max((_restart_of(name) for name in state.steps), default=0)
        award = state.lease.position if state.lease is not None else -1
        terms = state.terms
        self.work = c.Work(
            opened.workflow,
            opened.task,
            award,
            state.epoch,
            state.revision + 1,
            terms.reason if terms is not None else "",
            opened,
            state.opened_ms,
            restart,
        )
        head = f"r{restart}/" if restart else ""
        self._left = {
            name: step
            for name, step in state.steps.items()
            if (name.startswith(head) if head else "/" not in name) and step.offset >= state.revised
        }
        self._taken: set[str] = set()
        self._unanswered: set[str] = set()
        self._difference: tuple[str, str, str] | None = None
        self._waits = False

    def hear(self, said: HandlerInput) -> list[c.Resolve | c.Refuse]:
        """Take what the handler says; return what it is answered."""
        if self.over.is_set():
            return []
        match said:
            case c.Called():
                return self._called(said.call)
            case c.HandlerFinished():
                self.finished = True
                self._ended(said)
            case c.HandlerStopped():
                self.finished = True
                self.over.set()
            case c.Waiting() if self._unanswered.issuperset(said.steps):
                self._waiting()
            case _:
                pass  # its answer is on its way; nothing is performed, probed or reviewed here
        return []

    def _called(self, call: c.Call) -> list[c.Resolve | c.Refuse]:
        if isinstance(call, c.Withdraw):
            return []
        entry = find(self.state, call, self._taken, lambda _: Effect.PURE)
        if isinstance(entry, JournalMismatch):
            self.differs(call.step, entry.recorded, entry.called)
            return []
        if entry.step is None:
            return self._new(call)
        self._taken.add(entry.name)
        self._left.pop(entry.name, None)
        if entry.step.result is None:
            self._unanswered.add(call.step)
            return []
        return [c.Resolve(self.work.task, self.work.award, call.step, entry.step.result)]

    def _new(self, call: c.StepCall) -> list[c.Resolve | c.Refuse]:
        """Take a call that the journal does not have."""
        called = shown(signature(call))
        error = self._refused(call)
        earlier = self.state.steps.get(call.step)
        if earlier is not None and signature_of(earlier) != signature(call):
            # the recorded attempt took what one before it had done there
            self.differs(call.step, shown(signature_of(earlier)), called)
        elif error is not None:
            return [c.Refuse(self.work.task, self.work.award, call.step, error)]
        elif self._ends_here():
            self.differs(call.step, "the end", called)
        else:
            self._waits = True  # the recorded handler was interrupted before this step
            self.over.set()
        return []

    def _refused(self, call: c.Call) -> Exception | None:
        """Return the refusal that this call met when it was recorded, None if it met none."""
        path, ordinal = _place(call.step)
        later = any(
            own_path == path and own_ordinal > ordinal
            for own_path, own_ordinal in map(_place, self._left)
        )
        finished = self.state.finished
        error = finished.error if finished is not None else ""
        if not later and "BudgetExceeded" not in error and "ScopeError" not in error:
            return None
        if isinstance(call, c.Delegate):
            reason = refuse_call(self.agent.card(), call.capability)
            if reason:
                return ScopeError(reason)
        asked = _asked(call)
        name = next((n for n, part in zip(Amount._fields, asked, strict=True) if part), "hops")
        return BudgetExceeded(name, asked=getattr(asked, name), free=0)

    def _ends_here(self) -> bool:
        """Tell whether the recorded handler came to its end after these steps."""
        return self.state.finished is not None

    def _ended(self, said: c.HandlerFinished) -> None:
        recorded = self.state.finished
        if recorded is None:
            # the recorded one was interrupted; whatever it had done, this one did as well
            self.over.set()
            return
        if self._left and said.outcome is Outcome.COMPLETED:
            name, step = next(iter(self._left.items()))
            self.differs(name, shown(signature_of(step)), "the end")
            return
        then = (recorded.outcome, recorded.field, _first(recorded.error), recorded.result.hash)
        now = (said.outcome, said.field, _first(said.error), said.body.hash)
        # a refusal's figures are not in the log, so neither is what an error says of them
        if said.outcome is not Outcome.COMPLETED:
            then, now = (*then[:2], "", b""), (*now[:2], "", b"")
        if then != now:
            self.differs("", _told(*then), _told(said.outcome, said.field, said.error, now[3]))
            return
        self.over.set()

    def _waiting(self) -> None:
        """Every path waits for a step that has no recorded result."""
        self._waits = True
        if self._ends_here():
            self.differs("", "an end", "it waits for a step that was never finished")
        self.over.set()

    def differs(self, step: str, recorded: str, called: str) -> None:
        """Note the first difference; nothing after it matters."""
        if self._difference is None:
            self._difference = (step, recorded, called)
        self.over.set()

    def result(self) -> Replay:
        """Return what it came to."""
        opened, terms = self.state.opened, self.state.terms
        own = self.agent.capabilities[opened.capability].digest
        verdict = Verdict.WAITS if self._waits else Verdict.SAME
        step, recorded, called = self._difference or ("", "", "")
        return Replay(
            task=opened.task,
            capability=opened.capability,
            agent=self.agent.name,
            verdict=Verdict.DIVERGES if self._difference is not None else verdict,
            steps=len(self._taken),
            same_code=terms is None or terms.digest == own,
            step=step,
            recorded=recorded,
            called=called,
        )


def replayable(state: TaskState, agents: Mapping[str, Agent]) -> str:
    """Return why a task cannot be replayed, "" if it can."""
    terms = state.terms
    if terms is None:
        return "nobody was awarded it"
    agent = agents.get(terms.agent)
    if agent is None:
        return f"the code of {terms.agent} was not given"
    if state.opened.capability not in agent.capabilities:
        return f"{terms.agent} as given does not offer {state.opened.capability}"
    finished = state.finished
    if state.phase is Phase.ENDED and finished is None and not state.steps:
        return "no handler did anything"
    return ""


def _asked(call: c.Call) -> Amount:
    match call:
        case c.Spend():
            return call.amount
        case c.Use():
            return call.reserve
        case c.Delegate():
            return call.grant or Amount()
        case _:
            return Amount()


def _told(outcome: Outcome, field: str, error: str, result: bytes) -> str:
    if error or field:
        return f"{outcome}{f' at {field}' if field else ''}: {error}"
    return f"{outcome}, result {result.hex()[:12]}"


def _first(error: str) -> str:
    """Return an error without the places in the code, which change with every edit."""
    return error.partition(" (at ")[0]


def _place(step: str) -> tuple[str, int]:
    """Return a step's path and its ordinal there."""
    head, dot, ordinal = place_of(step).rpartition(".")
    if not dot:
        head, slash, ordinal = place_of(step).rpartition("/")
        head += slash
    return head + dot, int(ordinal) if ordinal.isdigit() else -1


def _restart_of(step: str) -> int:
    head, slash, _ = step.partition("/")
    return int(head[1:]) if slash and head[:1] == "r" else 0
