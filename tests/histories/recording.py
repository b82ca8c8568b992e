"""Records what one process asks of the shared state and is told, so that a kill loses nothing.

Each line is written before the call that it announces is made, and after the answer it reports
has come, by one write to the kernel: what was written outlives the process (not the machine).
A process has a file of its own; `reading.read_recordings` merges them. Instants are of
CLOCK_MONOTONIC, which all processes of one machine share until it is booted again.

The lines of a file, all JSON objects (broken here to fit)::

    {"format": 1, "boot": "...", "pid": 71, "started": 1200}
    {"at": 1210, "op": 0, "client": "w1", "key": "a/b", "call": "write",
     "value": 7, "expected_version": 2}
    {"at": 1250, "op": 0, "answer": "accepted", "version": 3}

The calls are `read`, `write` and `compare-and-set` (`expected`, `value`); the answers `found`
(`value`, `version`), `accepted` (`version`) and `refused` (`version`, `value`). What definitely did
not happen has `"outcome": "failed"` for an answer, what the client gave up on `"unknown"`; what
has no second line is unknown too, for its client was killed.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.histories.operations import (
    UNTOLD,
    Accepted,
    Answer,
    Call,
    CompareAndSet,
    Found,
    HistoryError,
    Outcome,
    Read,
    Refused,
    Write,
)

FORMAT = 1
SUFFIX = ".jsonl"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """Name this run of this machine: monotonic clocks compare within it only."""
    # Elsewhere than on Linux a reboot goes unnoticed; that two machines are mixed does not.
    return BOOT_ID.read_text("ascii").strip() if BOOT_ID.exists() else platform.node()


class Recorder:
    """Appends to a new file in a directory; used by one process, from any of its threads.

    Args:
        directory: Where the recordings of all processes go.
        clock_ns: The clock that all of them share.
    """

    def __init__(self, directory: Path, *, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._numbers = itertools.count()
        self._open: set[int] = set()
        started = clock_ns()
        self.path = directory / f"{os.getpid()}-{started}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o644)
        self._append({"format": FORMAT, "boot": boot(), "pid": os.getpid(), "started": started})

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is open then stays unknown."""
        os.close(self._file)

    def invoked(self, client: str, key: str, call: Call) -> int:
        """Record that a call is about to be made, and return its number. Make it only then."""
        number = next(self._numbers)
        self._open.add(number)
        about = {"at": self._clock_ns(), "op": number, "client": client, "key": key}
        self._append(about | _call(call))
        return number

    def answered(self, number: int, answer: Answer) -> None:
        """Record the answer to a call, once it is there."""
        self._end(number, _answer(answer))

    def failed(self, number: int) -> None:
        """Record that the call definitely did not and will not happen."""
        self._end(number, {"outcome": Outcome.FAILED.value})

    def unknown(self, number: int) -> None:
        """Record that the client gave up waiting; the call may still take effect."""
        self._end(number, {"outcome": Outcome.UNKNOWN.value})

    def _end(self, number: int, end: dict[str, Any]) -> None:
        at = self._clock_ns()
        if number not in self._open:
            raise HistoryError(f"operation {number} was never invoked, or has ended already")
        self._open.remove(number)
        self._append({"at": at, "op": number} | end)

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if (written := os.write(self._file, data)) != len(data):
            raise OSError(f"{self.path}: only {written} of {len(data)} bytes were written")


def _call(call: Call) -> dict[str, Any]:
    match call:
        case Read():
            return {"call": "read"}
        case Write(value=value, expected_version=None):
            return {"call": "write", "value": value}
        case Write(value=value, expected_version=version):
            return {"call": "write", "value": value, "expected_version": version}
        case CompareAndSet(expected=expected, value=value):
            return {"call": "compare-and-set", "expected": expected, "value": value}


def _answer(answer: Answer) -> dict[str, Any]:
    version = {} if answer.version is None else {"version": answer.version}
    match answer:
        case Found(value=value):
            return {"answer": "found", "value": value} | version
        case Accepted():
            return {"answer": "accepted"} | version
        case Refused(value=value):
            return {"answer": "refused"} | ({} if value is UNTOLD else {"value": value}) | version
