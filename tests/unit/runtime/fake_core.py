"""A scripted stand-in for the core: it keeps a journal, answers calls, and judges nothing.

What is to be answered by the world (children, time, the log's acknowledgements) is kept in
`pending` until the test lets it happen, in an order of its choice; a step that the journal has is
answered at once, as the core does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.facts import TaskOpened
from mesh.core.ids import child_id, effect_key
from mesh.core.settings import Settings
from mesh.core.values import (
    NOTHING,
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Charter,
    Holder,
    Mode,
    Outcome,
    Status,
    TaskPartition,
)
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts
from mesh.runtime.bodies import body, encode_input
from mesh.runtime.capability import Capability
from mesh.runtime.handlers import Runner
from mesh.runtime.running import HandlerInput
from mesh.runtime.services import NO_PART, Part

TASK = "3-0123456789abcdef0123456789abcdef"
START_MS = 1_700_000_000_000
Value = TypeVar("Value")
SPINS = 30
"""Turns of the loop after which a handler that can move has said something."""


class Entry(NamedTuple):
    """One recorded step: what was called, and its result."""

    name: str
    input_hash: bytes
    result: c.Result


Journal = Mapping[str, Entry]


def opened(capability: Capability[Any, Any], content: bytes) -> TaskOpened:
    return TaskOpened(
        workflow=TASK,
        task=TASK,
        by=Holder("somebody", 1),
        authority=1,
        source=TaskPartition(capability.name, 0),
        offset=5,
        parent="",
        step="",
        capability=capability.name,
        input=body(content),
        charter=Charter(goal="test", constraints=(), root_hash=b"r"),
        ancestors=(Ancestor("3-a", "some.root", "root", b"h"),),
        after=(),
        grant=Amount(1_000_000, 1_000, 100, 100, 3),
        deadline_ms=START_MS + 600_000,
        lease_ms=10_000,
        max_attempts=3,
        mode=Mode.DIRECT,
        named_agent="",
        acceptance=Acceptance.AUTOMATIC,
        event_id="",
        reply_topic="",
        correlation_id="",
        traceparent="",
        award=None,
    )


def signature(call: c.Call) -> tuple[str, bytes]:
    """What a journal compares: the kind or name of a step, and the hash of its input."""
    match call:
        case c.Delegate():
            return call.capability, call.input.hash
        case c.Use() | c.Keep():
            return call.name, call.input_hash
        case c.Decide():
            return call.choice, b""
        case _:
            return type(call).__name__, b""


class FakeCore:
    """One start of one handler, and everything that it said."""

    def __init__(
        self,
        agent: Agent,
        capability: Capability[Any, Any],
        value: BaseModel | bytes,
        *,
        journal: Journal | None = None,
        settings: Settings | None = None,
        artifacts: Artifacts | None = None,
        attempt: tuple[int, str] = (1, ""),
        restart: int = 0,
        part: Part = NO_PART,
    ) -> None:
        content = value if isinstance(value, bytes) else encode_input(value).content
        assert content is not None
        self.said: list[HandlerInput] = []
        self.calls: dict[str, c.Call] = {}
        self.pending: dict[str, c.Call] = {}
        self.withdrawn: list[str] = []
        self.progress: list[str] = []
        self.journal: dict[str, Entry] = dict(journal or {})
        self.offset = max((entry.result.offset for entry in self.journal.values()), default=100)
        self.finished: c.HandlerFinished | None = None
        self.stopped = False
        self.now_ms = START_MS
        self.runner = Runner(
            agent,
            self._hear,
            clock=lambda: self.now_ms,
            settings=settings,
            artifacts=artifacts,
            progress=lambda _, text: self.progress.append(text),
            part=part,
        )
        number, reason = attempt
        fact = opened(capability, content)
        self.work = c.Work(TASK, TASK, 77, 1, number, reason, fact, START_MS, restart)
        self._speaking = False

    def start(self) -> None:
        self.apply(c.Start(self.work))

    def apply(self, effect: Any) -> None:
        self._speaking = True
        self.runner.apply(effect)
        self._speaking = False

    # --- hearing --------------------------------------------------------------------------------

    def _hear(self, message: HandlerInput) -> None:
        assert not self._speaking, "the runner spoke while the core was speaking"
        assert self.finished is None, f"after the end: {message}"
        assert not self.stopped, f"after the end: {message}"
        self.said.append(message)
        match message:
            case c.Called():
                self._called(message.call)
            case c.StepDone():
                self.answer(message.step, error=message.error, contents=message.body)
            case c.Probed():
                if message.body is None:
                    self.perform(message.step)
                else:
                    self.answer(message.step, contents=message.body)
            case c.HandlerFinished():
                self.finished = message
            case c.HandlerStopped():
                self.stopped = True
            case c.Reviewed() | c.Waiting():
                pass

    def _called(self, call: c.Call) -> None:
        if isinstance(call, c.Withdraw):
            self.withdrawn.append(call.step)
            return
        assert call.step not in self.calls, f"step {call.step} was called twice"
        self.calls[call.step] = call
        self.pending[call.step] = call
        recorded = self.journal.get(call.step)
        if recorded is not None:
            assert signature(call) == recorded[:2], f"{call.step}: {recorded} is not {call}"
            self._resolve(call.step, recorded.result)

    # --- speaking -------------------------------------------------------------------------------

    def perform(self, step: str) -> None:
        call = self.calls[step]
        assert isinstance(call, c.Use)
        self.apply(c.Perform(TASK, 77, step, effect_key(TASK, step, call.name)))

    def probe(self, step: str) -> None:
        call = self.calls[step]
        assert isinstance(call, c.Use)
        self.apply(c.Probe(TASK, 77, step, effect_key(TASK, step, call.name)))

    def review(self, step: str, contents: Body) -> None:
        self.apply(c.Review(TASK, 77, step, self.child(step), 9, contents))

    def refuse(self, step: str, error: Exception) -> None:
        del self.pending[step]
        self.apply(c.Refuse(TASK, 77, step, error))

    def stop(self, why: str) -> None:
        self.apply(c.Stop(TASK, 77, why))

    def answer(
        self,
        step: str,
        *,
        value: BaseModel | None = None,
        status: Status = Status.COMPLETED,
        error: str = "",
        contents: Body = NOTHING,
    ) -> None:
        """Record a step's result and hand it over."""
        self.offset += 1
        self.now_ms += 10
        if value is not None:
            contents = body(value.model_dump_json().encode())
        if error:
            status = Status.FAILED
        result = c.Result(self.offset, self.now_ms, status, error, contents)
        self.journal[step] = Entry(*signature(self.calls[step]), result)
        self._resolve(step, result)

    def _resolve(self, step: str, result: c.Result) -> None:
        self.pending.pop(step, None)
        self.apply(c.Resolve(TASK, 77, step, result))

    # --- asking ---------------------------------------------------------------------------------

    def child(self, step: str) -> str:
        call = self.calls[step]
        assert isinstance(call, c.Delegate)
        return child_id(TASK, step, call.input.hash)

    @property
    def result(self) -> bytes:
        assert self.finished is not None, f"not finished: {self.runner} {self.pending}"
        assert self.finished.outcome is Outcome.COMPLETED, self.finished.error
        assert self.finished.body.content is not None
        return self.finished.body.content

    @property
    def error(self) -> str:
        assert self.finished is not None, f"not finished: {self.runner} {self.pending}"
        assert self.finished.outcome is Outcome.FAILED, self.finished
        return self.finished.error

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.said if type(message) is kind]

    async def settle(self) -> None:
        """Let the handler go on as far as it can."""
        quiet = False
        while not quiet:
            said = len(self.said)
            quiet = not any(own._held for own in self.runner._running.values())
            for _ in range(SPINS):
                await asyncio.sleep(0)
            quiet = quiet and said == len(self.said)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that a thread does."""
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110  # a thread sets it, and no sleep is taken
                await asyncio.sleep(0)

    async def run(
        self, order: Random, world: Callable[[str, c.Call], BaseModel | None]
    ) -> FakeCore:
        """Run the handler to its end; what is pending is answered in a random order.

        Several answers may come in one turn of the loop, as they do from a log.
        """
        self.start()
        await self.settle()
        while self.finished is None:
            assert self.pending, f"nothing moves: {self.runner!r}"
            for step in order.sample(sorted(self.pending), order.randint(1, len(self.pending))):
                call = self.pending[step]
                if isinstance(call, c.Use):
                    self.perform(step)
                elif step in self.withdrawn:
                    self.answer(step, status=Status.CANCELLED)
                else:
                    self.answer(step, value=world(step, call))
            await self.settle()
        return self


def run(test: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
    """Run a coroutine in a loop of its own, for tests that hypothesis drives."""
    with asyncio.Runner() as runner:
        return runner.run(test())
