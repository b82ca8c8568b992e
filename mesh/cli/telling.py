"""Tells facts as they come: one line each, for a person or as JSON."""

from __future__ import annotations

from typing import Any

from mesh.cli.output import Out
from mesh.core import facts as f
from mesh.telling import shapes, words
from mesh.telling.story import Entry

STYLES: dict[type, str] = {
    f.TaskOpened: "bold",
    f.BidsCalled: "cyan",
    f.TaskAwarded: "cyan",
    f.ResultRejected: "yellow",
    f.CancelRequested: "yellow",
    f.AwardDeclined: "yellow",
    f.WorkSuspended: "yellow",
    f.TaskFailed: "red",
    f.TaskRejected: "red",
    f.TaskExpired: "red",
    f.TaskCancelled: "yellow",
    f.WorkFinished: "green",
    f.TaskCompleted: "green",
}
QUIET = (f.LeaseRenewed, f.SupervisionRenewed, f.SpendSettled)
"""What says nothing new to somebody who follows one workflow."""


class Teller:
    """Mutable: remembers what each task is about, so that every line can say it."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._capabilities: dict[str, str] = {}

    def tell(self, entry: Entry) -> None:
        """Tell a fact of one workflow to the person on stderr."""
        fact = entry.record.fact
        text = self.line(entry.record, entry.void)
        if isinstance(fact, QUIET) or self._out.quiet:
            return
        self._out.console(stderr=True).print(
            text, style=style_of(fact, entry.void), markup=False, soft_wrap=True
        )

    def line(self, record: f.Record, void: str) -> str:
        """Return one line: time, instance, capability, what it says."""
        fact = record.fact
        task = getattr(fact, "task", "")
        if isinstance(fact, f.TaskOpened):
            self._capabilities[task] = fact.capability
        about = self._capabilities.get(task, words.short(task))
        said = f"VOID ({void}): {words.sentence(fact)}" if void else words.sentence(fact)
        parts = (words.clock(record.append_ms), fact.by.instance, about, said)
        return "  ".join(part for part in parts if part)


def style_of(fact: f.Fact, void: str = "") -> str:
    """Return the colour of a kind of fact; a failure stands out."""
    if void:
        return "dim"
    if isinstance(fact, f.WorkFinished) and fact.error:
        return "red"
    return STYLES.get(type(fact), "default")


def shape_of(record: f.Record, partition: int, void: str | None) -> dict[str, Any]:
    """Return one fact as JSON; `void` None where nobody judged it."""
    text = words.sentence(record.fact)
    return shapes.fact(record, partition) | {"text": text, "void": void}
