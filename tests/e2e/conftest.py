"""The command in processes of its own, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
MESH = (sys.executable, "-m", "mesh.cli")
LIMIT_S = 60.0


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it wrote to stdout, which is JSON and nothing else."""
        return json.loads(self.out)


class Running:
    """Mutable: a command that goes on in the background."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, text: str, limit_s: float = LIMIT_S) -> str:
        """Wait until a line on stderr has this text; return that line."""
        deadline = time.monotonic() + limit_s
        seen = 0
        while time.monotonic() < deadline:
            for line in self.lines[seen:]:
                seen += 1
                if text in line:
                    return line
            if self.process.poll() is not None and seen == len(self.lines):
                break
            time.sleep(0.02)
        said = "\n".join(self.lines)
        raise AssertionError(f"{text!r} was not said (exit {self.process.poll()}):\n{said}")

    def end(self, number: signal.Signals = signal.SIGTERM, limit_s: float = LIMIT_S) -> int:
        """Send a signal and wait for the end; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(limit_s)
        self._reader.join(limit_s)
        return code


class Shell:
    """Mutable: a folder and an environment in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MESH_", "XDG_"))
        }
        self.environ |= {"HOME": str(folder), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        self._running: list[Running] = []

    def run(self, *arguments: str, stdin: str = "", limit_s: float = LIMIT_S) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            [*MESH, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environ,
            timeout=limit_s,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Running:
        """Start a command and let it go on."""
        process = subprocess.Popen(
            [*MESH, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environ | dict(environ or {}),
        )
        running = Running(process)
        self._running.append(running)
        return running

    def close(self) -> None:
        """End what is still running."""
        for running in self._running:
            if running.process.poll() is None:
                try:
                    running.end()  # in order: a child whose broker is gone waits for it to be back
                except subprocess.TimeoutExpired:
                    running.end(signal.SIGKILL)
            if running.process.stdout is not None:
                running.process.stdout.close()
            if running.process.stderr is not None:
                running.process.stderr.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A home and a working folder of this test's own."""
    made = Shell(tmp_path)
    yield made
    made.close()


Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def until() -> Until:
    """Wait for something that can only be asked for again and again."""

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not holds():
            assert time.monotonic() < deadline, "it never came to hold"
            time.sleep(0.1)

    return wait
