from __future__ import annotations

from contextlib import aclosing

import pytest

from mesh.cli.findings import Found, IncidentReader, Wanted, chain, nothing, proof, shape, told
from mesh.cli.output import Out
from mesh.config import Config
from mesh.core.effects import Incident, Position
from mesh.core.values import Ancestor
from mesh.errors import WrongTopic
from mesh.ports import Place, TopicPlan
from mesh.runtime.process import load_schemas
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import encode_entry

TOPIC = topics.incidents("test")
LINKS = tuple(Ancestor(f"0-{n}", f"work.n{n}", "" if n == 1 else f"a{n}", b"") for n in range(8))
LOOP = Incident(
    kind="loop",
    workflow="0-workflow-of-the-loop",
    task="0-7",
    text="Round and round.",
    id="f" * 32,
    detector="loop",
    measure="returns of one input",
    seen=2,
    limit=1,
    chain=LINKS,
    evidence=(*(Position("audit", 0, n) for n in range(7)), Position("state", 1, 9)),
)
PARKED = Incident("void", "0-parked", "0-parked", "The settlement does not count.")
HELD = Incident("loop-held", "", "", "ann holds the loop.")


@pytest.fixture(autouse=True, scope="module")
def schemas() -> None:
    """Read the schemas before a loop runs."""
    load_schemas()


def broker_of(*incidents: Incident | bytes) -> MemoryBroker:
    """Return a broker with these incidents, a second apart, in turn on two partitions."""
    broker = MemoryBroker(lambda: 0)
    broker.create_topic(TopicPlan(name=TOPIC, partitions=2))
    for number, own in enumerate(incidents):
        put(broker, own, number)
    return broker


def put(broker: MemoryBroker, own: Incident | bytes, number: int) -> None:
    raw = isinstance(own, bytes)
    key = b"ann.1" if isinstance(own, bytes) else (own.workflow or "ann.1").encode()
    value = own if isinstance(own, bytes) else encode_entry(own)
    place = broker.partition(Place(TOPIC, number % 2 if not raw else 0))
    place.append(1_000 * (number + 1), key, value, ())


async def reader_of(broker: MemoryBroker, mesh: str = "test") -> IncidentReader:
    log = MemoryLog(broker)
    await log.open()
    return IncidentReader(log, Config(mesh=mesh), Out(quiet=True))


async def test_each_is_told_once_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    other = LOOP._replace(id="0" * 32)
    reader = await reader_of(broker_of(PARKED, LOOP, b"garbage", LOOP, PARKED, other, HELD))
    every = await reader.read()
    assert [own.incident for own in every] == [PARKED, LOOP, PARKED, other, HELD]
    assert [own.at_ms for own in every] == [1_000, 2_000, 5_000, 6_000, 7_000]
    assert every[-1].key == "ann.1"
    assert "the record at 0/1 of test.incidents is no incident" in capsys.readouterr().err


async def test_what_comes_is_told_and_not_what_was_told() -> None:
    broker = broker_of(LOOP)
    reader = await reader_of(broker)
    async with aclosing(reader.follow()) as found:
        assert (await anext(found)).incident == LOOP
        put(broker, LOOP, 1)
        put(broker, PARKED, 2)
        assert (await anext(found)).incident == PARKED


async def test_there_is_no_such_mesh() -> None:
    reader = await reader_of(broker_of(), "other")
    with pytest.raises(WrongTopic, match="no topic other"):
        await reader.read()


def test_what_is_asked_for() -> None:
    loop, held = Found(LOOP, 5_000, ""), Found(HELD, 6_000, "ann.1")
    for wanted, has in (
        (Wanted(), (True, True)),
        (Wanted(workflow="0-work"), (True, False)),
        (Wanted(kinds=frozenset({"loop-held", "x"})), (False, True)),
        (Wanted(detectors=frozenset({"loop"})), (True, False)),
        (Wanted(since_ms=5_001), (False, True)),
    ):
        assert (wanted.has(loop), wanted.has(held)) == has


def test_in_words() -> None:
    head, text, *rest = told(Found(LOOP, 5_000, "")).splitlines()
    assert head.startswith("✗ loop  0-workflow  ")
    assert text == "  Round and round."
    assert rest == [
        "  seen    2, limit 1: returns of one input",
        f"  chain   (2 tasks above) > {' > '.join(f'a{n} work.n{n}' for n in range(2, 8))}",
        "  proof   0/0, 0/1, 0/2, 0/3, 0/4, 0/5 and 2 more",
        "  look    mesh trace 0-workflow",
    ]
    wide = told(Found(LOOP, 5_000, ""), wide=True)
    assert "chain   a0 work.n0 > nobody work.n1 > a2" in wide
    assert wide.endswith("0/6, state 1/9\n  look    mesh trace 0-workflow-of-the-loop")
    assert told(Found(HELD, 5_000, "ann.1")).splitlines()[1:] == ["  ann holds the loop."]
    assert "loop-held  ann.1  " in told(Found(HELD, 5_000, "ann.1"))
    assert chain(LINKS[:1]) == "a0 work.n0"
    assert proof(LOOP.evidence[:2], 6) == "0/0, 0/1"


def test_nothing_is_said_to_be_nothing() -> None:
    assert nothing(Wanted(since="1h"), [], "test") == "no incident was found in test"
    wanted = Wanted(
        workflow="3-a", kinds=frozenset({"b", "a"}), detectors=frozenset({"x"}), since="1h"
    )
    every = [Found(LOOP, 5_000, ""), Found(HELD, 6_000, "ann.1")]
    assert nothing(wanted, every, "test") == (
        "no incident since 1h in 3-a of kind a or b by x; there are 2 others in test, "
        "of kind loop and loop-held"
    )


def test_as_json() -> None:
    assert shape(Found(LOOP._replace(chain=LINKS[:1]), 5_000, "0-workflow")) == {
        "id": "f" * 32,
        "at": "1970-01-01T00:00:05.000Z",
        "kind": "loop",
        "detector": "loop",
        "workflow": "0-workflow-of-the-loop",
        "task": "0-7",
        "instance": "",
        "text": "Round and round.",
        "measure": "returns of one input",
        "seen": 2,
        "limit": 1,
        "chain": [{"task": "0-0", "capability": "work.n0", "agent": "a0"}],
        "evidence": [
            *({"stream": "audit", "where": f"0/{n}"} for n in range(7)),
            {"stream": "state", "where": "1/9"},
        ],
    }
    assert shape(Found(HELD, 5_000, "ann.1"))["instance"] == "ann.1"
