from __future__ import annotations

import json

from mesh.cli.moving import Moving, auction
from mesh.cli.tally import Tally
from mesh.core.values import Body, Mode, Offer, StepKind, Wait
from mesh.telling.words import sentence
from tests.simulation.scribe import ANN, Scribe, terms
from tests.unit.cli.conftest import Recorded


def moved(recorded: Recorded, item: str) -> list[str]:
    workflow = recorded.workflows[item]
    partition, records = recorded.records(workflow)
    tally, moving = Tally(), Moving({workflow: item})
    lines = []
    for record in records:
        void, end = tally.add(partition, record)
        if not void:
            lines += [line for line in moving.see(record, end) if line.workflow == workflow]
    assert all(line.text.startswith(f"{item}  ") for line in lines)
    return [line.text.removeprefix(f"{item}  ") for line in lines]


def test_auctions_what_is_sent_back_and_ends_are_told(recorded: Recorded) -> None:
    lines = moved(recorded, "chair")
    assert lines[0].startswith("office.quote: auction won by ann ")
    assert "against bob" in lines[0]
    assert lines[1] == "office.quote sent back: no seller named"
    assert lines[2] == "office.quote again, attempt 2: bob"
    assert lines[3].startswith("✓ buy  office.order  ")
    assert lines[3].endswith("  $0.05  2 tasks")


def test_failures_are_told(recorded: Recorded) -> None:
    lines = moved(recorded, "ghost")
    assert any("office.quote failed: ValueError: there are no ghosts" in line for line in lines)
    assert lines[-1].startswith("✗ failed  office.order")


def test_a_parked_task_asks_for_a_person() -> None:
    log = Scribe()
    log.begin()
    log.write(log.suspended(waiting_for=(Wait("0", "person", "", 0, "was it paid?"),)))
    moving = Moving()
    lines = [line for record in log.records for line in moving.see(record, None)]
    assert [line.text for line in lines] == [
        "0-root  demo.work is parked, a person must look: was it paid?"
    ]


def test_a_task_that_stops_under_a_halt_is_told() -> None:
    log = Scribe()
    log.begin()
    log.write(log.suspended(waiting_for=(Wait("", "halt", "", 0, "agent/ann"),)))
    moving = Moving()
    lines = [line.text for record in log.records for line in moving.see(record, None)]
    assert lines == ["0-root  demo.work stops: agent/ann is halted"]
    told = sentence(log.records[-1].fact)
    assert told == "suspended, waits for the lifting of agent/ann"


def test_workflows_that_began_before_are_passed_over() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished())
    assert Moving().see(log.records[-1], None) == []


def test_an_auction_in_words() -> None:
    won = Offer("ann-1", "ann", 1, 1, 900, True, 500, 800, "")
    lost = won._replace(agent="bob", score_permille=700)
    out = won._replace(agent="eve", declined="full")
    award = terms(ANN, mode=Mode.AUCTION, offers=(won, lost, out))
    assert auction(award) == "auction won by ann 800 against bob 700, 1 declined"
    assert auction(terms(ANN, offers=(out,))) == "ann, without a bid"


def wrote(resolution: str, kind: StepKind = StepKind.WRITE) -> list[str]:
    """Return what is told of a write that met another one under a rule."""
    said = {"verdict": "preferred", "reason": "risk comes before speed"}
    rivals = [{"resolution": resolution}] if resolution else []
    content = json.dumps({**said, "rivals": rivals}).encode()
    log = Scribe()
    log.begin()
    log.write(log.begun(kind=kind, name="thresholds/x"))
    result = Body(b"h", "application/json", content)
    log.write(log.done(kind=kind, name="thresholds/x", result=result))
    moving = Moving()
    return [line.text for record in log.records for line in moving.see(record, None)]


def test_what_an_objective_decided_is_told_and_other_conflicts_are_not() -> None:
    assert wrote("arbitrate") == ["0-root  thresholds/x preferred: risk comes before speed"]
    assert wrote("reject") == wrote("") == []
    assert wrote("arbitrate", kind=StepKind.TOOL) == []
