"""Processes of a mesh in operating system processes of their own, so that they can be killed.

Run as a program, this module starts the agents that its one argument names (JSON, see `Started`),
says `ready` on its output, and drains on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from mesh.core.settings import Settings
from mesh.core.values import Amount
from mesh.runtime.process import Process
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_settings import Limits
from tests.integration.world import SETTINGS, WITHIN_S, Site, eventually

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
"""Importing everything, on a machine that does other things as well."""
DRAIN_S = 30.0


class Remote:
    """Mutable: one such process. `said` are the lines of its log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.said: list[str] = []
        self.told: list[str] = []
        self.process = process
        self._readers = [
            asyncio.get_running_loop().create_task(self._read(stream, lines))
            for stream, lines in ((process.stderr, self.said), (process.stdout, self.told))
        ]

    @classmethod
    async def start(
        cls,
        site: Site,
        mesh: str,
        name: str,
        *agents: str,
        settings: Settings = SETTINGS,
        limits: Mapping[str, float] | None = None,
    ) -> Remote:
        """Start agents, named as `module:agent`; return when they are ready."""
        how = {
            "bootstrap": site.bootstrap,
            "embedded": site.embedded,
            "mesh": mesh,
            "name": name,
            "agents": agents,
            "settings": asdict(settings),
            "limits": limits or {},
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.remote", json.dumps(how)),
            cwd=ROOT,
            stdout=PIPE,
            stderr=PIPE,
        )
        remote = cls(name, process)
        await eventually(
            lambda: "ready" in remote.told or remote.ended, START_S, f"the start of {name}"
        )
        assert "ready" in remote.told, "\n".join(remote.said)
        return remote

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    def signal(self, number: signal.Signals) -> None:
        if not self.ended:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        await self._wait()

    async def stop(self) -> None:
        """Have it drain and end."""
        self.signal(signal.SIGTERM)
        await self._wait()

    async def _wait(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            await self.process.wait()
            await asyncio.gather(*self._readers)

    async def _read(self, stream: asyncio.StreamReader | None, lines: list[str]) -> None:
        assert stream is not None
        while line := await stream.readline():
            lines.append(line.decode().rstrip())


def _settings(given: dict[str, Any]) -> Settings:
    for name in ("budget", "ceiling"):
        given[name] = Amount(*given[name])
    return Settings(**given)


async def _run(how: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    agents = []
    for named in how["agents"]:
        module, _, agent = named.partition(":")
        agents.append(getattr(import_module(module), agent))
    log = KafkaLog(
        how["bootstrap"],
        client_id=how["name"],
        embedded=how["embedded"],
        limits=Limits(**how["limits"]),
    )
    process = Process(
        log, how["mesh"], agents, settings=_settings(how["settings"]), name=how["name"]
    )
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await process.start()
    print("ready", flush=True)
    assert process.failed is not None
    process.failed.add_done_callback(lambda _: asked.set())
    await asked.wait()
    if process.failed.done():
        print("failed", flush=True)
        await process.close()
        return
    print("drained" if await process.drain(DRAIN_S) else "not drained", flush=True)


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.argv[1])))
