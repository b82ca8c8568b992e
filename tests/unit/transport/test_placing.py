from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from mesh.errors import NotPermitted, TransportError, Unreachable
from mesh.ports import Place
from mesh.transport import placing
from mesh.transport.placing import Placing
from mesh.wire.partitioner import partition_of


class Append(NamedTuple):
    place: Place
    key: bytes | None

    def put(self, place: Place) -> Append:
        return self._replace(place=place)


class World:
    """Brokers that answer what they are told to, and what became of the appends."""

    def __init__(self, *answers: int | TransportError) -> None:
        self.answers = list(answers)
        self.placed: list[Append] = []
        self.refused: list[tuple[Append, str]] = []
        self.left = 0
        self.done = asyncio.Event()
        self.placing: Placing[Append] = Placing(
            self.partitions, "here:1", self.put, lambda *told: self.end(self.refused, told)
        )

    def put(self, append: Append) -> None:
        self.end(self.placed, append)

    def end(self, ended: list[Any], what: object) -> None:
        ended.append(what)
        self.left -= 1
        if not self.left:
            self.done.set()

    async def partitions(self, topic: str) -> Sequence[int]:
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TransportError):
            raise answer
        return range(answer)

    async def place(self, *keys: bytes | None) -> None:
        self.left = len(keys)
        self.done.clear()
        for key in keys:
            self.placing.place(Append(Place("t", -1), key))
        async with asyncio.timeout(5):
            await self.done.wait()

    def partitions_of(self) -> list[int]:
        return [append.place.partition for append in self.placed]


async def test_the_key_decides_and_what_has_none_takes_turns() -> None:
    world = World(5)
    await world.place(b"a", None, b"b", None)
    assert world.partitions_of() == [partition_of(b"a", 5), 1, partition_of(b"b", 5), 2]
    await world.place(b"", None)
    assert world.partitions_of()[4:] == [partition_of(b"", 5), 3]


async def test_it_is_asked_once_and_again_when_it_may_have_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(1, 7)
    await world.place(b"key")
    await world.place(b"key")
    assert world.answers == [7]
    monkeypatch.setattr(placing, "KNOWN_S", 0.0)
    world.placed.clear()
    await world.place(b"key")
    assert world.partitions_of() == [partition_of(b"key", 7)]


async def test_it_waits_for_a_broker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "AGAIN_S", 0.0)
    world = World(Unreachable("gone"), Unreachable("gone"), 0, 3)
    await world.place(b"a")
    assert world.partitions_of() == [partition_of(b"a", 3)]


async def test_what_has_no_topic_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placing, "UNKNOWN_TOPIC_MS", 0)
    world = World(0)
    await world.place(b"a", b"b")
    assert [append.key for append, _ in world.refused] == [b"a", b"b"]
    assert "mesh topics apply" in world.refused[0][1]
    world.answers = [2]
    await world.place(b"c", b"d")
    assert len(world.placed) == 2, "it is there by now"


async def test_what_is_forbidden_is_refused_with_the_reason() -> None:
    world = World(NotPermitted("no right to describe t"))
    await world.place(b"a")
    assert [why for _, why in world.refused] == ["no right to describe t"]


async def test_what_is_abandoned_comes_back_and_is_asked_for_no_more() -> None:
    world = World(Unreachable("gone"))
    world.placing.place(Append(Place("t", -1), b"a"))
    world.placing.place(Append(Place("t", -1), b"b"))
    await asyncio.sleep(0)
    assert [append.key for append in world.placing.abandon()] == [b"a", b"b"]
    await asyncio.gather(*world.placing.asking(), return_exceptions=True)
    assert not world.placing.asking()
    assert not world.placed
    assert not world.refused
