"""Data on stdout, talk on stderr.

`Out` is what a command writes with. In the formats `json` and `jsonl` stdout holds nothing but
JSON, of the shape that `docs/cli.md` documents; everything else goes to stderr. A wait of more than
a second says what it waits for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

QUIET_S = 1.0
"""A shorter wait needs no explanation."""
REPEAT_S = 10.0
"""Where there is no terminal, a long wait is told again so often."""
TICK_S = 0.2


class Format(StrEnum):
    """How data is written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


class Out:
    """Mutable: the two streams of a command. `quiet` keeps talk that is not a failure."""

    def __init__(self, form: Format = Format.TABLE, *, quiet: bool = False, color: bool = True):
        self.format = form
        self.quiet = quiet
        self.color = color
        self._waiting = False

    def __repr__(self) -> str:
        return f"Out({self.format}, quiet={self.quiet}, color={self.color})"

    @property
    def is_json(self) -> bool:
        """Whether stdout may hold nothing but JSON."""
        return self.format in (Format.JSON, Format.JSONL)

    @property
    def is_wide(self) -> bool:
        """Whether every column is wanted."""
        return self.format is Format.WIDE

    def console(self, *, stderr: bool = False) -> Console:
        """Return a console for people, on stdout or stderr."""
        from rich.console import Console

        # A pipe has no width: what is cut off there is lost to whoever reads it.
        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else 200
        return Console(
            stderr=stderr,
            no_color=not self.color,
            highlight=False,
            soft_wrap=False,
            width=width,
        )

    def data(self, data: object, table: Callable[[], RenderableType]) -> None:
        """Write one object, or a list of them: as JSON, one JSON a line, or by `table`."""
        if self.format is Format.JSON:
            self.line(json.dumps(data, ensure_ascii=False, indent=2))
        elif self.format is Format.JSONL:
            for item in data if isinstance(data, list) else [data]:
                self.line(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
        else:
            self.console().print(table())

    def item(self, item: Mapping[str, Any], text: str, style: str = "default") -> None:
        """Write one item of a stream as it comes: JSON a line in both JSON formats, else `text`."""
        if self.is_json:
            self.line(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
        else:
            self.console().print(text, style=style, markup=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Write a line to stdout."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Tell the person something, unless they want quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Tell the person something that matters however quiet they want it."""
        self._wipe()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    @asynccontextmanager
    async def waiting(self, what: str | Callable[[], str]) -> AsyncIterator[None]:
        """Say what is waited for, once it takes more than a second."""
        if self.quiet:
            yield
            return
        import asyncio

        teller = asyncio.create_task(self._tell(what if callable(what) else lambda: what))
        try:
            yield
        finally:
            teller.cancel()
            self._wipe()

    async def _tell(self, what: Callable[[], str]) -> None:
        import asyncio

        began, terminal = time.monotonic(), sys.stderr.isatty()
        told = -REPEAT_S
        await asyncio.sleep(QUIET_S)
        while True:
            waited = time.monotonic() - began
            text = f"… {what()}, {waited:.0f} s"
            if terminal:
                self._waiting = True
                sys.stderr.write(f"\r\x1b[K{text}")
                sys.stderr.flush()
            elif waited - told >= REPEAT_S:
                told = waited
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()
            await asyncio.sleep(TICK_S)

    def _wipe(self) -> None:
        if self._waiting:
            self._waiting = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], *, right: Iterable[str] = ()
) -> RenderableType:
    """Return a plain table; `right` names the columns with numbers."""
    from rich import box
    from rich.table import Table

    numbers = set(right)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made
