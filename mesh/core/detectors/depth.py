"""Depth: a chain of delegations that goes on downwards and gets nowhere.

What makes a deep chain end is that its input gets smaller: a list is halved, a document cut up, a
tree walked. So only those delegations count whose input is not smaller than the one above; an input
whose contents cannot be seen is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mesh.core import facts as f
from mesh.core.detectors.frame import Finding, Seen, Sight, above, chain_of, path
from mesh.core.tasks import TaskState


class Depth:
    """Looks up the ancestry of each task that is opened; keeps nothing."""

    name = "depth"
    kinds: frozenset[type] = frozenset({f.TaskOpened})

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        limit = sight.limits.depth
        if len(sight.opened.ancestors) <= limit:
            return ()
        chain = [sight.task, *above(sight.ledger, sight.task)]
        down = [below for below, task in pairwise(chain) if not _cut(below, task)]
        if len(down) <= limit:
            return ()
        seen = Seen(
            thing="depth",
            measure="delegations in one chain that did not make the input smaller",
            seen=len(down),
            limit=limit,
            evidence=[task.offset for task in down],
            text=(
                f"A chain of {len(chain)} tasks, each delegated by the one before; {len(down)} of "
                f"the delegations made the input no smaller ({limit} allowed): "
                f"{path(chain_of(sight.task))}."
            ),
        )
        return (seen.of(self.name, sight.task),)

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow: nothing is."""


def _cut(below: TaskState, task: TaskState) -> bool:
    """Tell whether a delegation is known to have made the input smaller."""
    small, large = below.opened.input.content, task.opened.input.content
    return small is not None and large is not None and len(small) < len(large)
