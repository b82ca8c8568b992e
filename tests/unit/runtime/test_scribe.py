from __future__ import annotations

import pytest

from mesh.core.effects import Append
from mesh.core.facts import LeaseRenewed, Record
from mesh.core.values import Holder
from mesh.runtime import scribe
from mesh.runtime.scribe import Scribe
from mesh.transport.memory import Fate
from mesh.wire import topics
from mesh.wire.facts import FIRST, decode_fact
from tests.unit.runtime.memory import MESH, world

ME = Holder("a.1", 7)


def append(to: Scribe, into: list[tuple[int, Record]], token: int, partition: int = 0) -> None:
    fact = LeaseRenewed(by=ME, awards=(token,))
    to.append(Append(token, partition, fact), lambda *told: into.append(told))


async def test_facts_are_numbered_and_chained_by_partition() -> None:
    async with world() as own:
        told: list[tuple[int, Record]] = []
        keeper = Scribe(own.log, MESH, ME, _never)
        for token, partition in ((1, 0), (2, 1), (3, 0)):
            append(keeper, told, token, partition)
        read = await own.read(topics.audit(MESH))
        assert [(token, record.offset, record.sequence) for token, record in told] == [
            (1, 0, 0),
            (2, 0, 0),
            (3, 1, 1),
        ]
        first, second = (decode_fact(one.value) for one in read if one.partition == 0)
        assert (first.previous, second.previous) == (FIRST, first.chain_hash)
        assert keeper.appends == 3
        assert told[0][1].fact == LeaseRenewed(by=ME, awards=(1,))
        assert keeper.written(0, told[2][1]) == read[1].value
        assert keeper.written(2, told[2][1]) is None


def _never(text: str) -> None:
    raise AssertionError(text)


async def test_an_unknown_outcome_ends_the_chain() -> None:
    async with world() as own:
        told: list[tuple[int, Record]] = []
        failed: list[str] = []
        own.broker.fate = lambda _: Fate.UNKNOWN
        append(Scribe(own.log, MESH, ME, failed.append), told, 1)
        assert len(await own.read(topics.audit(MESH))) == 1
        assert told == []
        assert len(failed) == 1


async def test_only_the_latest_values_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribe, "KEPT", 2)
    async with world() as own:
        told: list[tuple[int, Record]] = []
        keeper = Scribe(own.log, MESH, ME, _never)
        for token in range(3):
            append(keeper, told, token)
        await own.log.flush(10)
        assert [keeper.written(0, record) is None for _, record in told] == [True, False, False]
