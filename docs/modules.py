"""The generated part of architecture.md: every module, with the first line of its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "mesh"
ORDER = (
    "core",
    "core/detectors",
    "wire",
    "telling",
    "runtime",
    "transport",
    "dashboard",
    "testing",
    "cli",
)


def modules() -> str:
    """Return one list for each package, in the order in which they are best read."""
    alone = sorted(PACKAGE.glob("[a-z]*.py"))
    parts = [
        _listed(f"`mesh/{name}`", sorted((PACKAGE / name).glob("[a-z]*.py"))) for name in ORDER
    ]
    return "\n\n".join([_listed("`mesh`", alone), *parts])


def _listed(title: str, files: list[Path]) -> str:
    rows = [f"| {title} | |", "| --- | --- |"]
    for file in files:
        said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        rows.append(f"| `{file.stem}` | {said.partition(chr(10))[0].replace('|', '/')} |")
    return "\n".join(rows)
