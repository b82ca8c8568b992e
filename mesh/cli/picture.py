"""A story and its reasons, laid out for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from mesh.cli.output import table
from mesh.core.negotiation import NO_ANSWER
from mesh.core.standing import UNIT, permille
from mesh.core.values import Cause, Offer, StepKind
from mesh.telling import words
from mesh.telling.reasons import Explanation, Reason, dimensions
from mesh.telling.story import AwardStory, StepStory, Story, TaskStory

STYLES = {
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "expired": "red",
    "cancelled": "yellow",
    "working": "cyan",
    "open": "cyan",
    "review": "cyan",
    "suspended": "yellow",
}
SIGNS = {"completed": "✓", "failed": "✗", "rejected": "✗", "expired": "✗", "cancelled": "–"}
"""Beside the colour: status is never told by colour alone."""
OPEN = "…"


def sign(status: str) -> Text:
    """Return a status as a sign with its colour."""
    return Text(SIGNS.get(status, OPEN), STYLES.get(status, ""))


def picture(
    story: Story,
    *,
    wide: bool = False,
    notes: Sequence[str] = (),
    conflicts: Mapping[tuple[str, str], Sequence[str]] = MappingProxyType({}),
) -> RenderableType:
    """Return the tree of a workflow: who did what, for how long, at what price, and why.

    `notes` say, a line each, what else is to be known of it now, as which halts cover it;
    `conflicts` what is told of a step, by task and step.
    """
    said = [Text(f"  {line}", "red") for line in notes]
    tree = _Tree(story, wide=wide, conflicts=conflicts).of(story.root)
    return Group(*_head(story), *said, tree, *_foot(story))


def _head(story: Story) -> Iterator[RenderableType]:
    root = story.root
    took = words.duration((root.ended_ms or story.now_ms) - root.began_ms)
    line = Text.assemble(
        sign(root.status),
        " ",
        (story.workflow, "bold"),
        f"  {root.status} {'in' if root.ended_ms else 'for'} {took}",
        f"  ·  {words.amount(root.cost, hops=False)} of {words.money(root.grant.micro_usd)}",
        f"  ·  {words.plural(len(story.tasks), 'task')}",
    )
    yield line
    if root.reason:
        yield Text(f"  {root.reason}", "red")
    if story.charter.goal != root.capability:
        yield Text(f"  goal: {story.charter.goal}")
    for constraint in story.charter.constraints:
        yield Text(f"  constraint: {constraint}")


def _foot(story: Story) -> Iterator[RenderableType]:
    if story.void:
        count = words.plural(len(story.void), "record")
        yield Text(f"{count} did not count; `mesh why TASK` tells which and why", "dim")


class _Tree:
    def __init__(
        self,
        story: Story,
        *,
        wide: bool,
        conflicts: Mapping[tuple[str, str], Sequence[str]],
    ) -> None:
        self.conflicts = conflicts
        self.now_ms = story.now_ms
        self.partition = story.partition
        self.wide = wide

    def of(self, task: TaskStory) -> Tree:
        tree = Tree(self._title(task), guide_style="dim")
        self._fill(tree, task)
        return tree

    def _title(self, task: TaskStory) -> Text:
        took = words.duration((task.ended_ms or self.now_ms) - task.began_ms)
        text = Text.assemble(
            sign(task.status),
            " ",
            (task.capability, "bold"),
            f"  {task.agent or ('nobody' if task.ended_ms else 'nobody yet')}  ",
            (f"{took}  {words.amount(task.cost, hops=False)}", "dim"),
        )
        if task.status != "completed":
            text.append(f"  {task.status}", STYLES.get(task.status, ""))
            if task.reason:
                text.append(f": {words.clip(task.reason)}")
            elif task.status == "open":
                left = words.duration(max(0, task.deadline_ms - self.now_ms))
                text.append(f", waits for a worker; expires in {left}")
        elif task.confidence_permille < 1_000:
            text.append(f"  confidence {words.share(task.confidence_permille)}", "dim")
        text.append(f"  {task.task if self.wide else words.short(task.task)}", "dim")
        return text

    def _fill(self, tree: Tree, task: TaskStory) -> None:
        for award in task.awards:
            self._award(tree, award, only=len(task.awards) == 1)
        for step in task.steps:
            if step.child is not None:
                self._fill(tree.add(self._title(step.child)), step.child)
            else:
                branch = tree.add(self._step(step))
                for line in self.conflicts.get((task.task, step.step), ()):
                    branch.add(Text(line, "yellow"))
        if task.cancelled_because:
            tree.add(Text(f"cancellation asked for: {task.cancelled_because}", "yellow"))
        if task.parked:
            tree.add(
                Text(
                    f"parked, a person must look: {task.parked}. End it with `mesh cancel`",
                    "yellow",
                )
            )

    def _award(self, tree: Tree, award: AwardStory, *, only: bool) -> None:
        """Tell an award where it says more than that the task's agent did it."""
        if only and not award.offers and not self.wide and award.ending in _PLAIN:
            return
        again = "" if award.cause is Cause.FIRST else f", {_AGAIN[award.cause]}"
        text = Text(f"award {award.epoch} to {award.instance} ({award.mode}{again})", "cyan")
        if self.wide:
            text.append(f" at {self.partition}/{award.offset}", "dim")
        text.append(f": {award.why}", "default")
        if award.ending not in _PLAIN:
            text.append(f" → {award.ending}", "yellow")
            if award.because:
                text.append(f": {words.clip(award.because)}", "yellow")
        branch = tree.add(text)
        for place, own in enumerate(award.offers):
            if own.declined:
                said = "no answer" if own.declined == NO_ANSWER else f"declined: {own.declined}"
                branch.add(Text(f"{own.agent or own.instance}: {words.clip(said)}", "dim"))
                continue
            figures = (
                f"{words.money(own.price_micro_usd)}, {words.duration(own.eta_ms)}, "
                f"confidence {words.share(own.confidence_permille)}, "
                f"standing {words.share(own.standing_permille)}"
                f"{'' if own.slot else ', no slot free'}"
            )
            won = "won" if place == 0 and own.instance == award.instance else "lost"
            style = "green" if won == "won" else "dim"
            line = f"{own.agent}: {figures} → score {own.score_permille}, {won}"
            branch.add(Text(line, style))

    def _step(self, step: StepStory) -> Text:
        took = "" if step.ended_ms is None else words.duration(step.ended_ms - step.began_ms)
        if step.kind is StepKind.DECISION:
            text = Text.assemble("decided ", (words.clip(step.name), "bold"))
            text.append(f" because {words.clip(step.text)}")
            if self.wide and step.evidence:
                text.append(f" [{', '.join(step.evidence)}]", "dim")
            return text
        if step.kind is StepKind.SPEND:
            return Text(f"spent {words.amount(step.cost)}: {words.clip(step.text)}")
        text = Text(f"{step.kind} {step.name}")
        if step.kind in (StepKind.READ, StepKind.WRITE) and step.ended_ms and not step.error:
            text.append(f": {words.clip(step.text)}")
        cost = f"  {words.amount(step.cost)}" if any(step.cost) else ""
        if step.kind is not StepKind.READ:  # it has no beginning
            text.append(f"  {took or 'not finished'}{cost}", "dim")
        if step.tries > 1:
            text.append(f"  begun {step.tries} times", "yellow")
        if step.error:
            text.append(f"  failed: {words.clip(step.error)}", "red")
        return text


_PLAIN = frozenset({"completed", "running"})
_AGAIN = {
    Cause.FAILED: "again after a failure",
    Cause.REJECTED: "again, the result was sent back",
    Cause.DIED: "again after the worker died",
    Cause.DECLINED: "again after it was declined",
    Cause.RESUMED: "resumed",
}


# --- why ----------------------------------------------------------------------------------------


def reasons(told: Explanation) -> RenderableType:
    """Return why a task went as it did, with figures and coordinates."""
    parts: list[RenderableType] = [
        Text.assemble((told.task, "bold"), f"  {told.capability}  workflow {told.workflow}")
    ]
    for reason in told.reasons:
        parts += _reason(reason)
    if not told.reasons:
        parts.append(Text("  nothing was awarded or refused yet"))
    return Group(*parts)


def _reason(reason: Reason) -> Iterator[RenderableType]:
    yield Text("")
    style = "cyan" if reason.kind == "award" else "yellow"
    yield Text.assemble((reason.kind, style), f" at {reason.where}: {reason.text}")
    yield Text(f"  rule: {reason.rule}", "dim")
    if reason.means is not None:
        means = reason.means
        yield Text(
            f"  measured against {words.money(means.price_micro_usd)} that the task can pay and "
            f"{words.duration(means.time_left_ms)} that it has left",
            "dim",
        )
        yield _bids(reason)
        yield from _standings(reason)
    if reason.books is not None:
        yield _books(reason)
    if reason.agrees is True:
        yield Text("  recomputed from the log: agrees", "green")
    elif reason.agrees is False:
        yield Text(f"  recomputed from the log: DISAGREES: {reason.disagreement}", "red")


def _bids(reason: Reason) -> RenderableType:
    columns = ("agent", "price", "time", "confidence", "standing", "slot", "points", "score", "")
    rows = []
    for own in reason.points:
        offer = own.offer
        if offer.declined:
            rows.append((offer.agent or offer.instance, *[""] * 7, words.clip(offer.declined)))
            continue
        rows.append(
            (
                offer.agent,
                words.money(offer.price_micro_usd),
                words.duration(offer.eta_ms),
                words.share(offer.confidence_permille),
                _standing(offer),
                "free" if offer.slot else "none",
                f"{own.price}/{own.time}/{own.trust}",
                str(offer.score_permille),
                "" if own.score == offer.score_permille else f"recomputed {own.score}",
            )
        )
    return table(columns, rows, right=("price", "time", "score"))


def _standing(offer: Offer) -> str:
    told = words.share(offer.standing_permille)
    trial = offer.standing_permille != permille(offer.good, offer.bad)
    return f"{told}, on trial" if trial else told


def _standings(reason: Reason) -> Iterator[Text]:
    """Tell from which results the standing of each bidder follows, and of which version."""
    for own in reason.points:
        offer = own.offer
        if offer.versions and not offer.declined:
            good, bad = offer.good / UNIT, offer.bad / UNIT
            seen = " ".join(f"{part}/{offset}" for part, offset in offer.versions)
            said = f"  {offer.agent}: good results weigh {good:.1f}, bad {bad:.1f}, by {seen}"
            yield Text(said, "dim")


def _books(reason: Reason) -> RenderableType:
    if reason.books is None:
        return Text("")
    columns = ("budget", "in all", "spent", "reserved", "given to others", "free")
    rows = [
        (name, *(words.amount(part) for part in figures))
        for name, figures in dimensions(reason.books)
    ]
    return table(columns, rows)
