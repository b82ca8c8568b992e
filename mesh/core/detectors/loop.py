"""Loop: a capability and an input that come back in their own ancestry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Seen, Sight, above, chain_of, path
from mesh.core.detectors.likeness import alike, alike_opaque
from mesh.core.tasks import TaskState
from mesh.core.values import Body

WORDS = ("what is cosmetic alone", "identifiers and times alone")


class Loop:
    """Mutable: looks up the ancestry of each task that is opened; keeps only what it found.

    What goes on below a loop that was found is that loop, and there is no other: it is counted on.
    """

    name = "loop"
    kinds: frozenset[type] = frozenset({f.TaskOpened})

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        fact = sight.opened
        if all(own.capability != fact.capability for own in fact.ancestors):
            return ()
        seen = _seen(sight)
        if seen is None:
            return ()
        found = self._found.setdefault(fact.workflow, {})
        above_it = {found[own.task] for own in fact.ancestors if own.task in found}
        if not above_it:
            found[fact.task] = seen.thing
        elif seen.thing not in above_it:
            return ()
        return (seen.of(self.name, sight.task),)

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._found.pop(workflow, None)


def _seen(sight: Sight) -> Seen | None:
    limits, task = sight.limits, sight.task
    before = [
        own for own in above(sight.ledger, task) if own.opened.capability == task.opened.capability
    ]
    return _returns(task, before, alike, limits.loop_returns) or _returns(
        task, before, alike_opaque, limits.loop_returns_opaque
    )


def _returns(
    task: TaskState, before: list[TaskState], form: Callable[[Body], bytes], limit: int
) -> Seen | None:
    """Return what was counted if the input of `task` came back too often below itself."""
    if len(before) <= limit:
        return None
    own = form(task.opened.input)
    back = [task, *(one for one in before if form(one.opened.input) == own)]
    returns = len(back) - 1
    if returns <= limit:
        return None
    capability = task.opened.capability
    words = "the same input"
    if len({one.opened.input.hash for one in back}) > 1:
        words = "an input that differs in " + WORDS[form is alike_opaque]
    return Seen(
        thing=f"{capability} {own.hex()}",
        measure=f"returns of one input of {capability} below itself",
        seen=returns,
        limit=limit,
        evidence=[one.offset for one in back],
        text=(
            f"{capability} was asked for with {words} {returns + 1} times in one chain, each time "
            f"by what the time before had begun ({limit} return{'s' * (limit > 1)} allowed): "
            f"{path(chain_of(task))}. Nothing that it is told can end it."
        ),
    )
