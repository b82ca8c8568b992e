"""What a handler does through its context; everything awaited on it is journalled.

A context holds no rule of the protocol. It turns the author's values into a call of the core,
awaits the answer, and turns that back: into a value, or an exception of `mesh.errors`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple, TypeVar, TypeVarTuple, overload
from weakref import ref

from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.ids import child_id
from mesh.core.settings import MAX_BODY_BYTES, MAX_REASON
from mesh.core.values import (
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Charter,
    Effect,
    Mode,
    Status,
    StepKind,
)
from mesh.errors import (
    InputRejected,
    ScopeError,
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    TaskRejected,
    UsageError,
)
from mesh.runtime import tools
from mesh.runtime.artifacts import Artifact
from mesh.runtime.bodies import body, decode, encode_input, hash_arguments
from mesh.runtime.capability import Capability, In, Out, permille, target
from mesh.runtime.ceilings import CEILING, Ceiling, Charge, grant_within
from mesh.runtime.checks import Check
from mesh.runtime.quantities import (
    Budget,
    Duration,
    Money,
    parse_count,
    parse_duration,
    parse_usd,
)
from mesh.runtime.racing import Completed
from mesh.runtime.running import Running
from mesh.runtime.services import Services
from mesh.runtime.shared import Shared, SharedState
from mesh.runtime.tools import Performer, Priced, ToolFailed

Value = TypeVar("Value")
Arguments = TypeVarTuple("Arguments")

CERTAIN = 1_000
"""Confidence in per mille of a result that its handler did not rate."""
MAX_REFERENCES = 16 * 1_024
"""Bytes of all references in one fact: with a body, a charter and ancestors it stays one event."""

Reference = str | Artifact | BaseModel | Shared[Any]
"""What evidence points to: a text, an artifact, an entry as it was read, or the result of a
delegation of this handler."""

_ENDS: dict[Status, type[TaskError]] = {
    Status.FAILED: TaskFailed,
    Status.REJECTED: TaskRejected,
    Status.EXPIRED: TaskExpired,
    Status.CANCELLED: TaskCancelled,
}
_ZERO = Amount()


class Attempt(NamedTuple):
    """Which attempt this is, from 1, and why the one before failed or was refused, else "".

    A worker's death is not counted: a handler that goes on for a dead one sees what that one saw.
    So a handler may branch on both, and do otherwise than the attempt before.
    """

    number: int
    reason: str


class Context:
    """The handler's way to the mesh; made by the runtime, one for each start of a handler."""

    __slots__ = (
        "_capability", "_confidence", "_origins", "_running", "_services", "_sources", "shared",
    )  # fmt: skip

    shared: SharedState
    """Versioned entries that other agents read and write, too."""

    def __init__(
        self, running: Running, capability: Capability[Any, Any], services: Services
    ) -> None:
        self._running = running
        self._capability = capability
        self._services = services
        self._confidence = CERTAIN
        self._sources: tuple[str, ...] = ()
        self._origins: dict[int, tuple[ref[BaseModel], str, bytes]] = {}
        self.shared = SharedState(running, services)

    def __repr__(self) -> str:
        return f"Context({self._capability.name}, {self._running!r})"

    # --- reading --------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """The id of the task."""
        return self._running.task

    @property
    def workflow(self) -> str:
        """The id of the workflow, which is that of its root task."""
        return self._running.work.workflow

    @property
    def charter(self) -> Charter:
        """What the workflow is for: goal, constraints, hash of the root artifact."""
        return self._running.work.opened.charter

    @property
    def ancestors(self) -> tuple[Ancestor, ...]:
        """The tasks above this one, root first."""
        return self._running.work.opened.ancestors

    @property
    def deadline(self) -> datetime:
        """When the task expires."""
        return _time(self._running.work.opened.deadline_ms)

    @property
    def attempt(self) -> Attempt:
        """Which attempt this is, and why the one before was refused or failed."""
        return Attempt(self._running.work.attempt, self._running.work.reason)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that names the task. A replayed handler logs again."""
        names = {"task": self.task, "workflow": self.workflow}
        return logging.LoggerAdapter(logging.getLogger(f"mesh.agent.{self._services.agent}"), names)

    def now(self) -> datetime:
        """Return the time of the latest result that this path was handed; the same on a replay."""
        return _time(self._running.here().now_ms)

    def random(self) -> Random:
        """Return this path's generator of random numbers; a replay sees the same numbers."""
        return self._running.here().random()

    # --- delegating -----------------------------------------------------------------------------

    @overload
    async def delegate(
        self,
        capability: Capability[In, Out],
        value: In,
        /,
        *,
        mode: Mode | str | None = None,
        agent: str | None = None,
        after: Sequence[Reference] = (),
        budget: Budget | None = None,
        timeout: Duration | None = None,
        check: Callable[[Out], str | None] | None = None,
    ) -> Out: ...

    @overload
    async def delegate(
        self,
        capability: str,
        value: BaseModel,
        returns: type[Out],
        /,
        *,
        mode: Mode | str | None = None,
        agent: str | None = None,
        after: Sequence[Reference] = (),
        budget: Budget | None = None,
        timeout: Duration | None = None,
        check: Callable[[Out], str | None] | None = None,
    ) -> Out: ...

    async def delegate(  # noqa: PLR0913  # options of one call, each with its default
        self,
        capability: Capability[Any, Any] | str,
        value: BaseModel,
        returns: type[BaseModel] | None = None,
        /,
        *,
        mode: Mode | str | None = None,
        agent: str | None = None,
        after: Sequence[Reference] = (),
        budget: Budget | None = None,
        timeout: Duration | None = None,  # log time, not the loop's
        check: Callable[[Any], str | None] | None = None,
    ) -> BaseModel:
        """Have a task done by another agent and return its result.

        Args:
            capability: What `@agent.capability` made, or a name with the type that it `returns`.
            value: The input.
            returns: The type of the result, for a capability given by name.
            mode: `direct` or `auction`; the capability's own unless given.
            agent: Ask this agent and no other.
            after: Results of delegations that this one builds on.
            budget: What it may cost; a dimension left out has the core's default.
            timeout: Its deadline from now; never after this task's own.
            check: Returns why a result is refused, or None; the next attempt is told the reason.

        Raises:
            TaskFailed, TaskRejected, TaskExpired, TaskCancelled: It ended in another way.
            BudgetExceeded: The budget has not enough left; nothing was done.
            ScopeError: The agent's card does not allow the call.
            UsageError: An argument is malformed.
        """
        running = self._running
        path = running.here()
        name, output, mode = target(capability, value, returns, mode, agent)
        contents = encode_input(value)
        if contents.content is None or len(contents.content) > MAX_BODY_BYTES:
            contents = await self._services.keep(contents)
        ceiling = CEILING.get()
        grant = None
        if budget is not None or ceiling is not None:
            grant = grant_within(budget, ceiling)
        step = path.next_step()
        call = c.Delegate(
            step=step,
            capability=name,
            input=contents,
            mode=mode,
            named_agent=agent or "",
            after=self._names(after, "after") if after else (),
            grant=grant,
            timeout_ms=None if timeout is None else parse_duration(timeout, "timeout"),
            acceptance=Acceptance.AUTOMATIC if check is None else Acceptance.REVIEWED,
        )
        doer = None if check is None else Check(check, output, self._services.load)
        try:
            result = await running.ask(path, call, doer)
        except asyncio.CancelledError:
            running.withdraw(step)
            raise
        if result.status is not Status.COMPLETED:
            child = child_id(running.task, step, contents.hash)
            raise _ENDS[result.status](f"{name}: {result.reason}", task=child)
        return await self._received(output, result.body, step, contents.hash)

    async def _received(
        self, output: type[BaseModel], contents: Body, step: str, input_hash: bytes
    ) -> BaseModel:
        """Return a delegation's result as its type, remembering which task it is of."""
        content = contents.content
        if content is None:
            content = await self._services.load(contents)
        try:
            value = decode(output, content)
        except InputRejected as problem:
            child = child_id(self._running.task, step, input_hash)
            text = f"the result is no {output.__name__}: {problem}"
            raise TaskFailed(text, task=child) from problem
        self._origins[id(value)] = (ref(value), step, input_hash)
        return value

    def _names(self, references: Iterable[Reference], what: str) -> tuple[str, ...]:
        """Return what references are called in a fact.

        Raises:
            UsageError: One cannot be referred to, or there are more than fit into one event.
        """
        names = tuple(self._name(own) for own in references)
        if sum(len(name.encode(errors="backslashreplace")) + 3 for name in names) > MAX_REFERENCES:
            raise UsageError(
                f"{what}: {len(names)} references, together above {MAX_REFERENCES} bytes: put them "
                "into an artifact, and refer to that"
            )
        return names

    def _name(self, reference: Reference) -> str:
        """Return what a reference is called in a fact: a task, an artifact, a text."""
        if isinstance(reference, str):
            return _words(reference, "reference")
        if isinstance(reference, Artifact):
            return f"sha256:{reference.sha256}"
        if isinstance(reference, Shared):
            return f"state:{reference.key}@{reference.version}"
        value, step, input_hash = self._origins.get(id(reference), (None, "", b""))
        if value is None or value() is not reference:
            kind = type(reference).__name__
            raise UsageError(f"a {kind} can be referred to only as the result of ctx.delegate")
        return child_id(self._running.task, step, input_hash)

    def as_completed(self, *steps: Coroutine[Any, Any, Value]) -> Completed[Value]:
        """Run several at once and yield their results in the order of the log.

        `async for result in ctx.as_completed(ctx.delegate(a, x), ctx.delegate(b, x))`. An exception
        is raised when its turn comes. What is not awaited goes on until the handler ends.
        """
        return Completed(self._running, steps)

    async def first(self, *steps: Coroutine[Any, Any, Value]) -> Value:
        """Run several at once, return the first result, and withdraw the others.

        Raises:
            Exception: What the first of them raised, if all raised.
        """
        race = Completed(self._running, steps)
        errors: list[Exception] = []
        try:
            while race.left:
                try:
                    return await race.next()
                except Exception as problem:  # noqa: BLE001  # raised below, if none succeeds
                    errors.append(problem)
        finally:
            await race.cancel()
        raise errors[0] if errors else UsageError("first: nothing to run")

    # --- spending and reaching outside ----------------------------------------------------------

    async def spend(self, *, because: str, usd: Money = 0, tokens: int = 0) -> None:
        """Reserve and charge what something costs, before it is done.

        Raises:
            BudgetExceeded: There is not enough left; nothing was charged.
        """
        path = self._running.here()
        amount = Amount(parse_usd(usd, "spend: usd"), parse_count(tokens, "spend: tokens"))
        if amount == _ZERO:
            raise UsageError("spend: say how much, in usd or tokens")
        call = c.Spend(step=path.next_step(), amount=amount, because=_words(because, "because"))
        with Charge(amount):
            await self._running.ask(path, call)

    def budget(
        self,
        *,
        usd: Money | None = None,
        tokens: int | None = None,
        tool_calls: int | None = None,
    ) -> Ceiling:
        """Set an inner ceiling: `async with ctx.budget(usd="0.50"): ...`; no step of its own.

        What is spent, reserved for tools and granted to others inside counts in full.
        """
        limits = {
            "micro_usd": None if usd is None else parse_usd(usd, "budget: usd"),
            "tokens": None if tokens is None else parse_count(tokens, "budget: tokens"),
            "tool_calls": None if tool_calls is None else parse_count(tool_calls, "budget: calls"),
        }
        return Ceiling({name: limit for name, limit in limits.items() if limit is not None})

    @overload
    async def tool(
        self,
        function: Callable[[*Arguments], Awaitable[Priced[Value]] | Priced[Value]],
        /,
        *arguments: *Arguments,
        effect: Effect | str | None = None,
        probe: Callable[..., object] | None = None,
        reserve: Budget | None = None,
    ) -> Value: ...

    @overload
    async def tool(
        self,
        function: Callable[[*Arguments], Awaitable[Value]],
        /,
        *arguments: *Arguments,
        effect: Effect | str | None = None,
        probe: Callable[..., object] | None = None,
        reserve: Budget | None = None,
    ) -> Value: ...

    @overload
    async def tool(
        self,
        function: Callable[[*Arguments], Value],
        /,
        *arguments: *Arguments,
        effect: Effect | str | None = None,
        probe: Callable[..., object] | None = None,
        reserve: Budget | None = None,
    ) -> Value: ...

    async def tool(
        self,
        function: Callable[[*Arguments], Any],
        /,
        *arguments: *Arguments,
        effect: Effect | str | None = None,
        probe: Callable[..., object] | None = None,
        reserve: Budget | None = None,
    ) -> Any:
        """Call a function that reaches outside; once it has returned, never again on a replay.

        A sync function runs in a thread. What it returns is recorded as JSON, and handed to the
        handler as its type hint says. It must be named in the agent's `tools`.

        Args:
            function: The tool; may take `idempotency_key` and then is handed one.
            arguments: Passed on; their hash is recorded.
            effect: What calling it twice would mean; without it what `@tool` says, else the
                capability's own effect.
            probe: Called like the tool after a crash; returns the result, or None if it never ran.
            reserve: What the call may cost; what it did cost the tool says by `Priced`.

        Raises:
            ToolFailed: The function raised.
            BudgetExceeded: The reservation is above what is free; nothing was called.
            ScopeError: The agent's card does not name this tool.
        """
        default = self._capability.terms.effect
        return await self._use(StepKind.TOOL, function, arguments, effect, default, probe, reserve)

    @overload
    async def model(
        self,
        function: Callable[[*Arguments], Awaitable[Priced[Value]] | Priced[Value]],
        /,
        *arguments: *Arguments,
        reserve: Budget | None = None,
    ) -> Value: ...

    @overload
    async def model(
        self,
        function: Callable[[*Arguments], Awaitable[Value]],
        /,
        *arguments: *Arguments,
        reserve: Budget | None = None,
    ) -> Value: ...

    @overload
    async def model(
        self,
        function: Callable[[*Arguments], Value],
        /,
        *arguments: *Arguments,
        reserve: Budget | None = None,
    ) -> Value: ...

    async def model(
        self,
        function: Callable[[*Arguments], Any],
        /,
        *arguments: *Arguments,
        reserve: Budget | None = None,
    ) -> Any:
        """Ask a model; a recorded answer is never asked for twice. Like `tool` otherwise.

        An answer that costs more than was reserved is kept and handed over; what is above the
        reservation is charged as far as the budget has it, and reported as an incident.
        """
        effect = Effect.IDEMPOTENT
        return await self._use(StepKind.MODEL, function, arguments, effect, effect, None, reserve)

    async def _use(  # noqa: PLR0913  # what `tool` was given, as it was given
        self,
        kind: StepKind,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        effect: Effect | str | None,
        default: Effect,
        probe: Callable[..., object] | None,
        reserve: Budget | None,
    ) -> Any:
        running, services = self._running, self._services
        path = running.here()
        tool = tools.describe(function)
        if tool.name not in services.tools and "*" not in services.tools:
            raise ScopeError(
                f"agent {services.agent} may not use {tool.name}: name it in Agent(tools=[...])"
            )
        traits = tool.traits
        parsed = tools.parse_effect(effect or traits.effect or default, tool.name)
        if parsed is Effect.KEYED and not tool.takes_key:
            raise UsageError(f"{tool.name} is keyed, so it must take the parameter {tools.KEY}")
        probe = probe or traits.probe
        reserved = tools.parse_reserve(reserve, tool.name) or traits.reserve or _ZERO
        call = c.Use(
            step=path.next_step(),
            kind=kind,
            name=tool.name,
            input_hash=hash_arguments(*arguments),
            effect=parsed,
            reserve=reserved,
            probe=probe is not None,
        )
        performer = Performer(
            function,
            arguments,
            probe=probe,
            reserve=reserved,
            threads=services.threads,
            keep=services.keep,
        )
        with Charge(reserved._replace(tool_calls=1)):
            result = await running.ask(path, call, performer)
        if result.status is not Status.COMPLETED:
            raise ToolFailed(f"{tool.name}: {result.reason}")
        contents = result.body
        if contents.content is None and contents.hash:
            contents = body(await services.load(contents))
        return tools.decode(tool, contents)

    # --- recording ------------------------------------------------------------------------------

    async def artifact(
        self, name: str, data: bytes | str, *, media_type: str = "application/octet-stream"
    ) -> Artifact:
        """Store contents under their hash and return the reference that travels in messages."""
        path = self._running.here()
        content = data.encode() if isinstance(data, str) else data
        store = self._services.store()
        digest = await self._services.threads.run(lambda: store.put(content))
        artifact = Artifact(
            name=_words(name, "name"), sha256=digest.hex(), media_type=media_type, size=len(content)
        )
        described = body(artifact.model_dump_json().encode())
        call = c.Keep(step=path.next_step(), name=name, input_hash=digest, result=described)
        await self._running.ask(path, call)
        return artifact

    async def load(self, artifact: Artifact) -> bytes:
        """Return an artifact's contents. No step: what is stored under a hash never changes."""
        self._running.here()
        return await self._services.load(
            Body(bytes.fromhex(artifact.sha256), artifact.media_type, None)
        )

    async def record_decision(
        self, choice: str, *, because: str, evidence: Iterable[Reference] = ()
    ) -> None:
        """Add a line to the decision chain, in words, with references to what it rests on."""
        path = self._running.here()
        call = c.Decide(
            step=path.next_step(),
            choice=_words(choice, "choice"),
            because=_words(because, "because"),
            evidence=self._names(evidence, "evidence"),
        )
        await self._running.ask(path, call)

    async def sleep(self, duration: Duration) -> None:
        """Wait, in the log's time. A long sleep holds no slot, and survives the process."""
        path = self._running.here()
        call = c.Sleep(step=path.next_step(), ms=parse_duration(duration, "sleep"))
        await self._running.ask(path, call, dozes=True)

    def progress(self, text: str) -> None:
        """Say how far the work is; shown to people, not journalled, and lost without harm."""
        self._running.here()
        self._services.progress(self._running.work, text[:MAX_REASON])

    def rate(self, *, confidence: float | None = None, sources: Iterable[Reference] = ()) -> None:
        """Say what the result that follows is worth, from 0 to 1, and what it rests on.

        A result that is not rated counts as certain.
        """
        self._running.here()
        if confidence is not None:
            self._confidence = permille(confidence, "rate: confidence")
        self._sources = self._names((*self._sources, *sources), "rate: sources")

    def rating(self) -> tuple[int, tuple[str, ...]]:
        """Return the confidence in per mille and the sources; for the runtime."""
        return self._confidence, self._sources


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def _words(text: object, what: str) -> str:
    """Return a text that goes into a fact.

    Raises:
        UsageError: It is none, empty or too long.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_REASON:
        raise UsageError(f"{what}: must be a text of 1 to {MAX_REASON} characters")
    return text
