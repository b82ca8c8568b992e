"""The tutorial is followed word for word, as a reader with two terminals does.

Its blocks are taken in their order. A block of `sh` is typed into one shell that goes on from block
to block; below `<!-- first terminal -->` it runs in the background, after what ran there was ended.
Below `<!-- file NAME -->` a block is written to that file, below `<!-- not run -->` it is left out.
A block of `text` is what the reader is promised: its lines come in this order in the output of the
block before it, or below `<!-- first terminal -->` there; `…` stands for anything.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGE = ROOT / "docs" / "tutorial.md"
FENCED = re.compile(r"(?:<!-- ([^>]+) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KINDS = {"sh", "text", "python", "toml"}
LIMIT_S = 120.0
DONE = "tutorial-block-ended"


class Block(NamedTuple):
    """A fenced block; `mark` is the comment above it."""

    mark: str
    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(mark or "", kind, text) for mark, kind, text in FENCED.findall(page)]


def missing(promised: str, output: str) -> str:
    """Return the first promised line that the output does not have in its place, else ""."""
    at, lines = 0, output.splitlines()
    for line in filter(None, map(str.strip, promised.splitlines())):
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        while at < len(lines) and not pattern.search(lines[at]):
            at += 1
        if at == len(lines):
            return line
        at += 1
    return ""


class Terminals:
    """Mutable: a shell in which the reader types, and what runs in the first terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MESH_", "XDG_", "PYTEST_"))
        }
        commands = Path(sys.executable).parent
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        self._environ |= {"HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "200", "PATH": path}
        self._said = {"typed": folder / "typed.log", "first": folder / "first.log"}
        self._shell = self._start("exec bash --norc --noprofile", "typed")
        self._first: subprocess.Popen[str] | None = None

    def _start(self, command: str, name: str, folder: Path | None = None) -> subprocess.Popen[str]:
        with self._said[name].open("w") as out:
            return subprocess.Popen(
                ["/bin/bash", "-c", command],
                cwd=folder or self._folder,
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def said(self, name: str) -> str:
        return self._said[name].read_text("utf-8", "replace")

    def type(self, text: str) -> str:
        """Type a block, wait for its end, and return what it said."""
        before = len(self.said("typed"))
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"set -e\n{text}set +e\npwd > {self._folder}/where\necho {DONE}\n")
        self._shell.stdin.flush()
        deadline = time.monotonic() + LIMIT_S
        while DONE not in (said := self.said("typed")[before:]):
            assert self._shell.poll() is None, f"this failed:\n{text}\n{said}"
            assert time.monotonic() < deadline, f"this does not end:\n{text}\n{said}"
            time.sleep(0.05)
        return said.replace(DONE, "")

    def run_in_first(self, text: str) -> None:
        """End what runs in the first terminal, by Ctrl-C, and run this there."""
        self._end_first()
        where = Path((self._folder / "where").read_text().strip())
        self._first = self._start(f"exec {text.strip()}", "first", where)

    def wait_for_first(self, promised: str) -> str:
        """Wait until the first terminal shows this; return the line that never came, else ""."""
        deadline = time.monotonic() + LIMIT_S
        while (line := missing(promised, self.said("first"))) and time.monotonic() < deadline:
            time.sleep(0.1)
        return line

    def _end_first(self) -> None:
        if self._first is not None and self._first.poll() is None:
            self._first.send_signal(signal.SIGINT)
            self._first.wait(60)
        if self._first is not None and self._first.stdin is not None:
            self._first.stdin.close()

    def close(self) -> None:
        """End everything that was started."""
        try:
            self._end_first()
        finally:
            for process in filter(None, (self._shell, self._first)):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(60)
                if process.stdin is not None:
                    process.stdin.close()


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    made = Terminals(tmp_path)
    yield made
    made.close()


def follow(page: str, terminals: Terminals) -> int:
    """Do what the page says; return how many promises were kept, all of them or it raises."""
    said, first, kept = "", False, 0
    for mark, kind, text in blocks(page):
        if mark == "not run":
            continue
        if mark.startswith("file "):
            quoted = f"cat > {mark.removeprefix('file ')} <<'END-OF-FILE'\n{text}END-OF-FILE\n"
            terminals.type(quoted)
        elif kind == "sh":
            first = mark == "first terminal"
            if first:
                terminals.run_in_first(text)
            else:
                said = terminals.type(text)
        else:
            assert kind == "text", f"a block of {kind} that nobody writes or runs"
            first = first or mark == "first terminal"
            line = terminals.wait_for_first(text) if first else missing(text, said)
            shown = terminals.said("first") if first else said
            assert not line, f"{line!r} did not come; this did:\n{shown}"
            kept += 1
    return kept


def test_the_tutorial_ends_with_what_it_promises(terminals: Terminals) -> None:
    assert follow(PAGE.read_text("utf-8"), terminals) >= 10


def test_every_block_of_the_tutorial_is_understood() -> None:
    page = PAGE.read_text("utf-8")
    assert len(blocks(page)) * 2 == page.count("```")
    assert {block.kind for block in blocks(page)} <= KINDS
    promised = [block for block in blocks(page) if block.kind == "text"]
    assert len(promised) >= 10


def test_a_promise_that_is_not_kept_is_seen(terminals: Terminals) -> None:
    kept = "```sh\necho one; echo two\n```\n```text\non…\ntwo\n```\n"
    assert follow(kept, terminals) == 1
    with pytest.raises(AssertionError, match="'three' did not come"):
        follow(kept.replace("\ntwo\n", "\nthree\n"), terminals)
    with pytest.raises(AssertionError, match="this failed"):
        follow("```sh\nfalse\n```\n", terminals)
