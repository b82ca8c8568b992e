"""Scenarios by their names, each with the kinds of incidents that must be found in it."""

from __future__ import annotations

from collections.abc import Callable

from tests.detection.story import Story

Tale = Callable[[], Story]


class Tales(dict[str, tuple[frozenset[str], Tale]]):
    """Mutable: scenarios, in the order in which they were written down."""

    def finds(self, *kinds: str) -> Callable[[Tale], Tale]:
        """Add a scenario in which all of these are found, and nothing else."""

        def add(tale: Tale) -> Tale:
            self[tale.__name__] = (frozenset(kinds), tale)
            return tale

        return add

    def tells(self, tale: Tale) -> Tale:
        """Add a scenario in which nothing is found."""
        return self.finds()(tale)
