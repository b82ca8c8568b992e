from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from confluent_kafka import TopicPartition

from mesh.ports import Commit, Place
from mesh.transport import kafka_group
from mesh.transport.kafka_group import Commits, KafkaGroup
from mesh.transport.kafka_settings import Address, Limits
from mesh.transport.pulse import Pulse, Standstill

P, Q = Place("t", 0), Place("t", 1)


def commits(*offsets: tuple[Place, int]) -> dict[Place, Commit]:
    return {place: Commit(offset, "") for place, offset in offsets}


def test_the_newest_wins() -> None:
    line = Commits()
    line.ask(commits((P, 1), (Q, 1)))
    line.ask(commits((P, 2)))
    assert line.begin({P, Q}) == commits((P, 2), (Q, 1))
    assert line.begin({P, Q}) == {}


def test_what_is_not_owned_is_dropped() -> None:
    line = Commits()
    line.ask(commits((P, 1), (Q, 1)))
    assert line.begin({Q}) == commits((Q, 1))
    line.end([])
    assert line.begin({P, Q}) == {}


def test_what_failed_is_wanted_again_unless_something_newer_is() -> None:
    line = Commits()
    line.ask(commits((P, 1), (Q, 1)))
    line.begin({P, Q})
    assert line.under_way()
    line.ask(commits((P, 5)))
    line.end([P, Q])
    assert not line.under_way()
    assert line.begin({P, Q}) == commits((P, 5), (Q, 1))


def test_answers_belong_to_the_oldest_question() -> None:
    line = Commits()
    line.ask(commits((P, 1)))
    line.begin({P})
    line.ask(commits((Q, 1)))
    line.begin({Q})
    line.end([])
    line.end([Q])
    assert line.begin({P, Q}) == commits((Q, 1))
    line.end([])
    line.end([P])
    assert not line.under_way()


# --- a partition that is lost and given again


class FakeMessage(NamedTuple):
    """A record as the client has it."""

    number: int

    def topic(self) -> str:
        return P.topic

    def partition(self) -> int:
        return P.partition

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_000

    def key(self) -> bytes:
        return b""

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> None:
        return None

    def error(self) -> None:
        return None


class FencedConsumer:
    """A client that is told within its second poll that it lost the partition and has it again."""

    def __init__(self, _: Mapping[str, Any], logger: object) -> None:
        del logger
        self.polls = 0
        self.at = -1
        self.paused = False
        self._on: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}

    def subscribe(self, _: Sequence[str], **on: Callable[..., None]) -> None:
        self._on = on

    def poll(self, _: float) -> FakeMessage | None:
        self.polls += 1
        place = [TopicPartition(*P)]
        if self.polls == 2:
            self._on["on_lost"](self, place)
        if self.polls <= 2:
            self._on["on_assign"](self, place)
        if self.polls == 1 or self.paused or not 0 <= self.at < 3:
            return None
        self.at += 1
        return FakeMessage(self.at - 1)

    def consume(self, _: int, __: float) -> list[FakeMessage]:
        return []

    def committed(self, places: list[TopicPartition], **_: float) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.partition, 0) for place in places]

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.at, self.paused = places[0].offset, False

    def incremental_unassign(self, _: list[TopicPartition]) -> None:
        self.at = -1

    def pause(self, _: list[TopicPartition]) -> None:
        self.paused = True

    def resume(self, _: list[TopicPartition]) -> None:
        self.paused = False

    def close(self) -> None:
        pass


class Silent:
    """A listener to whom it is all the same."""

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        pass

    async def revoked(self, places: Sequence[Place]) -> None:
        pass

    async def lost(self, places: Sequence[Place]) -> None:
        pass


async def test_nothing_is_skipped_that_came_after_a_partition_was_given_again(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process that wakes up: its records were dropped, and the offsets went on."""
    monkeypatch.setattr(kafka_group, "Consumer", FencedConsumer)
    pulse = Pulse(asyncio.get_running_loop(), 60.0)
    group = KafkaGroup(address, ["t"], "g", Silent(), pulse, Limits())
    offsets: list[int] = []
    async with asyncio.timeout(5):
        while len(offsets) < 3:
            offsets += [record.offset for record in await group.take()]
    assert offsets == [0, 1, 2]
    await group.close()


# --- a process that stood still


class WokenConsumer(FencedConsumer):
    """A client that, after a standstill of its process, gives up in peace what it lost long ago."""

    def poll(self, _: float) -> FakeMessage | None:
        self.polls += 1
        if self.polls == 1:
            self._on["on_assign"](self, [TopicPartition(*P)])
        if self.polls == 2:
            self._on["on_revoke"](self, [TopicPartition(*P)])
        return None


class Noting(Silent):
    """A listener that notes how a partition went."""

    def __init__(self) -> None:
        self.went: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def revoked(self, places: Sequence[Place]) -> None:
        self.went.set_result("revoked")

    async def lost(self, places: Sequence[Place]) -> None:
        self.went.set_result("lost")


@pytest.mark.parametrize(("doubtful", "heard"), [(False, "revoked"), (True, "lost")])
async def test_a_revocation_after_a_standstill_is_a_loss(
    address: Address, monkeypatch: pytest.MonkeyPatch, doubtful: bool, heard: str
) -> None:
    monkeypatch.setattr(kafka_group, "Consumer", WokenConsumer)
    monkeypatch.setattr(Standstill, "doubtful", lambda _: doubtful)
    pulse = Pulse(asyncio.get_running_loop(), 60.0)
    listener = Noting()
    group = KafkaGroup(address, ["t"], "g", listener, pulse, Limits())
    async with asyncio.timeout(5):
        assert await listener.went == heard
    await group.close()
