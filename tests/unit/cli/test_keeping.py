from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from mesh.cli.keeping import Replica, Row, StateReader
from mesh.cli.output import Out
from mesh.config import Config
from mesh.core.shared import Entry
from mesh.errors import TransportError, WrongTopic
from mesh.ports import Place
from mesh.runtime.orders import append
from mesh.transport.memory import Fate, MemoryBroker, MemoryLog
from tests.unit.cli.shared_world import ACME, CHANGES, MESH, REJECT, STATE, SharedWorld

CONFIG = Config(mesh=MESH)


def reading(broker: MemoryBroker, work: Any) -> Any:
    """Run `work` with a reader of this broker."""

    async def run() -> Any:
        log = MemoryLog(broker)
        await log.open()
        try:
            return await work(StateReader(log, CONFIG, Out(quiet=True)))
        finally:
            await log.close()

    return asyncio.run(run())


def world() -> SharedWorld:
    made = SharedWorld()
    made.adopt(REJECT)
    made.write("ann", 0, b"1")
    made.write("ann", 1, b"2")
    made.write("ann", 0, b"3", key="suppliers/eu/x")
    made.write("ann", 0, b"4", key="suppliersx")
    made.process()
    return made


def test_of_each_key_the_highest_version_holds() -> None:
    own = world()
    first = replace(own.entry(), version=1, value=b"old")
    own.put(first, own.home())

    async def work(reader: StateReader) -> Replica:
        return await reader.replica()

    found = reading(own.broker, work)
    assert {key: entry.version for key, entry in found.entries.items()} == {
        ACME: 2, "suppliers/eu/x": 1,
    }  # fmt: skip
    assert found.homes[ACME] == own.home()
    assert {rules.rules for rules in found.rules.values()} == {REJECT}
    assert sum(found.ends.values()) == len(own.broker.records(STATE))
    assert not found.see(Row(0, 9, None, "torn"))
    assert not found.see(Row(0, 9, found.rules[0]))


def test_a_prefix_has_whole_segments() -> None:
    async def work(reader: StateReader) -> list[str]:
        found = [await reader.replica(own) for own in ("suppliers", "suppliers/eu/", ACME, "sup")]
        return [" ".join(sorted(own.entries)) for own in found]

    both = f"{ACME} suppliers/eu/x"
    assert reading(world().broker, work) == [both, "suppliers/eu/x", ACME, ""]


def test_what_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    own = world()
    own.broker.partition(Place(STATE, 1)).append(1, b"x", b"junk", ())
    own.broker.partition(Place(CHANGES, 1)).append(1, b"x", None, ())

    async def work(reader: StateReader) -> tuple[Row, Any]:
        rows = [row async for row in reader.rows(1)]
        proposals = [own async for own in reader.proposals(1)]
        assert reader.progress() == f"reading shared state, {len(rows) + len(proposals)} records"
        return rows[-1], proposals[-1]

    row, proposed = reading(own.broker, work)
    assert (row.kept, row.error) == (None, "begins with 6a75, not with Avro's marker c301")
    assert proposed.proposal is None
    told = capsys.readouterr().err
    assert "holds no entry: begins with" in told
    assert "holds no proposal: the value is null" in told


def test_entries_are_followed_as_they_come() -> None:
    own = world()

    async def work(reader: StateReader) -> list[Any]:
        ends = {own: high for own, (_, high) in (await reader.ends(STATE)).items()}
        found: list[Any] = []
        async with aclosing(reader.follow(ends, "suppliers/eu")) as rows:
            own.write("ann", 2, b"5")
            own.write("ann", 1, b"6", key="suppliers/eu/x")
            own.process()
            async for row in rows:
                found.append(row.kept)
                break
        return found

    (entry,) = reading(own.broker, work)
    assert isinstance(entry, Entry)
    assert (entry.key, entry.value) == ("suppliers/eu/x", b"6")


def test_a_mesh_that_is_not_there() -> None:
    with pytest.raises(WrongTopic, match=r"no topic test\.changes; choose a mesh with --mesh"):
        reading(MemoryBroker(lambda: 0), lambda reader: reader.home(ACME))


@pytest.mark.parametrize(
    ("fate", "said"),
    [(Fate.UNKNOWN, "outcome unknown; whether"), (Fate.HELD, "no acknowledgement within 0.01 s")],
)
def test_an_append_that_nobody_acknowledged(fate: Fate, said: str) -> None:
    own = world()

    async def work(reader: StateReader) -> None:
        own.broker.fate = lambda _: fate
        try:
            await append(reader.log, Place(CHANGES, 0), b"k", b"v", timeout_s=0.01)
        finally:
            own.broker.release()

    with pytest.raises(TransportError, match=f"{said}.*run the same command again"):
        reading(own.broker, work)
