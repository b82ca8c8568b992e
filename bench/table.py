"""What was measured: rows for the screen and for `build/bench.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

OUT = Path("build/bench.json")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `ratio` is value over baseline; `goal` bounds the ratio, from above or below."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.ratio is None or (self.at_least is None and self.at_most is None):
            return None
        if self.at_least is not None and self.ratio < self.at_least:
            return False
        return self.at_most is None or self.ratio <= self.at_most

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""


class Table:
    """Mutable: rows, printed as they come."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.rows: list[Row] = []
        self._say = say

    def add(self, row: Row) -> Row:
        """Print a row and keep it."""
        self.rows.append(row)
        self._say(_line(row))
        return row

    def write(self, path: Path = OUT) -> None:
        """Write all rows as JSON."""
        path.parent.mkdir(exist_ok=True)
        rows = [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in self.rows]
        path.write_text(json.dumps(rows, indent=1), "utf-8")

    def missed(self) -> Sequence[Row]:
        """Return the rows whose goal is missed."""
        return [row for row in self.rows if row.met is False]


def head() -> str:
    """Return the line above the rows."""
    return f"{'':<52} {'value':>10} {'':<8} {'baseline':>10} {'ratio':>7}  goal"


def _line(row: Row) -> str:
    baseline = "" if row.baseline is None else f"{row.baseline:,.4g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
    verdict = {True: "met", False: "MISSED", None: ""}[row.met]
    value = f"{row.value:,.4g}" if row.value < 1_000 else f"{row.value:,.0f}"
    text = (
        f"{row.name:<52} {value:>10} {row.unit:<8} {baseline:>10} {ratio:>7}  {row.goal} {verdict}"
    )
    return f"{text} {row.note}".rstrip()
