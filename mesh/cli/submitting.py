"""Submits root tasks, and knows at once what their workflows are called."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, NamedTuple

from mesh.core.ids import workflow_id
from mesh.core.settings import MAX_BODY_BYTES
from mesh.core.values import Amount, Mode, TaskPartition
from mesh.errors import TransportError, UsageError, WireError, WrongTopic
from mesh.ports import Log, Place, Report
from mesh.wire import topics
from mesh.wire.canonical import body_of
from mesh.wire.requests import TaskRequest, encode_request

if TYPE_CHECKING:
    from mesh.runtime.artifacts import Artifacts


class Asked(NamedTuple):
    """What is asked for besides the input; None or "" stands for the capability's own."""

    goal: str = ""
    constraints: tuple[str, ...] = ()
    budget: Amount | None = None
    timeout_ms: int | None = None
    mode: Mode | None = None
    agent: str = ""
    event_id: str = ""


class Submitted(NamedTuple):
    """A task that is in the log: its workflow, and its place in the capability's topic."""

    workflow: str
    topic: str
    partition: int
    offset: int
    append_ms: int


class Submitter:
    """Mutable: submits to one mesh; `artifacts` takes inputs that are too large for an event."""

    def __init__(self, log: Log, mesh: str, audit_partitions: int, artifacts: Artifacts) -> None:
        self._log = log
        self._mesh = mesh
        self._count = audit_partitions
        self._artifacts = artifacts

    async def submit(self, capability: str, value: object, asked: Asked) -> Submitted:
        """Append a task; returns when it is durable.

        Raises:
            UsageError: The input is no JSON, or too large.
            TransportError: It could not be appended, or nobody knows whether it was.
        """
        event_id = asked.event_id or uuid.uuid4().hex
        try:
            data = await asyncio.to_thread(self._encoded, value, asked, event_id)
        except WireError as error:
            raise UsageError(f"the input: {error}") from error
        topic = topics.tasks(self._mesh, capability)
        report = await self._append(Place(topic, -1), event_id.encode(), data)
        source = TaskPartition(capability, report.partition)
        return Submitted(
            workflow_id(source, report.offset, event_id, self._count),
            topic,
            report.partition,
            report.offset,
            report.append_ms,
        )

    def _encoded(self, value: object, asked: Asked, event_id: str) -> bytes:
        body = body_of(value)
        if body.content is not None and len(body.content) > MAX_BODY_BYTES:
            self._artifacts.put(body.content)
            body = body._replace(content=None)
        return encode_request(
            TaskRequest(
                input=body,
                goal=asked.goal,
                constraints=asked.constraints,
                budget=asked.budget,
                timeout_ms=asked.timeout_ms,
                mode=asked.mode,
                named_agent=asked.agent,
                event_id=event_id,
            )
        )

    async def _append(self, place: Place, key: bytes, value: bytes) -> Report:
        reported: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

        def report(given: Report) -> None:
            if not reported.done():
                reported.set_result(given)

        self._log.append(place, key, value, (), report)
        answer = await reported
        if answer.error is not None:
            raise TransportError(f"submit to {place.topic}: {answer.error}")
        return answer


async def audit_partitions(log: Log, mesh: str) -> int:
    """Return how many partitions the audit stream of a mesh has.

    Raises:
        WrongTopic: There is no such mesh.
    """
    count = len(await log.ends(topics.audit(mesh)))
    if not count:
        raise WrongTopic(f"there is no mesh {mesh} there; create its topics: `mesh topics apply`")
    return count
