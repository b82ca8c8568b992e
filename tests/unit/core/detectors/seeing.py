"""Detectors for tests: one that looks, one that finds, one that breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from mesh.core.detectors.frame import Finding, Seen, Sight
from mesh.core.facts import Fact
from mesh.core.values import Body


class Looker:
    """Mutable: keeps all that it was shown, and what the task had said by then."""

    name = "looker"
    kinds: frozenset[type] = frozenset(get_args(Fact))

    def __init__(self) -> None:
        self.sights: list[Sight] = []
        self.said: list[tuple[Body | None, str]] = []
        self.forgot: list[str] = []

    def see(self, sight: Sight) -> Sequence[Finding]:
        self.sights.append(sight)
        self.said.append((sight.result, sight.failure))
        return ()

    def forget(self, workflow: str) -> None:
        self.forgot.append(workflow)


class Finder(Looker):
    """Mutable: finds something in every fact, `things` different things in turn."""

    name = "finder"

    def __init__(self, things: int = 1) -> None:
        super().__init__()
        self.things = things

    def see(self, sight: Sight) -> Sequence[Finding]:
        super().see(sight)
        seen = Seen(
            thing=str(len(self.sights) % self.things),
            measure="facts",
            seen=len(self.sights),
            limit=0,
            evidence=[sight.record.offset],
            text="a fact",
        )
        return [seen.of(self.name, sight.task)]


class Breaker(Looker):
    """Mutable: raises at every fact."""

    name = "breaker"

    def see(self, sight: Sight) -> Sequence[Finding]:
        super().see(sight)
        raise KeyError(f"fact {len(self.sights)}")
