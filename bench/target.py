"""A target outside the mesh: applies an effect once for each idempotency key, and remembers.

`python -m bench.target SOCKET FILE` serves a Unix socket; every call, applied or repeated, is a
line of the file, which outlives everything. Calls cost money each time, as real ones do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One call that reached the target. `what` is what the caller wants done, in its own words."""

    at_ms: int
    key: str
    what: str
    workflow: str
    micro_usd: int
    applied: bool


async def call(socket: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Call the target, and return its answer."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(json.dumps(wanted).encode() + b"\n")
        await writer.drain()
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()


def read_calls(path: Path) -> Sequence[Call]:
    """Return every call, in order."""
    if not path.exists():
        return []
    return [Call(*json.loads(line)) for line in path.read_text("utf-8").splitlines()]


async def serve(socket: str, path: Path) -> None:
    """Serve for ever."""
    receipts: dict[str, int] = {}
    with path.open("a", buffering=1, encoding="utf-8") as lines:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            if line:
                wanted = json.loads(line)
                key = wanted["key"]
                applied = key not in receipts
                receipt = receipts.setdefault(key, len(receipts))
                seen = Call(
                    time.time_ns() // 1_000_000,
                    key,
                    wanted["what"],
                    wanted["workflow"],
                    wanted["micro_usd"],
                    applied,
                )
                lines.write(json.dumps(seen) + "\n")
                # the answer takes a while: a caller may die between the effect and its report
                await asyncio.sleep(wanted["pause_s"])
                writer.write(json.dumps({"receipt": receipt, "applied": applied}).encode() + b"\n")
            writer.close()

        server = await asyncio.start_unix_server(answer, socket)
        print("ready", flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
