"""A whole mesh in memory, for authors' tests: no Kafka, no wall clock, nothing left to chance.

Every agent runs in a process of its own, as far as the mesh can tell: it has its own connection to
the log in memory, and can be cut off or killed alone. Time stands still while anything can move
without it; `submit` moves it to the next moment at which something is due, `advance` as far as it
is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, overload

from pydantic import BaseModel

from mesh.core import facts as f
from mesh.core.ids import workflow_id
from mesh.core.settings import Settings
from mesh.core.values import Amount, Mode, Status, TaskPartition
from mesh.errors import (
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    TaskRejected,
    TransportError,
    UsageError,
)
from mesh.ports import Place, Report
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts, MemoryArtifacts
from mesh.runtime.bodies import encode_input
from mesh.runtime.capability import Capability, In, Out
from mesh.runtime.handlers import Runner
from mesh.runtime.process import Process
from mesh.runtime.quantities import Budget, Duration, parse_budget, parse_duration
from mesh.runtime.shared import Shared
from mesh.testing.clock import ManualClock, ProcessClock
from mesh.testing.invariants import Violation, check
from mesh.testing.ordering import Ordering
from mesh.testing.processing import EVERYTHING_REJECTS, Processing, rules_of
from mesh.testing.scripts import Answer, scripted
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import requests, topics
from mesh.wire.facts import decode_fact
from mesh.wire.requests import TaskRequest, decode_reply, encode_request

NAME = "test"
"""The mesh's name, which its topics begin with."""
PARTITIONS = topics.Partitions(tasks=1, inbox=4, audit=2, replies=1)
REPLIES = topics.replies(NAME, NAME)
PATIENCE_S = 10.0
"""Real time that a tool or plain handler may take in its thread; then time goes on without it."""
QUIET_MOVES = 3
"""After so many moments of which nothing came, time moves in larger steps."""
SLACK = 20
"""A step may be this part of a lease longer than it must: late, but no lease is lost by it."""

Handle = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

_ENDS: dict[str, type[TaskError]] = {
    Status.FAILED: TaskFailed,
    Status.REJECTED: TaskRejected,
    Status.EXPIRED: TaskExpired,
    Status.CANCELLED: TaskCancelled,
}


@dataclass(frozen=True, kw_only=True)
class Result(Generic[Out]):
    """How a workflow ended. `status` is its root task's, `error` says why if not completed."""

    workflow: str
    status: Status
    error: str
    returned: Out | None

    @property
    def value(self) -> Out:
        """The result.

        Raises:
            TaskError: The workflow ended in another way.
        """
        if self.returned is None:
            raise _ENDS[self.status](self.error, task=self.workflow)
        return self.returned


class Submitted(Generic[Out]):
    """Mutable: a workflow that was submitted and perhaps has not ended."""

    def __init__(
        self, mesh: MemoryMesh, workflow: str, correlation: str, output: type[Out]
    ) -> None:
        self.workflow = workflow
        self._mesh = mesh
        self._correlation = correlation.encode()
        self._output = output
        self._seen = 0

    def result(self) -> Result[Out] | None:
        """Return how it ended, None if it has not."""
        (partition,) = self._mesh.broker.partitions(REPLIES)
        records, self._seen = partition.read(self._seen, partition.high)
        for record in records:
            if record.key == self._correlation:
                answer = decode_reply(record.value)
                status = Status(answer.status)
                done = status is Status.COMPLETED
                return Result(
                    workflow=self.workflow,
                    status=status,
                    error=answer.error,
                    returned=self._value(answer) if done else None,
                )
        return None

    def _value(self, answer: requests.Answer) -> Out:
        if not answer.artifact:
            return self._output.model_validate(answer.result)
        stored = self._mesh.artifacts.get(bytes.fromhex(answer.artifact))
        return self._output.model_validate_json(stored)


class Started:
    """Mutable: one process of one agent, with its own connection."""

    def __init__(self, agent: Agent, log: MemoryLog, clock: ProcessClock, process: Process) -> None:
        self.agent = agent
        self.log = log
        self.clock = clock
        self.process = process
        self.alive = True


class MemoryMesh:
    """Mutable: agents, the log between them, and time.

    `async with MemoryMesh(agent, other) as mesh: ...`. Instances are named `agent.number`, from 1.

    Args:
        agents: Each is started, with `instances` instances.
        instances: Of each agent.
        settings: Of the protocol.
        artifacts: The artifact store; one in memory unless given.
        rules: Of shared state, by key prefix: `reject`, `arbitrate`, or the name of a merge.
            Everything rejects unless given.
        objectives: What to arbitrate by, the most important first.
    """

    def __init__(  # the whole of a mesh, each with a default
        self,
        *agents: Agent,
        instances: int = 1,
        settings: Settings | None = None,
        artifacts: Artifacts | None = None,
        rules: Mapping[str, str] | None = None,
        objectives: Sequence[str] = (),
    ) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock.now_ms)
        self.processor = Processing(self.broker, NAME, self._failed)
        self._rules = rules_of(EVERYTHING_REJECTS if rules is None else rules, objectives)
        self._has_state = False
        self.settings = settings or Settings()
        self.artifacts = artifacts or MemoryArtifacts()
        self._agents = list(agents)
        self._instances = instances
        self._running: dict[str, Started] = {}
        self._starts: dict[str, int] = {}
        self._unstarted: list[Agent] = []
        self._client = MemoryLog(self.broker)
        self._orders = Ordering(self.broker, self._client, NAME)
        self._submitted = 0
        self._quiet = 0
        self._broken: list[Exception] = []
        self._handle_before: Handle | None = None
        self._slack_ms = (
            min(self.settings.work_lease_ms, self.settings.supervision_lease_ms) // SLACK
        )

    def __repr__(self) -> str:
        return f"MemoryMesh({list(self._running)}, {self.clock!r})"

    # --- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> MemoryMesh:
        loop = asyncio.get_running_loop()
        self._handle_before = loop.get_exception_handler()
        loop.set_exception_handler(self._broke)
        for plan in topics.plans(
            NAME, reply_names=[NAME], partitions=PARTITIONS, settings=self.settings
        ):
            self.broker.create_topic(plan)
        await self._client.open()
        for agent in self._agents:
            for _ in range(self._instances):
                await self.start(agent)
        await self.settle()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().set_exception_handler(self._handle_before)
        self.broker.start()
        for running in self._running.values():
            if running.alive:
                self.broker.heal(running.log)
            for member in () if running.alive else running.log.members():
                member.expire()
                member.alive = False  # the dead leave no group in order
            await running.process.close()
        await self.processor.close()
        await self._client.close()

    def _failed(self, problem: Exception) -> None:
        self._broken.append(problem)

    def _broke(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what the mesh itself raised in a callback: a test must not pass over it."""
        problem = context.get("exception")
        if "handle" in context and isinstance(problem, Exception):
            self._broken.append(problem)
        else:
            loop.default_exception_handler(context)

    async def start(self, agent: Agent, number: int | None = None) -> str:
        """Start one more instance, or the one of this number again, and return its name."""
        taken = [name for name in self._running if self._running[name].agent.name == agent.name]
        number = number or len(taken) + 1
        name = f"{agent.name}.{number}"
        if name in self._running and self._running[name].alive:
            raise UsageError(f"{name} is running")
        for plan in topics.plans(
            NAME,
            capabilities=list(agent.capabilities),
            pools=[agent.name],
            partitions=PARTITIONS,
            settings=self.settings,
        ):
            self.broker.create_topic(plan)
        self._starts[name] = self._starts.get(name, 0) + 1
        card = agent.card()
        if card.reads or card.writes:
            await self._share_state()
        log, clock = MemoryLog(self.broker), ProcessClock(self.clock)
        process = Process(
            log,
            NAME,
            [agent],
            settings=self.settings,
            clock=clock,
            artifacts=self.artifacts,
            name=str(number),
            incarnation=self._starts[name],
        )
        self._running[name] = Started(agent, log, clock, process)
        await process.start()
        return name

    async def _share_state(self) -> None:
        """Start the processor with the rules, where anybody has to do with shared state."""
        if not self._has_state:
            self._has_state = True
            await self.processor.start()
            self.processor.adopt(self._rules)

    # --- work -----------------------------------------------------------------------------------

    @overload
    async def submit(
        self,
        capability: Capability[In, Out],
        value: In,
        /,
        *,
        mode: Mode | str | None = None,
        budget: Budget | None = None,
        timeout: Duration | None = None,  # the mesh's own time
        event_id: str = "",
    ) -> Result[Out]: ...

    @overload
    async def submit(
        self,
        capability: str,
        value: BaseModel,
        returns: type[Out],
        /,
        *,
        mode: Mode | str | None = None,
        budget: Budget | None = None,
        timeout: Duration | None = None,  # the mesh's own time
        event_id: str = "",
    ) -> Result[Out]: ...

    async def submit(
        self,
        capability: Capability[Any, Any] | str,
        value: BaseModel,
        returns: type[BaseModel] | None = None,
        /,
        **options: Any,
    ) -> Result[Any]:
        """Submit a workflow and return how it ended, moving time as far as it takes.

        Args:
            capability: What `@agent.capability` made, or a name with the type that it `returns`.
            value: The input.
            returns: The type of the result, for a capability given by name.
            options: `mode`, `budget`, `timeout` and `event_id`, as a submitter may give them.

        Raises:
            AssertionError: Nothing moves any more; the message says what everybody is doing.
        """
        if isinstance(capability, str):
            assert returns is not None
            submitted = await self.begin(capability, value, returns, **options)
        else:
            submitted = await self.begin(capability, value, **options)
        return await self.finish(submitted)

    @overload
    async def begin(
        self, capability: Capability[In, Out], value: In, /, **options: Any
    ) -> Submitted[Out]: ...

    @overload
    async def begin(
        self, capability: str, value: BaseModel, returns: type[Out], /, **options: Any
    ) -> Submitted[Out]: ...

    async def begin(
        self,
        capability: Capability[Any, Any] | str,
        value: BaseModel,
        returns: type[BaseModel] | None = None,
        /,
        **options: Any,
    ) -> Submitted[Any]:
        """Submit a workflow and let it go as far as it can while time stands still."""
        if isinstance(capability, Capability):
            name, output = capability.name, capability.output_type
        else:
            name, output = capability, returns or BaseModel
        request = _request(encode_input(value), options)
        self._submitted += 1
        correlation = f"{NAME}-{self._submitted}"
        request = replace(request, reply_topic=REPLIES, correlation_id=correlation)
        await self._start_scripts()
        landed = await self._append(topics.tasks(NAME, name), encode_request(request))
        source = TaskPartition(name, landed.partition)
        workflow = workflow_id(source, landed.offset, request.event_id, PARTITIONS.audit)
        await self.settle()
        return Submitted(self, workflow, correlation, output)

    async def finish(self, submitted: Submitted[Out]) -> Result[Out]:
        """Move time until a workflow has ended, and return how it did."""
        limit_ms = self.clock.now_ms() + 2 * self.settings.retention_ms
        await self.settle()
        while (result := submitted.result()) is None:
            if not await self._move(limit_ms):
                raise AssertionError(f"nothing moves any more: {self._state()}")
        return result

    def script(self, capability: str, *answers: Answer) -> list[dict[str, Any]]:
        """Stand in for an absent peer: answer in turn, the last answer for ever.

        Returns:
            What the stand-in is asked, as JSON; it grows.
        """
        agent, asked = scripted(capability, answers)
        self._unstarted.append(agent)
        return asked

    async def _start_scripts(self) -> None:
        waiting, self._unstarted = self._unstarted, []
        for agent in waiting:
            await self.start(agent)
        await self.settle()

    async def _append(self, topic: str, value: bytes) -> Report:
        if not self.broker.partitions(topic):
            raise UsageError(f"no agent of this mesh offers {topic.rpartition('.tasks.')[2]}")
        landed: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._client.append(Place(topic, -1), None, value, (), landed.set_result)
        return await landed

    # --- time -----------------------------------------------------------------------------------

    async def advance(self, duration: Duration) -> None:
        """Let time pass; what becomes due happens in its order."""
        await self._start_scripts()
        end = self.clock.now_ms() + parse_duration(duration, "advance")
        while await self._move(end):
            pass
        self.clock.move_to(end)

    async def _move(self, limit_ms: int) -> bool:
        """Go to the next moment at which something is due; False if that is after `limit_ms`.

        When nothing has come of the last ones, what is due shortly after is waited for as well.
        """
        due = self.clock.next_ms()
        if due is None or due > limit_ms:
            return False
        if self._quiet > QUIET_MOVES:
            due = min(limit_ms, due + self._slack_ms)
        self.clock.move_to(due)
        if not _has_work() and not self._in_threads():
            self._quiet += 1
            return True
        self._quiet = 0
        await self.settle()
        return True

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + PATIENCE_S
        while True:
            await asyncio.sleep(0)
            if self._broken:
                raise self._broken[0]
            if _has_work():
                continue
            if not self._in_threads() or loop.time() > patience:
                return
            await asyncio.sleep(0.0005)

    def _in_threads(self) -> bool:
        return any(
            runner.busy
            for running in self._running.values()
            if running.alive
            for runner in _runners(running)
        )

    async def halt(self, target: str, *, because: str, person: str = "test") -> None:
        """Stop `workflow/ID`, `agent/NAME` or `capability/NAME` at the next steps it covers."""
        self._orders.order(target, because, person, halted=True)
        await self.settle()

    async def lift(self, target: str, *, because: str, person: str = "test") -> None:
        """Lift a halt: what it stopped goes on from its journals."""
        self._orders.order(target, because, person, halted=False)
        await self.settle()

    # --- shared state ---------------------------------------------------------------------------

    async def put(
        self, key: str, value: object, *, agent: str = "test", objective: str = ""
    ) -> Shared[Any]:
        """Write an entry over whatever is there, and return it as it is then; None deletes."""
        await self._share_state()
        self.processor.put(key, value, agent, objective)
        await self.settle()
        return self.entry(key)

    def entry(self, key: str, kind: Any = Any) -> Shared[Any]:
        """Return an entry of shared state, with its value as `kind`; plain JSON unless given."""
        return self.processor.entry(key, kind)

    # --- looking --------------------------------------------------------------------------------

    def facts(self, workflow: str = "") -> list[f.Fact]:
        """Return the facts of a workflow in the order of the log; without one, all facts."""
        return [
            record.fact
            for _, record in self._records()
            if not workflow or getattr(record.fact, "workflow", "") == workflow
        ]

    def kinds(self, workflow: str) -> list[str]:
        """Return the kinds of a workflow's facts in the order of the log."""
        return [type(fact).__name__ for fact in self.facts(workflow)]

    def incidents(self) -> list[str]:
        """Return what was put on the topic of incidents, as text."""
        return [
            (record.value or b"").decode("utf-8", "replace")
            for record in self.broker.records(topics.incidents(NAME))
        ]

    def violations(self) -> list[Violation]:
        """Check the invariants of the whole log and return what breaks them."""
        partitions: dict[int, list[f.Record]] = {}
        for partition, record in self._records():
            partitions.setdefault(partition, []).append(record)
        return check(partitions)[1]

    def _records(self) -> Iterator[tuple[int, f.Record]]:
        for incoming in self.broker.records(topics.audit(NAME)):
            decoded = decode_fact(incoming.value)
            record = f.Record(incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact)
            yield incoming.partition, record

    def instance_of(self, log: MemoryLog) -> str:
        """Return the name of the living instance that has this connection, "" if none has."""
        living = ((name, own) for name, own in self._running.items() if own.alive)
        return next((name for name, own in living if own.log is log), "")

    @property
    def instances(self) -> Sequence[str]:
        """The names of the instances that run."""
        return [name for name, running in self._running.items() if running.alive]

    def _state(self) -> str:
        nodes = [
            repr(instance)
            for running in self._running.values()
            for instance in running.process.instances
        ]
        return "\n".join([f"time {self.clock.now_ms()}", *nodes])

    # --- faults ---------------------------------------------------------------------------------

    def _find(self, name: str) -> Started:
        for known in (name, f"{name}.1"):
            if known in self._running and self._running[known].alive:
                return self._running[known]
        raise UsageError(f"no instance {name} runs; running are {', '.join(self.instances)}")

    def kill(self, name: str) -> None:
        """Let an instance die where it stands: it writes nothing more, not even a goodbye.

        Its partitions go to others when its session ends.
        """
        running = self._find(name)
        running.alive = False
        running.log.fail(TransportError(f"{name} was killed by the test"))
        running.clock.stop()
        self.broker.cut(running.log)
        for instance in running.process.instances:
            instance.closed = True
        for runner in _runners(running):
            runner.kill()
        self._expire_later(running)

    def partition(self, *names: str) -> None:
        """Cut instances off from the log; each goes on believing what it did, until `heal`."""
        for name in names:
            running = self._find(name)
            self.broker.cut(running.log)
            self._expire_later(running)

    def heal(self) -> None:
        """Connect again whoever is alive and was cut off."""
        for running in self._running.values():
            if running.alive:
                self.broker.heal(running.log)

    def _expire_later(self, running: Started) -> None:
        session_ms = self.settings.supervision_lease_ms

        def expire() -> None:
            if not self.broker.reachable(running.log):
                self.broker.expire(running.log)

        self.clock.call_at(self.clock.now_ms() + session_ms, expire)


def _request(given: Any, options: dict[str, Any]) -> TaskRequest:
    """Return a submitted task.

    Raises:
        UsageError: An option is unknown or malformed.
    """
    known = {"mode", "budget", "timeout", "event_id", "goal"}
    if unknown := options.keys() - known:
        raise UsageError(f"submit: there is no option {min(unknown)}; known are {sorted(known)}")
    budget, timeout, mode = (options.get(name) for name in ("budget", "timeout", "mode"))
    defaults: Amount = Settings().budget
    return TaskRequest(
        input=given,
        goal=options.get("goal", ""),
        budget=None if budget is None else parse_budget(budget, defaults, "budget"),
        timeout_ms=None if timeout is None else parse_duration(timeout, "timeout"),
        mode=None if mode is None else Mode(mode),
        event_id=options.get("event_id", ""),
    )


def _has_work() -> bool:
    """Tell whether the loop has anything to do; there is no public way to ask."""
    return bool(asyncio.get_running_loop()._ready)  # type: ignore[attr-defined]  # noqa: SLF001  # see above


def _runners(running: Started) -> Iterator[Runner]:
    """Yield what runs the handlers of a process: a fault reaches deeper than any public call."""
    for instance in running.process.instances:
        yield instance._runner  # noqa: SLF001  # see above
