"""Agent processes as a parent sees them: started, waited for, signalled by pid, ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.agentproc import Orders

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
ROOT = Path(__file__).resolve().parents[1]


class AgentProcess:
    """Mutable: one process of agents."""

    def __init__(self, orders: Orders, log: Path) -> None:
        self.orders = orders
        self.log = log
        with log.open("ab") as stderr:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "bench.agentproc", orders.text()],
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env=dict(os.environ),
            )
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._child.poll()

    def ready(self, limit_s: float = READY_LIMIT_S) -> AgentProcess:
        """Wait until it said that it is ready."""
        if not self.is_ready(limit_s):
            tail = self.log.read_text("utf-8", "replace")[-2_000:]
            raise RuntimeError(f"{self.orders.name} did not become ready:\n{tail}")
        return self

    def is_ready(self, limit_s: float) -> bool:
        """Wait, and tell whether it became ready."""
        assert self._child.stdout is not None
        found, _, _ = select.select([self._child.stdout], [], [], limit_s)
        return bool(found) and self._child.stdout.readline().strip() == b"ready"

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running:
            self._child.send_signal(number)

    def tell(self) -> None:
        """Have it say on its log what it holds."""
        self.send(signal.SIGUSR2)

    def wait(self, limit_s: float) -> int | None:
        """Wait for its end; None if it goes on."""
        try:
            return self._child.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, limit_s: float = STOP_LIMIT_S) -> int | None:
        """Drain it; kill it when that takes too long. Returns None if it had to be killed."""
        self.send(signal.SIGTERM)
        code = self.wait(limit_s)
        if code is None:
            self.kill()
        self._close()
        return code

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.send(signal.SIGKILL)
        self._child.wait()
        self._close()

    def _close(self) -> None:
        if self._child.stdout is not None:
            self._child.stdout.close()

    def memory_kib(self) -> int:
        """Return its resident memory."""
        text = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        return int(text.partition("VmRSS:")[2].split()[0])

    def cpu_s(self) -> float:
        """Return the CPU time it used so far."""
        return cpu_s(self.pid)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
