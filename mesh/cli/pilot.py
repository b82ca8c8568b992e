"""`mesh dev` and the process of agents that it starts, stops and starts again.

They talk in JSON lines: the child says what it is going to run, waits for "go" (the topics are
there), says that it is ready, and drains when its standard input ends; so it never outlives its
parent. `Pilot` is the parent's side, `commands.piloted` the child's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import MeshError, UsageError

GO = b"go\n"
KILL_AFTER_S = 5.0
"""Beyond its drain's limit a child is killed: the next one goes on from the journals."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What a child is going to run: names of agents, their capabilities, the files they are in."""

    agents: tuple[str, ...]
    capabilities: tuple[str, ...]
    files: tuple[Path, ...]


class Pilot:
    """Mutable: one child, from its start to its end."""

    def __init__(self, targets: Sequence[str], environ: Mapping[str, str], drain_s: float) -> None:
        self.targets = tuple(targets)
        self.drain_s = drain_s
        self._environ = dict(environ)
        self._process: Process | None = None

    def __repr__(self) -> str:
        pid = self._process.pid if self._process is not None else None
        return f"Pilot({list(self.targets)}, pid={pid})"

    async def prepare(self) -> Crew:
        """Start the child and hear what it would run.

        Raises:
            UsageError: It cannot: an agent is missing or declared wrongly.
        """
        command = (sys.executable, "-m", "mesh.cli", "piloted", *self.targets)
        command += ("--drain", str(self.drain_s))
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            env=self._environ,
            start_new_session=True,  # an interrupt at the terminal is the parent's
        )
        said = await self._hear()
        return Crew(
            agents=tuple(said["agents"]),
            capabilities=tuple(said["capabilities"]),
            files=tuple(Path(name) for name in said["files"]),
        )

    async def go(self) -> None:
        """Let it start; returns when its agents take work.

        Raises:
            MeshError: They cannot start; the message is the child's.
        """
        process = self._started()
        assert process.stdin is not None, "it was started with a pipe"
        process.stdin.write(GO)
        await process.stdin.drain()
        await self._hear()

    async def ended(self) -> int:
        """Wait for its end; return its exit code."""
        return await self._started().wait()

    async def stop(self) -> None:
        """Let it drain, and wait for its end; a child that does not end is killed."""
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), self.drain_s + KILL_AFTER_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _hear(self) -> dict[str, Any]:
        process = self._started()
        assert process.stdout is not None, "it was started with a pipe"
        line = await process.stdout.readline()
        if not line:
            code = await process.wait()
            raise MeshError(f"the agents' process ended with {code} before it was ready")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            await process.wait()
            kind = UsageError if said.get("usage") else MeshError
            raise kind(said["error"])
        return said

    def _started(self) -> Process:
        assert self._process is not None, "it was prepared"
        return self._process
