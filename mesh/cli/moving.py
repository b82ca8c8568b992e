"""The work of a mesh as it moves, in lines for a person: auctions, conflicts, retries, ends.

`Moving` is fed with the records that the tally has judged, and knows of each workflow how long it
took and how many tasks it had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mesh.cli.tally import AGAIN, outcome_of
from mesh.core import facts as f
from mesh.core.book import End
from mesh.core.keys import Resolution
from mesh.core.values import Mode, Status, StepKind, Terms
from mesh.telling import words


class Line(NamedTuple):
    """One line: when, of which workflow, its text, and a style for a terminal."""

    at_ms: int
    workflow: str
    text: str
    style: str


class _Workflow:
    def __init__(self, opened_ms: int, capability: str) -> None:
        self.opened_ms = opened_ms
        self.capability = capability
        self.tasks = 0
        self.capabilities: dict[str, str] = {}


class Moving:
    """Mutable: what is known of the workflows under way; `names` are what people call them."""

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self.names = {} if names is None else names
        self._workflows: dict[str, _Workflow] = {}
        self._see: dict[type, Callable[[f.Record, _Workflow, Any], Iterator[Line]]] = {
            f.TaskAwarded: self._awarded,
            f.ResultRejected: self._sent_back,
            f.WorkSuspended: self._suspended,
            f.WorkFinished: self._failed,
            f.StepFinished: self._arbitrated,
        }

    def see(self, record: f.Record, end: End | None) -> list[Line]:
        """Return what to tell of a record that counts; `end` if it ends its workflow."""
        fact = record.fact
        if isinstance(fact, f.TaskOpened):
            self._opened(record, fact)
        name = getattr(fact, "workflow", "")
        workflow = self._workflows.get(name)
        if workflow is None:
            return []
        see = self._see.get(type(fact))
        lines = list(see(record, workflow, fact)) if see is not None else []
        if end is not None:
            del self._workflows[name]
            lines.append(self._ended(record, name, workflow, end))
        return lines

    def _opened(self, record: f.Record, fact: f.TaskOpened) -> None:
        if not fact.parent:
            self._workflows[fact.workflow] = _Workflow(record.append_ms, fact.capability)
        workflow = self._workflows.get(fact.workflow)
        if workflow is not None:
            workflow.tasks += 1
            workflow.capabilities[fact.task] = fact.capability

    def _awarded(
        self, record: f.Record, workflow: _Workflow, fact: f.TaskAwarded
    ) -> Iterator[Line]:
        terms = fact.award
        capability = workflow.capabilities.get(fact.task, "")
        if terms.cause in AGAIN:
            text = f"{capability} again, attempt {terms.attempt}: {terms.agent}"
            yield self._line(record, fact.workflow, text, "yellow")
        elif terms.mode is Mode.AUCTION:
            yield self._line(record, fact.workflow, f"{capability}: {auction(terms)}", "cyan")

    def _sent_back(
        self, record: f.Record, workflow: _Workflow, fact: f.ResultRejected
    ) -> Iterator[Line]:
        capability = workflow.capabilities.get(fact.task, "")
        text = f"{capability} sent back: {words.clip(fact.reason)}"
        yield self._line(record, fact.workflow, text, "yellow")

    def _suspended(
        self, record: f.Record, workflow: _Workflow, fact: f.WorkSuspended
    ) -> Iterator[Line]:
        notes = [wait.note for wait in fact.waiting_for if wait.kind == "person"]
        capability = workflow.capabilities.get(fact.task, "")
        for note in notes:
            text = f"{capability} is parked, a person must look: {words.clip(note)}"
            yield self._line(record, fact.workflow, text, "red")
        for halted in [wait.note for wait in fact.waiting_for if wait.kind == "halt"]:
            yield self._line(
                record, fact.workflow, f"{capability} stops: {halted} is halted", "red"
            )

    def _arbitrated(
        self, record: f.Record, workflow: _Workflow, fact: f.StepFinished
    ) -> Iterator[Line]:
        """Tell of a write that met another one, where an objective or a person decides."""
        if fact.kind is not StepKind.WRITE or fact.result.content is None:
            return
        said = json.loads(fact.result.content)
        rivals = said.get("rivals", ())
        if any(own["resolution"] == Resolution.ARBITRATE for own in rivals):
            text = f"{fact.name} {said['verdict']}: {words.clip(said['reason'])}"
            yield self._line(record, fact.workflow, text, "yellow")

    def _failed(
        self, record: f.Record, workflow: _Workflow, fact: f.WorkFinished
    ) -> Iterator[Line]:
        if fact.error:
            capability = workflow.capabilities.get(fact.task, "")
            text = f"{capability} {fact.outcome}: {words.clip(fact.error)}"
            yield self._line(record, fact.workflow, text, "yellow")

    def _ended(self, record: f.Record, name: str, workflow: _Workflow, end: End) -> Line:
        completed = end.status is Status.COMPLETED
        took = words.duration(end.append_ms - workflow.opened_ms)
        text = (
            f"{'✓' if completed else '✗'} {outcome_of(end)}  {workflow.capability}  {took}  "
            f"{words.money(end.spent.micro_usd)}  {words.plural(workflow.tasks, 'task')}"
        )
        if not completed:
            text += f"  {words.clip(end.reason)}"
        return self._line(record, name, text, "green" if completed else "red")

    def _line(self, record: f.Record, workflow: str, text: str, style: str) -> Line:
        called = self.names.get(workflow, words.short(workflow))
        return Line(record.append_ms, workflow, f"{called}  {text}", style)


def auction(terms: Terms) -> str:
    """Return an auction's end in words: who won with what, and against whom."""
    bids = [offer for offer in terms.offers if not offer.declined]
    if not bids:
        return f"{terms.agent}, without a bid"
    won, *lost = (f"{offer.agent} {offer.score_permille}" for offer in bids)
    declined = len(terms.offers) - len(bids)
    text = f"auction won by {won}"
    if lost:
        text += f" against {words.listed(lost)}"
    if declined:
        text += f", {declined} declined"
    return text
