"""A client process that shares one entry with others through a file, and records what it does.

Run as `python -m tests.histories.clients DIRECTORY NAME ROUNDS END`, where END is `closes` or how
the process dies in the round after the last: `dies-before` the call it recorded, or `dies-after`
it, with the answer not recorded. With `careless`, it writes over the version it read first, to a
store that does not compare.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.histories.operations import Accepted, Answer, Found, Read, Refused, Write
from tests.histories.recording import Recorder

KEY = "shared/entry"
STORE = "store.json"
ENDS = ("closes", "dies-before", "dies-after", "careless")


@contextmanager
def _entry(directory: Path) -> Iterator[Path]:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory / STORE


def read(directory: Path) -> Found:
    """Read the entry."""
    with _entry(directory) as store:
        version, value = json.loads(store.read_text("utf-8")) if store.exists() else (0, None)
    return Found(value=value, version=version)


def write(directory: Path, value: str, expected_version: int, *, compares: bool = True) -> Answer:
    """Write the entry if it has the version that is expected."""
    with _entry(directory) as store:
        version, current = json.loads(store.read_text("utf-8")) if store.exists() else (0, None)
        if compares and version != expected_version:
            return Refused(version=version, value=current)
        store.write_text(json.dumps([expected_version + 1, value]), "utf-8")
        return Accepted(version=expected_version + 1)


def run(directory: Path, name: str, rounds: int, end: str) -> None:
    """Read and write in turns, then end."""
    recorder = Recorder(directory)
    version = 0
    for turn in range(rounds + 1):
        number = recorder.invoked(f"{name}-reader", KEY, Read())
        found = read(directory)
        recorder.answered(number, found)
        if end != "careless":
            version = found.version or 0
        value = f"{name}-{turn}"
        number = recorder.invoked(name, KEY, Write(value=value, expected_version=version))
        if turn == rounds and end == "dies-before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = write(directory, value, version, compares=end != "careless")
        if turn == rounds and end == "dies-after":
            os.kill(os.getpid(), signal.SIGKILL)
        recorder.answered(number, answer)
    recorder.close()


if __name__ == "__main__":
    given_directory, given_name, given_rounds, given_end = sys.argv[1:]
    assert given_end in ENDS
    run(Path(given_directory), given_name, int(given_rounds), given_end)
