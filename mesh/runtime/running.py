"""One start of one handler: its paths, what they wait for, and how it ends.

**Answers in log order.** With a single path an answer goes straight to the step that waits for it.
With several, a result is handed over only when every path is blocked, the one with the lowest
offset first. So between two results the handler runs to where nothing moves any more, in the first
execution as in each replay, and even paths that share variables see each other in the same order.

**Where an unanswered step is.** A path waits for it (`_waits`). If that path is cancelled, the step
is *loose*: its answer is awaited before the handler counts as finished, but given to nobody; a
sleep is only *dozing*, nobody waits for it any more. A tool's or model's call is *performed* in a
task beside the path: tasks created by a tool get no path, and an effect that has begun may end
while its handler is being unwound.

**The end.** A start is open while the handler runs; closing once it returned or raised, when paths
that were left over are cancelled and loose steps awaited; stopped after `Stop`, when calls journal
nothing and raise `CancelledError`; and ended when the core was told.

Nothing here calls `send` while the core is speaking (`deliver`, `stop`): what must be said then is
said in a later turn of the loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context as Variables
from contextvars import copy_context
from enum import IntEnum
from typing import Any, Protocol

from mesh.core.calls import (
    Call,
    Called,
    HandlerFinished,
    HandlerStopped,
    Perform,
    Probe,
    Probed,
    Refuse,
    Resolve,
    Result,
    Review,
    Reviewed,
    StepDone,
    Waiting,
    Withdraw,
    Work,
)
from mesh.core.settings import MAX_STEPS
from mesh.core.values import NOTHING, Amount, Body
from mesh.errors import MeshError, UsageError
from mesh.runtime.paths import PathTask, current_path, nothing_ready

UNWIND_LIMIT_S = 5.0
"""A handler that has not ended by then after it was told to is abandoned: a drain must end."""
STILL_TURNS = 4
"""Turns of the loop in which no path moves before the next result is handed over, unless the loop
has nothing else to run: asyncio's own callbacks take one for each future within a future (a
`gather` of a `gather`) between two paths."""

HandlerInput = Called | StepDone | Probed | Reviewed | Waiting | HandlerFinished | HandlerStopped
Answer = Resolve | Perform | Probe | Review | Refuse


class Phase(IntEnum):
    """Where a start of a handler stands."""

    OPEN = 0
    CLOSING = 1
    STOPPED = 2
    ENDED = 3


class Doer(Protocol):
    """What a step has to do before its result: the effect of a tool, the check of a result."""

    @property
    def reserve(self) -> Amount:
        """What it costs at most."""

    @property
    def interruptible(self) -> bool:
        """Whether cancelling it ends it."""

    @property
    def patient(self) -> bool:
        """Whether it only waits for an answer: its handler may be suspended meanwhile."""

    async def perform(self, key: str) -> tuple[str, Amount, Body]:
        """Do the effect under its idempotency key; return error, cost and result."""

    async def probe(self, key: str) -> Body | None:
        """Return the result if the effect happened, None if it never did."""

    async def review(self, child: str, contents: Body) -> str:
        """Return why a child's result is refused, "" if it is accepted."""


class Host(Protocol):
    """The runner, as one start sees it."""

    loop: asyncio.AbstractEventLoop
    send: Callable[[HandlerInput], None]
    clock: Callable[[], int]
    variables: Variables

    def ended(self, running: Running) -> None:
        """Forget a start: the core is told of its end in the same turn."""


class Wait:
    """Mutable: one step that a path waits for; `variables` are the context variables there."""

    __slots__ = ("doer", "dozes", "future", "path", "variables")

    def __init__(
        self, path: PathTask, future: asyncio.Future[Result], doer: Doer | None, dozes: bool
    ) -> None:
        self.path = path
        self.future = future
        self.doer = doer
        self.dozes = dozes
        self.variables = None if doer is None else copy_context()


class Running:
    """Mutable: one start of one handler.

    `plain` handlers run in a thread and cannot be interrupted. `abandoned` counts the paths that
    went on although they were cancelled.
    """

    __slots__ = (
        "_active", "_checking", "_dozing", "_held", "_host", "_limit", "_loop", "_loose", "_paths",
        "_performing", "_pumping", "_quiet_since_ms", "_quiet_turn", "_settled", "_sleeps",
        "_still", "_turn", "_waits", "abandoned", "award", "phase", "plain", "restart",
        "speaking", "steps", "task", "work",
    )  # fmt: skip

    def __init__(self, work: Work, host: Host, *, plain: bool = False) -> None:
        self.work = work
        self.task = work.task
        self.award = work.award
        self.restart = work.restart
        self.plain = plain
        self.steps = 0
        self.phase = Phase.OPEN
        self.abandoned = 0
        self.speaking = False
        self._host = host
        self._loop = host.loop
        self._paths: dict[PathTask, None] = {}
        self._active: dict[PathTask, None] = {}  # the paths that wait for no step
        self._waits: dict[str, Wait] = {}
        self._loose: dict[str, Doer | None] = {}
        self._dozing: dict[str, None] = {}
        self._performing: dict[str, asyncio.Task[None]] = {}
        self._held: list[tuple[int, int, Resolve | Refuse]] = []
        self._still = 0
        self._sleeps = 0
        self._turn = 0  # grows with each call and each answer
        self._quiet_turn = -1
        self._quiet_since_ms = 0
        self._pumping = False
        self._checking = False
        self._settled: asyncio.Future[None] | None = None
        self._limit: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return (
            f"Running({self.task}@{self.award} {self.phase.name} steps={self.steps} "
            f"paths={len(self._paths)} waits={list(self._waits)} loose={list(self._loose)})"
        )

    # --- paths ----------------------------------------------------------------------------------

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin the handler's first path; it inherits no context variable of whoever caused it."""
        task = PathTask(coroutine, loop=self._loop, context=self._host.variables.copy())
        task.place(self, None, self.work.opened_ms)
        self._adopt(task)

    def spawn(
        self, coroutine: Coroutine[Any, Any, Any], parent: PathTask, **options: Any
    ) -> PathTask:
        """Create the task of a new path below `parent`."""
        task = PathTask(coroutine, loop=self._loop, **options)
        task.place(self, parent, 0)
        self._adopt(task)
        return task

    def _adopt(self, task: PathTask) -> None:
        self._paths[task] = None
        self._active[task] = None
        task.add_done_callback(self._path_ended)

    def _path_ended(self, task: asyncio.Future[Any]) -> None:
        assert type(task) is PathTask
        self._paths.pop(task, None)
        self._active.pop(task, None)
        parent = task.parent
        if parent is not None:
            parent.live -= 1
            parent.now_ms = max(parent.now_ms, task.now_ms)
        if self._held:
            self._pump_soon()
        if self._sleeps:
            self._check_soon()
        self._settle()

    def here(self) -> PathTask:
        """Return the path that makes a call on the context now.

        Raises:
            UsageError: It is made from elsewhere: a tool, a thread, another handler.
            CancelledError: The handler has ended or is being unwound.
        """
        path = current_path(self)
        if path is None:
            raise UsageError("a context is used by its own handler only, not by a tool or thread")
        if self.phase is not Phase.OPEN:
            raise asyncio.CancelledError("the handler has ended")
        return path

    # --- calls ----------------------------------------------------------------------------------

    async def ask(
        self, path: PathTask, call: Call, doer: Doer | None = None, *, dozes: bool = False
    ) -> Result:
        """Make a call and return its result; `dozes` for a sleep.

        Raises:
            MeshError: The core refused it, and nothing was done.
            CancelledError: The path was cancelled, or the handler is being unwound.
        """
        step = call.step
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise UsageError(f"a handler may take {MAX_STEPS} steps, and this is one more")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waits[step] = Wait(path, future, doer, dozes)
        self._active.pop(path, None)
        self._turn += 1
        if dozes:
            self._sleeps += 1
        if self._sleeps:
            self._check_soon()
        self.say(Called(self.task, self.award, call))
        try:
            return await future
        except asyncio.CancelledError:
            self._cancelled(step, path)
            raise

    def withdraw(self, step: str) -> None:
        """Say that nobody awaits this delegation any more, if its end is still to come."""
        if step in self._loose and self.phase < Phase.STOPPED:
            self.say(Called(self.task, self.award, Withdraw(step=step)))

    def _cancelled(self, step: str, path: PathTask) -> None:
        """Look after a step whose path was cancelled before it got its answer."""
        self._active[path] = None
        wait = self._waits.pop(step, None)
        if wait is None:
            return
        if wait.dozes:
            self._sleeps -= 1
        if self.phase is Phase.STOPPED or any(held[2].step == step for held in self._held):
            return
        if wait.dozes:
            self._dozing[step] = None
            return
        self._loose[step] = wait.doer
        performing = self._performing.get(step)
        if performing is not None and wait.doer is not None and wait.doer.interruptible:
            performing.cancel()

    # --- answers --------------------------------------------------------------------------------

    def deliver(self, answer: Answer) -> None:
        """Take an answer of the core; never calls back into it."""
        if self.phase >= Phase.STOPPED:
            return
        wait = self._waits.get(answer.step)
        if isinstance(answer, Resolve | Refuse):
            if wait is None:
                self._loose.pop(answer.step, None)
                self._dozing.pop(answer.step, None)
                self._settle()
            elif len(self._paths) == 1:
                self._hand(answer)
            else:
                self._hold(answer)
        elif wait is not None and wait.doer is not None:
            self._begin_doing(answer, wait.doer, wait)
        elif answer.step in self._loose:
            self._loop.call_soon(self._decline, answer)

    def _hand(self, answer: Resolve | Refuse) -> None:
        """Give a step its answer; its path goes on in the next turn of the loop."""
        wait = self._waits.pop(answer.step, None)
        if wait is None:
            return
        path, future = wait.path, wait.future
        self._active[path] = None
        self._turn += 1
        if wait.dozes:
            self._sleeps -= 1
        if future.done():  # cancelled, and its path has not run since
            return
        if isinstance(answer, Resolve):
            result = answer.result
            path.now_ms = max(path.now_ms, result.append_ms)
            future.set_result(result)
        else:
            future.set_exception(answer.error)
            future.exception()  # seen: no complaint if the path is cancelled before it runs

    def _hold(self, answer: Resolve | Refuse) -> None:
        """Keep an answer until nothing moves; refusals, which no log orders, go first."""
        offset = answer.result.offset if isinstance(answer, Resolve) else -1
        self._turn += 1
        heapq.heappush(self._held, (offset, self._turn, answer))
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        if not self._held:
            return
        blocked = all(path.is_blocked() for path in self._active)
        self._still = self._still + 1 if blocked else 0
        if self._still >= STILL_TURNS or (blocked and nothing_ready(self._loop)):
            self._still = 0
            self._hand(heapq.heappop(self._held)[2])
        if self._held:
            self._pump_soon()

    # --- what a step has to do before its result ------------------------------------------------

    def _begin_doing(self, answer: Perform | Probe | Review, doer: Doer, wait: Wait | None) -> None:
        """Do it in a task beside the path, with the context variables of the path."""
        if isinstance(answer, Perform):
            doing = self._perform(answer, doer)
        elif isinstance(answer, Probe):
            doing = self._probe(answer, doer)
        else:
            doing = self._review(answer, doer)
        variables = wait.variables if wait is not None else None
        task = asyncio.Task(doing, loop=self._loop, context=variables)
        self._performing[answer.step] = task
        task.add_done_callback(lambda _: self._done(answer.step, task))

    def _done(self, step: str, task: asyncio.Task[None]) -> None:
        if self._performing.get(step) is task:
            del self._performing[step]
        self._settle()

    async def _perform(self, answer: Perform, doer: Doer) -> None:
        try:
            error, spent, body = await doer.perform(answer.key)
        except asyncio.CancelledError:
            if self.phase >= Phase.STOPPED:  # begun and not finished: a replay decides what to do
                raise
            error, spent, body = "cancelled, and its outcome is unknown", doer.reserve, NOTHING
        self.say(StepDone(self.task, self.award, answer.step, error, spent, body))

    async def _probe(self, answer: Probe, doer: Doer) -> None:
        try:
            body = await doer.probe(answer.key)
        except MeshError as problem:
            done = StepDone(self.task, self.award, answer.step, str(problem), doer.reserve, NOTHING)
            self.say(done)
        else:
            self.say(Probed(self.task, self.award, answer.step, body))

    async def _review(self, answer: Review, doer: Doer) -> None:
        """Check a child's result; an exception of the check is raised in the handler."""
        step = answer.step
        try:
            refusal = await doer.review(answer.child, answer.body)
        except Exception as problem:  # noqa: BLE001  # the author's check
            wait = self._waits.pop(step, None)
            if wait is not None and not wait.future.done():
                self._active[wait.path] = None
                self._loose[step] = None
                self.withdraw(step)
                wait.future.set_exception(problem)
            return
        self.say(Reviewed(self.task, self.award, answer.child, answer.child_award, refusal))

    def _decline(self, answer: Perform | Probe | Review) -> None:
        """Answer for a step that nobody awaits any more: its effect is not begun."""
        doer = self._loose.get(answer.step)
        if isinstance(answer, Perform):
            error = "cancelled before it began"
            self.say(StepDone(self.task, self.award, answer.step, error, Amount(), NOTHING))
        elif isinstance(answer, Probe) and doer is not None:
            self._begin_doing(answer, doer, None)

    def say(self, message: HandlerInput) -> None:
        """Say something to the core, unless the end was said."""
        if self.phase is not Phase.ENDED:
            self._send(message)

    def _send(self, message: HandlerInput) -> None:
        """Let the driver hear it; the tasks that it creates meanwhile are no paths."""
        self.speaking = True
        try:
            self._host.send(message)
        finally:
            self.speaking = False

    # --- waiting long ---------------------------------------------------------------------------

    def sweep(self, now_ms: int, suspend_after_ms: int) -> None:
        """Tell the core if every path waits: for a sleep, or since `suspend_after_ms`."""
        if not self._all_wait():
            return
        if self._turn != self._quiet_turn:
            self._quiet_turn = self._turn
            self._quiet_since_ms = now_ms
        if self._sleeps or now_ms - self._quiet_since_ms >= suspend_after_ms:
            self._tell_waiting(self._quiet_since_ms)

    def _all_wait(self) -> bool:
        """Tell whether every path waits for a step, or for paths below it that do."""
        return (
            self.phase is Phase.OPEN
            and bool(self._waits)
            and not self._held
            and all(self._is_patient(step) for step in self._performing)
            and all(path.live > 0 and path.is_blocked() for path in self._active)
        )

    def _is_patient(self, step: str) -> bool:
        """Tell whether what is done for a step only waits for an answer, and a path for that."""
        wait = self._waits.get(step)
        return wait is not None and wait.doer is not None and wait.doer.patient

    def _check_soon(self) -> None:
        if not self._checking:
            self._checking = True
            self._loop.call_soon(self._check)

    def _check(self) -> None:
        self._checking = False
        if self._sleeps and self._all_wait():
            self._tell_waiting(self._host.clock())

    def _tell_waiting(self, since_ms: int) -> None:
        steps = (*self._waits, *self._loose, *self._dozing)
        self.say(Waiting(self.task, self.award, steps, since_ms))

    # --- the end --------------------------------------------------------------------------------

    async def close(self) -> None:
        """End what the handler left over, before its result is told; called by its first path.

        Paths are cancelled, delegations that nobody awaited are withdrawn, and what is loose is
        awaited: nothing may be appended after the fact that gives the award up. Not so when this
        path was itself cancelled from outside of the mesh: then the loop is about to end.
        """
        self.phase = Phase.CLOSING
        if self._is_settled():
            return
        own, *others = self._paths
        for path in others:
            path.cancel()
        if own.cancelling():
            return
        self._limit = self._loop.call_later(UNWIND_LIMIT_S, self._abandon)
        while not self._is_settled():
            self._settled = self._loop.create_future()
            await self._settled
        self._limit.cancel()

    def stop(self, why: str) -> None:
        """Unwind the handler; answered by `HandlerStopped`, at the latest after the limit.

        An effect that has begun may end within that time, unless the authority is lost: so that
        its result is recorded, and nobody has to find out what became of it. What only waits for
        an answer is asked for again after a suspension.
        """
        if self.phase >= Phase.STOPPED:
            return
        self.phase = Phase.STOPPED
        self._held.clear()
        if self._limit is not None:
            self._limit.cancel()
        if not self.plain:
            for path in list(self._paths):
                path.cancel()
            self._limit = self._loop.call_later(UNWIND_LIMIT_S, self._abandon)
        for step, task in list(self._performing.items()):
            if why == "lost" or (why == "suspended" and self._is_patient(step)):
                task.cancel()
        self._loop.call_soon(self._settle)

    def _is_settled(self) -> bool:
        if self.phase is Phase.STOPPED:
            return not self._paths and not self._performing
        return len(self._paths) <= 1 and not self._loose and not self._performing

    def _settle(self) -> None:
        """Go on with the end once nothing is left to wait for."""
        if self.phase is Phase.OPEN or self.phase is Phase.ENDED or not self._is_settled():
            return
        if self.phase is Phase.STOPPED:
            self.end(HandlerStopped(self.task, self.award))
        elif self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _abandon(self) -> None:
        """Go on without the paths and effects that did not end when they were told to."""
        for path in list(self._paths)[self.phase is Phase.CLOSING :]:
            del self._paths[path]
            self.abandoned += 1
        for task in list(self._performing.values()):
            task.cancel()
        if self.phase is Phase.STOPPED:
            self.end(HandlerStopped(self.task, self.award))
        else:
            self._settle()

    def kill(self) -> None:
        """End at once and say nothing, as a process that dies."""
        paths, performing = list(self._paths), list(self._performing.values())
        self.end(None)
        for task in (*paths, *performing):
            task.cancel()

    def end(self, last: HandlerFinished | HandlerStopped | None) -> None:
        """Let go of everything and say so; whatever still runs can journal nothing any more."""
        self.phase = Phase.ENDED
        if self._limit is not None:
            self._limit.cancel()
        self._waits.clear()
        self._loose.clear()
        self._host.ended(self)
        if last is not None:
            self._send(last)
