"""The processes of the shared-state runs: workers of the processor, by its command, and writers.

Workers start one after the other, so that the one whose name holds a start's time is known: a
verdict names its judge, and that is how the log tells afterwards which process judged what.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

from bench.chaos_state_writer import WriterOrders
from bench.ground import Ground
from bench.spawn import ROOT

WORKER = [sys.executable, "-m", "mesh.cli", "processor", "--health", "127.0.0.1:0"]
TRIES = 3
"""A start may fail on a broker that is busy: whoever supervises a process starts it again."""
READY_S = 60.0
STOP_S = 30.0
ANSWERED_S = 100.0
"""For the verdicts of open writes: a copy is sent again after a minute at the latest."""
HEALTH = re.compile(r"health at http://([0-9.:]+)/healthz")
JUDGED = re.compile(r"mesh_state_verdicts_total\{[^}]*\} (\S+)")
LAG = re.compile(r'mesh_state_lag\{.*partition="(\d+)"\} (\S+)')


@dataclass
class Child:
    """Mutable: one process that was started; times are in milliseconds since 1970."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path
    start_ms: int
    ready_ms: int = 0
    address: str = ""

    @property
    def running(self) -> bool:
        return self.child.poll() is None

    @property
    def pid(self) -> int:
        return self.child.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running:
            self.child.send_signal(number)

    def end(self, limit_s: float) -> int | None:
        """Wait for its end; kill it when that takes too long, and return None."""
        try:
            code: int | None = self.child.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            code = None
        if self.child.stdout is not None:
            self.child.stdout.close()
        return code

    def lag(self) -> dict[int, int]:
        """Return the lag of each partition that this worker has; empty if it does not answer."""
        return {int(partition): int(float(lag)) for partition, lag in LAG.findall(self._metrics())}

    def judged(self) -> float:
        """Return how many changes this worker has judged."""
        return sum(map(float, JUDGED.findall(self._metrics())))

    def _metrics(self) -> str:
        try:
            with urlopen(f"http://{self.address}/metrics", timeout=1.0) as page:
                text: str = page.read().decode()
        except OSError:
            return ""
        return text


class Crew:
    """Mutable: the workers and the writers, kept running. `history` has every worker's start."""

    def __init__(self, where: Ground, mesh: str, writers: Sequence[WriterOrders]) -> None:
        self._where = where
        self._env = os.environ | {"MESH_BOOTSTRAP": where.bootstrap, "MESH_NAME": mesh}
        self._orders = {one.name: one for one in writers}
        self._starting = asyncio.Lock()
        self.workers: dict[str, Child] = {}
        self.writers: dict[str, Child] = {}
        self.history: list[Child] = []
        self.down: set[str] = set()
        self.lost: list[str] = []
        """What ended by itself, with its code."""

    # --- workers --------------------------------------------------------------------------------

    async def up(self, name: str) -> Child:
        """Start a worker and wait until it is ready; one that ends before is started again.

        Raises:
            RuntimeError: It did not become ready.
        """
        async with self._starting:
            for _ in range(TRIES):
                log = self._where.scratch / f"{name}-{len(self.history)}.log"
                child = self._start(name, WORKER, log, subprocess.DEVNULL)
                self.workers[name] = child
                self.history.append(child)
                if await self._is_ready(child):
                    self.down.discard(name)
                    return child
            raise _unready(self.workers[name])

    async def _is_ready(self, child: Child) -> bool:
        """Wait until a worker says where its health is; False if it ends, or takes too long."""
        begun = time.monotonic()
        while time.monotonic() - begun < READY_S:
            found = HEALTH.search(child.log.read_text("utf-8", "replace"))
            if found is not None:
                child.address, child.ready_ms = found[1], now_ms()
                return True
            if not child.running:
                return False
            await asyncio.sleep(0.05)
        child.child.kill()
        return False

    async def lags(self) -> Mapping[str, dict[int, int]]:
        """Return the lag of each worker's partitions."""
        own = {name: one for name, one in self.workers.items() if name not in self.down}
        found = await asyncio.gather(*(asyncio.to_thread(one.lag) for one in own.values()))
        return dict(zip(own, found, strict=True))

    async def judged(self) -> Mapping[str, float]:
        """Return how many changes each worker has judged."""
        own = {name: one for name, one in self.workers.items() if name not in self.down}
        found = await asyncio.gather(*(asyncio.to_thread(one.judged) for one in own.values()))
        return dict(zip(own, found, strict=True))

    # --- writers --------------------------------------------------------------------------------

    async def up_writer(self, name: str) -> Child:
        """Start a writer, in place of the one before, and wait until it writes."""
        before = self.writers.get(name)
        orders = replace(self._orders[name], after=before.pid if before else 0)
        command = [sys.executable, "-m", "bench.chaos_state_writer", orders.text()]
        for _ in range(TRIES):
            child = self._start(name, command, self._where.scratch / f"{name}.log", subprocess.PIPE)
            self.writers[name] = child
            if await asyncio.to_thread(_says_ready, child.child):
                child.ready_ms = now_ms()
                self.down.discard(name)
                return child
            child.child.kill()
        raise _unready(self.writers[name])

    def hire(self, writers: Sequence[WriterOrders]) -> None:
        """Have other writers, once those before have finished."""
        assert not any(one.running for one in self.writers.values())
        self._orders = {one.name: one for one in writers}
        self.writers = {}

    async def start_writers(self) -> None:
        """Start all of them at once."""
        await asyncio.gather(*(self.up_writer(name) for name in self._orders))

    async def finish_writers(self) -> dict[str, int | None]:
        """Have them write no more; return their codes once what they wrote is judged."""
        for one in self.writers.values():
            one.send(signal.SIGTERM)
        own = self.writers.items()
        codes = await asyncio.gather(
            *(asyncio.to_thread(one.end, ANSWERED_S) for one in self.writers.values())
        )
        return {name: code for (name, _), code in zip(own, codes, strict=True)}

    # --- all ------------------------------------------------------------------------------------

    def running(self) -> list[str]:
        """Return the names of those that run and are not meant to be down."""
        every = {**self.workers, **self.writers}
        return [name for name, one in every.items() if name not in self.down and one.running]

    async def keep(self) -> None:
        """Note what ended by itself, and start it again, for ever."""
        while True:
            await asyncio.sleep(0.5)
            for name, one in {**self.workers, **self.writers}.items():
                if name in self.down or one.running:
                    continue
                self.down.add(name)
                self.lost.append(f"{name} ended with code {one.child.returncode}")
                await (self.up_writer(name) if name in self.writers else self.up(name))

    def stop_all(self) -> None:
        """End everything, whatever state it is in."""
        for one in self.writers.values():  # what has finished has ended by now
            one.send(signal.SIGKILL)
            one.end(STOP_S)
        for one in self.workers.values():
            one.send(signal.SIGCONT)
            one.send(signal.SIGTERM)
        for one in self.workers.values():
            one.end(STOP_S)

    def _start(self, name: str, command: Sequence[str], log: Path, stdout: int) -> Child:
        with log.open("ab") as stderr:
            at_ms = now_ms()
            child = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=ROOT, env=self._env)
        return Child(name, child, log, at_ms)


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _unready(child: Child) -> RuntimeError:
    tail = child.log.read_text("utf-8", "replace")[-2_000:]
    return RuntimeError(f"{child.name} did not become ready:\n{tail}")


def _says_ready(child: subprocess.Popen[bytes]) -> bool:
    assert child.stdout is not None
    found, _, _ = select.select([child.stdout], [], [], READY_S)
    return bool(found) and child.stdout.readline().strip() == b"ready"
