"""Runs the clients of this folder as other people's programs: in processes of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mesh.wire import topics
from tests.integration.world import World

CLIENT = Path(__file__).with_name("plain_client.py")
LIMIT_S = 60.0


def record(
    value: bytes | None, correlation: str, *headers: tuple[str, str | None], **options: Any
) -> dict[str, Any]:
    """Describe a record for the plain client."""
    return {
        "value": None if value is None else value.hex(),
        "headers": [("correlation-id", correlation), *headers],
        **options,
    }


async def submit_plainly(
    world: World, capability: str, records: Sequence[dict[str, Any]], expect: Iterable[str]
) -> dict[str, list[Any]]:
    """Have the plain client submit records, and return its replies by correlation id."""
    replies = topics.replies(world.mesh, "tests")
    for one in records:
        if not any(name == "reply-topic" for name, _ in one["headers"]):
            one["headers"].append(("reply-topic", replies))
    cases = {
        "topic": topics.tasks(world.mesh, capability),
        "replies": replies,
        "records": records,
        "expect": list(expect),
        "within_s": LIMIT_S,
    }
    out = await run([sys.executable, str(CLIENT), world.site.bootstrap], json.dumps(cases).encode())
    answers: dict[str, list[Any]] = json.loads(out)
    return answers


async def run(command: Sequence[str], given: bytes = b"") -> bytes:
    """Run a program to its end and return its output."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(LIMIT_S + 10):
            out, err = await process.communicate(given)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, err.decode()
    return out
