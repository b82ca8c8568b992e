"""What the keeper and the watchman share: partitions that a group gave, and offsets to commit.

The group gives a partition and takes it away; what is done of it may be committed. When nothing can
go on, all are given up at once, and it is said once why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Generic, Protocol, TypeVar

from mesh.errors import MeshError


class Held(Protocol):
    """One partition in our hands, as far as it matters here."""

    partition: int
    committed: int


Part = TypeVar("Part", bound=Held)


class Owner(ABC, Generic[Part]):
    """Mutable: the partitions that this worker owns, of one topic."""

    def __init__(self, failed: Callable[[MeshError], None]) -> None:
        self.parts: dict[int, Part] = {}
        self._failed = failed
        self._over = False

    @abstractmethod
    def settled(self) -> Mapping[int, int]:
        """Return the offset up to which each partition is done."""

    def commits(self) -> Mapping[int, int]:
        """Return the offsets that are settled and were not committed; see `committed`."""
        settled = self.settled().items()
        return {
            number: offset for number, offset in settled if offset > self.parts[number].committed
        }

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note what the group took."""
        for number, offset in offsets.items():
            if number in self.parts:
                self.parts[number].committed = offset

    @abstractmethod
    def take(self, partition: int, first: int) -> Coroutine[None, None, None]:
        """Own a partition from now on; `first` is its committed offset."""

    def give_up(self, partition: int) -> None:
        """Drop a partition: what was begun of it and not acknowledged is its next owner's."""
        part = self.parts.get(partition)
        if part is not None:
            self._drop(part)

    @abstractmethod
    async def settle(self, timeout_s: float) -> bool:
        """Wait until all that was begun is told; False if that takes too long."""

    @abstractmethod
    async def look(self) -> None:
        """Make again what is uncertain, and see what changed; twice a second."""

    @abstractmethod
    def _drop(self, part: Part) -> None:
        """Let go of a partition."""

    def _fail(self, error: MeshError) -> None:
        """Give everything up: what is not settled is done again, by whoever comes next."""
        for part in tuple(self.parts.values()):
            self._drop(part)
        if not self._over:
            self._over = True
            self._failed(error)
