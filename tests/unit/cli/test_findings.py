from __future__ import annotations

from contextlib import aclosing

import pytest

from mesh.cli.failures import CommandError
from mesh.cli.findings import (
    Answer,
    Found,
    IncidentReader,
    Wanted,
    by_id,
    chain,
    nothing,
    proof,
    shape,
    told,
)
from mesh.cli.output import Out
from mesh.config import Config
from mesh.core.effects import Incident, Position
from mesh.core.halts import HaltOrder, finding
from mesh.core.responses import answer, cancelled
from mesh.core.values import Amount, Ancestor
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
ASKED = LOOP._replace(
    kind="velocity", id="a1" * 16, response="ask", policy=3, spent=Amount(micro_usd=250_000, hops=2)
)
COMMAND = f"mesh answer {ASKED.id[:10]}"
PARKED = Incident("void", "0-parked", "0-parked", "The settlement does not count.")
HELD = Incident("loop-held", "", "", "ann holds the loop.")


@pytest.fixture(autouse=True, scope="module")
def schemas() -> None:
    """Read the schemas before a loop runs."""
    load_schemas()


def broker_of(*incidents: Incident | bytes, now_ms: int = 0) -> MemoryBroker:
    """Return a broker with these incidents, a second apart, in turn on two partitions."""
    broker = MemoryBroker(lambda: now_ms)
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
        "spent": None,
        "response": "",
        "policy": 0,
        "person": "",
        "answers": "",
        "open": False,
        "answer": None,
    }
    assert shape(Found(HELD, 5_000, "ann.1"))["instance"] == "ann.1"


# --- what answers them --------------------------------------------------------------------------


async def read(*incidents: Incident) -> list[Found]:
    return await (await reader_of(broker_of(*incidents))).read()


def then(found: Found) -> str:
    lines = [line for line in told(found).splitlines() if line.startswith("  then ")]
    return "".join(lines).removeprefix("  then    ")


def test_what_answers_it_and_what_was_spent_is_told() -> None:
    assert then(Found(LOOP, 1, "")) == ""
    halted = LOOP._replace(response="halt")
    assert then(Found(halted, 1, "")) == "its workflow is halted, by default"
    warned = LOOP._replace(response="warn", policy=3)
    assert then(Found(warned, 1, "")) == "it is told, by version 3 of the policy"
    asks = Found(ASKED, 1, "")
    assert then(asks) == f"it waits for an answer, by version 3 of the policy: {COMMAND}"
    assert "  spent   $0.25, 2 hops by the workflow until then" in told(asks).splitlines()
    for kind, said in (
        ("answer", "answered by eve at "),
        ("halt", "its workflow was halted by eve at "),
        ("cancel", "its workflow was cancelled by eve at "),
    ):
        text = then(asks._replace(answer=Answer(kind, "eve", "so", 5_000)))
        assert text.startswith(said)
        assert text.endswith(": so")


async def test_an_answer_is_shown_with_its_incident_and_closes_it() -> None:
    other = ASKED._replace(workflow="0-other", id="b" * 32)
    word = answer(ASKED, person="eve", because="it is meant")
    (one, two, held) = await read(ASKED, other, word, ASKED, HELD)
    assert (one.answer, one.waits) == (Answer("answer", "eve", "it is meant", 3_000), False)
    assert (two.answer, two.waits, held.waits) == (None, True, False)
    assert [Wanted(waits=True).has(own) for own in (one, two, held)] == [False, True, False]
    assert shape(one)["answer"] == {
        "kind": "answer",
        "person": "eve",
        "because": "it is meant",
        "at": "1970-01-01T00:00:03.000Z",
    }
    assert (shape(one)["open"], shape(two)["open"]) == (False, True)
    assert shape(two)["spent"]["micro_usd"] == 250_000


async def test_who_halts_or_cancels_the_workflow_has_answered() -> None:
    order = HaltOrder(
        target=f"workflow/{ASKED.workflow}",
        halted=True,
        number=1,
        person="eve",
        detector="",
        because="no",
        incident="c" * 32,
    )
    for word in (finding(order), cancelled(ASKED.workflow, person="eve", because="no")):
        one, other = await read(ASKED, word)
        assert one.answer is not None
        assert (one.answer.kind, one.answer.person) == (word.kind, "eve")
        assert other.incident == word


async def test_an_answer_that_comes_is_told_as_it_comes() -> None:
    broker = broker_of(ASKED)
    reader = await reader_of(broker)
    async with aclosing(reader.follow()) as found:
        assert (await anext(found)).waits
        put(broker, answer(ASKED, person="eve", because="it is meant"), 1)
        lines = told(await anext(found)).splitlines()
    assert lines[0].startswith("✗ answer  0-workflow")
    assert lines[1:3] == ["  it is meant", f"  by      eve, to {ASKED.id[:10]}"]


async def test_an_incident_is_named_by_the_beginning_of_its_id() -> None:
    second = ASKED._replace(id="a2" * 16, workflow="0-b")
    every = await read(LOOP, ASKED, second, answer(second, person="eve", because="so"))
    assert by_id(every, "a1").incident == ASKED
    assert by_id(every, second.id).answer is not None
    with pytest.raises(CommandError, match=r"a begins the ids of several: a1a1"):
        by_id(every, "a")
    with pytest.raises(CommandError, match="no incident that asks has the id ff; open: a1a1"):
        by_id(every, "ff")
    with pytest.raises(CommandError, match="open: none"):
        by_id(every[:1], "a1")


def test_that_nothing_waits_is_said() -> None:
    said = nothing(Wanted(waits=True), [Found(LOOP, 5_000, "")], "test")
    assert said == "no incident that waits for an answer; there are 1 others in test, of kind loop"
