from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.errors import MeshError, NewerSchema
from mesh.processor.owner import Owner


@dataclass
class Half:
    partition: int
    committed: int
    done: int


class Halves(Owner[Half]):
    """Owns what it is given; `done` says how far each partition is."""

    def __init__(self) -> None:
        self.reasons: list[MeshError] = []
        super().__init__(self.reasons.append)

    def settled(self) -> Mapping[int, int]:
        return {number: part.done for number, part in self.parts.items()}

    async def take(self, partition: int, first: int) -> None:
        self.parts[partition] = Half(partition, first, first)

    async def settle(self, timeout_s: float) -> bool:
        return timeout_s > 0

    async def look(self) -> None:
        return

    def _drop(self, part: Half) -> None:
        del self.parts[part.partition]

    def fail(self, error: MeshError) -> None:
        self._fail(error)


async def test_what_is_settled_is_committed_once() -> None:
    owner = Halves()
    await owner.take(0, 5)
    await owner.take(1, 5)
    assert owner.commits() == {}
    owner.parts[0].done = 8
    assert owner.commits() == {0: 8}
    owner.committed({0: 8, 7: 3})
    assert owner.commits() == {}


async def test_a_partition_that_was_given_up_is_not_committed() -> None:
    owner = Halves()
    await owner.take(0, 5)
    owner.parts[0].done = 8
    owner.give_up(0)
    owner.give_up(0)
    assert owner.commits() == {}


async def test_a_failure_gives_everything_up_and_is_told_once() -> None:
    owner = Halves()
    await owner.take(0, 5)
    await owner.take(1, 5)
    first = NewerSchema("a record of tomorrow")
    owner.fail(first)
    owner.fail(NewerSchema("another"))
    assert not owner.parts
    assert owner.reasons == [first]
