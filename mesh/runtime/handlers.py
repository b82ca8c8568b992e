"""Runs handlers: takes what the core wants done with them, and says back what they did.

`apply` never calls `send` before it returns, so a driver may perform the core's effects one after
the other. A handler's own calls come from tasks, between two effects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

from mesh.core.calls import (
    HandlerFinished,
    HandlerStopped,
    Perform,
    Probe,
    Refuse,
    Resolve,
    Review,
    Start,
    Stop,
    Work,
)
from mesh.core.settings import Settings
from mesh.core.values import NOTHING, Body, Outcome
from mesh.errors import InputRejected
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts
from mesh.runtime.bodies import decode, encode_output
from mesh.runtime.capability import Capability
from mesh.runtime.context import CERTAIN, Context
from mesh.runtime.failures import clip, summarise
from mesh.runtime.paths import install
from mesh.runtime.running import HandlerInput, Phase, Running
from mesh.runtime.services import NO_PART, Part, Services
from mesh.runtime.threads import Threads

HandlerEffect = Start | Resolve | Perform | Probe | Review | Refuse | Stop

TOOL_THREADS = 32
"""Sync tools at the same time: they wait for others, so many more than cores do no harm."""

_log = logging.getLogger(__name__)


class Runner:
    """Mutable: the handlers of one instance.

    Plain handlers run in threads, at most as many as there are slots, and hold theirs until they
    return. `abandoned` counts paths that went on although their handler was told to stop.
    """

    def __init__(  # noqa: PLR0913  # what handlers are given, each with its default
        self,
        agent: Agent,
        send: Callable[[HandlerInput], None],
        *,
        clock: Callable[[], int],
        settings: Settings | None = None,
        artifacts: Artifacts | None = None,
        progress: Callable[[Work, str], None] | None = None,
        part: Part = NO_PART,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.send = send
        self.clock = clock
        self.variables = copy_context()
        self.abandoned = 0
        self._settings = settings or Settings()
        self._capabilities: Mapping[str, Capability[Any, Any]] = agent.capabilities
        card = agent.card()
        self._handlers = Threads(self._settings.slots, f"mesh-{agent.name}")
        self._services = Services(
            agent=agent.name,
            tools=frozenset(card.tools),
            threads=Threads(TOOL_THREADS, f"mesh-{agent.name}-tool"),
            artifacts=artifacts,
            progress=progress or _show,
            reads=card.reads,
            writes=card.writes,
            part=part,
        )
        self._running: dict[tuple[str, int], Running] = {}
        self._empty: asyncio.Future[None] | None = None
        install(self.loop)

    def __repr__(self) -> str:
        return f"Runner({len(self._running)} running, {self.abandoned} abandoned)"

    def __len__(self) -> int:
        return len(self._running)

    def apply(self, effect: HandlerEffect) -> None:
        """Do what the core wants done with a handler; what is said of an unknown one is dropped."""
        if isinstance(effect, Start):
            self._start(effect.work)
            return
        running = self._running.get((effect.task, effect.award))
        if isinstance(effect, Stop):
            if running is None:
                self.loop.call_soon(self.send, HandlerStopped(effect.task, effect.award))
            else:
                running.stop(effect.why)
        elif running is not None:
            running.deliver(effect)

    def sweep(self, now_ms: int) -> None:
        """Tell the core of handlers that have been waiting for long; to be called each second."""
        for running in list(self._running.values()):
            running.sweep(now_ms, self._settings.suspend_after_ms)

    @property
    def busy(self) -> bool:
        """Whether a plain handler or a sync tool is in its thread."""
        return bool(self._handlers.unfinished or self._services.threads.unfinished)

    def kill(self) -> None:
        """Let go of every handler at once and say nothing, as a process that dies; for tests."""
        for running in list(self._running.values()):
            running.kill()

    async def close(self, limit_s: float) -> int:
        """Stop every handler and wait, at most `limit_s`; return how many went on."""
        for running in list(self._running.values()):
            running.stop("lost")
        if self._running:
            self._empty = self.loop.create_future()
            await asyncio.wait([self._empty], timeout=limit_s)
        self._handlers.close()
        self._services.threads.close()
        return len(self._running)

    def ended(self, running: Running) -> None:
        """Forget a start of a handler."""
        key = (running.task, running.award)
        if self._running.get(key) is running:
            del self._running[key]
        if not self._running and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)
        if running.abandoned:
            self.abandoned += running.abandoned
            _log.warning("%d paths of %s went on after its end", running.abandoned, running.task)

    # --- one handler ----------------------------------------------------------------------------

    def _start(self, work: Work) -> None:
        capability = self._capabilities[work.opened.capability]
        running = Running(work, self, plain=capability.plain)
        self._running[work.task, work.award] = running
        running.begin(self._work(running, capability))

    async def _work(self, running: Running, capability: Capability[Any, Any]) -> None:
        """Run a handler from its input to its result; the first path of its start."""
        context = Context(running, capability, self._services)
        outcome, contents, error, field = await self._outcome(running, capability, context)
        if running.phase is Phase.OPEN:
            await running.close()
        if running.phase is Phase.STOPPED:
            return
        confidence, sources = context.rating() if outcome is Outcome.COMPLETED else (CERTAIN, ())
        task, award = running.task, running.award
        running.end(
            HandlerFinished(task, award, outcome, contents, error, field, confidence, sources)
        )

    async def _outcome(
        self, running: Running, capability: Capability[Any, Any], context: Context
    ) -> tuple[Outcome, Body, str, str]:
        """Return how the handler ended: outcome, result, error, field."""
        given = running.work.opened.input
        try:
            content = given.content
            if content is None:
                content = await self._services.load(given)
            value = decode(capability.input_type, content)
            if capability.plain:
                result = await self._handlers.run(partial(capability.function, value))
            else:
                result = await capability.function(context, value)
            if not isinstance(result, capability.output_type):
                got, want = type(result).__name__, capability.output_type.__name__
                text = f"the handler returned {got}, not {want}"
                return Outcome.FAILED, NOTHING, text, ""
            contents = await self._services.keep(encode_output(result, capability.output_type))
        except InputRejected as problem:
            return Outcome.REJECTED, NOTHING, clip(problem.reason), problem.field
        except asyncio.CancelledError:
            if running.phase >= Phase.STOPPED:
                raise
            return Outcome.FAILED, NOTHING, "the handler was cancelled from within", ""
        # the author's code: whatever it raises is recorded, and the instance goes on
        except (Exception, SystemExit, BaseExceptionGroup) as problem:  # noqa: BLE001  # see above
            return Outcome.FAILED, NOTHING, summarise(problem), ""
        return Outcome.COMPLETED, contents, "", ""


def _show(work: Work, text: str) -> None:
    _log.info("%s: %s", work.task, text)
