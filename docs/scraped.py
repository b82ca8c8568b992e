"""The generated part of metrics.md: every family of metrics."""

from __future__ import annotations

from mesh.metrics import FAMILIES


def families() -> str:
    """Return a table of all families, in the order in which the code has them."""
    rows = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for own in FAMILIES.values():
        labels = ", ".join(f"`{label}`" for label in own.labels)
        rows.append(f"| `{own.name}` | {own.kind} | {labels} | {own.meaning} |")
    return "\n".join(rows)
