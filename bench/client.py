"""A submitter: records in, replies out."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.ground import REPLIES, Ground
from mesh.ports import Place, Reader
from mesh.wire import topics
from mesh.wire.requests import Answer, decode_reply


class Client:
    """Mutable: one submitter of a mesh; use as `async with`."""

    def __init__(self, ground: Ground, mesh: str) -> None:
        self.mesh = mesh
        self.log = ground.log("bench-client")
        self._reader: Reader | None = None
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.answers: dict[str, set[tuple[str, str]]] = {}

    async def __aenter__(self) -> Client:
        await self.log.open()
        self._topic = topics.replies(self.mesh, REPLIES)
        ends = await self.log.ends(self._topic)
        self._reader = await self.log.tail(self._topic, dict.fromkeys(ends, None))
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._reader is not None:
            await self._reader.close()
        await self.log.close()

    def submit(
        self,
        capability: str,
        content: Mapping[str, Any],
        *,
        budget: Mapping[str, Any] | None = None,
        timeout_ms: int = 600_000,
        partition: int = -1,
        event_id: str = "",
    ) -> asyncio.Future[Answer]:
        """Submit a task; the future has its reply."""
        name = event_id or uuid.uuid4().hex
        headers = [
            ("reply-topic", self._topic.encode()),
            ("correlation-id", name.encode()),
            ("timeout-ms", str(timeout_ms).encode()),
            ("ce-id", name.encode()),
        ]
        if budget is not None:
            headers.append(("budget", json.dumps(budget).encode()))
        place = Place(topics.tasks(self.mesh, capability), partition)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[name] = future
        self.log.append(place, name.encode(), json.dumps(content).encode(), tuple(headers))
        return future

    async def ask(self, capability: str, content: Mapping[str, Any], **more: Any) -> Any:
        """Submit a task and return its result.

        Raises:
            RuntimeError: It did not complete.
        """
        answer = await self.submit(capability, content, **more)
        if answer.status != "completed":
            raise RuntimeError(f"{capability}: {answer.status}: {answer.error}")
        return answer.result

    async def _listen(self) -> None:
        assert self._reader is not None
        while True:
            for incoming in await self._reader.take():
                name = (incoming.key or b"").decode()
                answer = decode_reply(incoming.value)
                came = self.answers.setdefault(name, set())
                came.add((answer.status, json.dumps(answer.result)))
                future = self._waiting.pop(name, None)
                if future is not None and not future.done():
                    future.set_result(answer)


def run_async(work: Callable[[], Any]) -> Any:
    """Run a coroutine function to its end."""
    return asyncio.run(work())


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of some values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def stopwatch() -> Callable[[], float]:
    """Return a function that tells the seconds since now."""
    begun = time.perf_counter()
    return lambda: time.perf_counter() - begun
