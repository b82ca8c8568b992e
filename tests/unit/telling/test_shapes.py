from __future__ import annotations

import json
from pathlib import Path

from mesh.core.values import Amount, Body
from mesh.telling import shapes
from mesh.telling.reasons import explain
from mesh.telling.story import Chronicle, tell
from tests.simulation.scribe import BOB, ROOT, Scribe
from tests.unit.cli.conftest import Recorded
from tests.unit.cli.office import desk

PAGE = Path(__file__).resolve().parents[3] / "docs/cli.md"


def test_a_story_is_plain_json(recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    partition, records = recorded.records(workflow)
    chronicle = Chronicle(workflow)
    for record in records:
        chronicle.add(record)
    story = tell(chronicle, partition)
    assert story is not None
    shape = json.loads(json.dumps(shapes.story(story)))
    assert (shape["status"], shape["tasks"], shape["reason"]) == ("completed", 2, "")
    assert shape["result"] == {"decision": "buy", "total": "5"}
    assert shape["cost"]["micro_usd"] == 50_000
    steps = shape["root"]["steps"]
    assert [own["kind"] for own in steps] == ["delegate", "spend", "tool", "decision"]
    child = steps[0]["task"]
    assert [own["ending"] for own in child["awards"]] == ["sent back", "completed"]
    assert {own["agent"] for own in child["awards"][0]["bids"]} == {"ann", "bob"}
    assert steps[3]["evidence"] == [child["task"]]
    assert shape["root"]["where"].startswith(f"{partition}/")
    assert shape["began"].endswith("Z")


def test_reasons_are_plain_json(recorded: Recorded) -> None:
    workflow = recorded.workflows["gold"]
    partition, records = recorded.records(workflow)
    chronicle = Chronicle(workflow)
    for record in records:
        chronicle.add(record)
    for task in list(chronicle.states):
        found = explain(chronicle, task, partition)
        assert found is not None
        shape = json.loads(json.dumps(shapes.explanation(found)))
        assert shape["agrees"] is True
        for reason in shape["reasons"]:
            if reason["kind"] == "budget":
                assert reason["budget"]["total"]["micro_usd"] == 2_000_000
            if "bids" in reason:
                assert all(own["recomputed"] == own["score"] for own in reason["bids"])


def test_what_is_void_names_the_reason() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished(by=BOB))
    chronicle = Chronicle(ROOT)
    for record in log.records:
        chronicle.add(record)
    story = tell(chronicle, 3)
    assert story is not None
    (void,) = shapes.story(story)["void"]
    assert (void["kind"], void["where"], void["instance"]) == ("WorkFinished", "3/2", "bob-1")
    assert "authority" in void["void"]


def test_contents_that_were_left_out_are_referred_to() -> None:
    assert shapes.body(None) is None
    assert shapes.body(Body(b"", "", None)) is None
    assert shapes.body(Body(b"\x01", "application/json", b'{"a":1}')) == {"a": 1}
    reference = {"sha256": "01", "media_type": "application/json"}
    assert shapes.body(Body(b"\x01", "application/json", None)) == reference
    assert shapes.time(None) is None
    assert shapes.amount(Amount(tokens=2))["tokens"] == 2


def test_a_card_is_plain_json() -> None:
    shape = json.loads(json.dumps(shapes.card(desk.card())))
    assert (shape["agent"], shape["owner"], shape["calls"]) == (
        "desk", "team-office", ["office.quote"],
    )  # fmt: skip
    (offered,) = shape["capabilities"]
    assert offered["budget"]["micro_usd"] == 2_000_000
    assert offered["input"]["properties"]["item"] == {"title": "Item", "type": "string"}


def test_the_documentation_names_every_member(recorded: Recorded) -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    workflow = recorded.workflows["chair"]
    partition, records = recorded.records(workflow)
    chronicle = Chronicle(workflow)
    for record in records:
        chronicle.add(record)
    story = tell(chronicle, partition)
    assert story is not None
    step = story.root.steps[0]
    assert step.child is not None
    award = shapes.award(step.child.awards[0], partition)
    told = explain(chronicle, step.child.task, partition)
    assert told is not None
    listed = (
        shapes.story(story),
        shapes.task(story.root, partition),
        award,
        award["bids"][0],
        shapes.step(step, partition),
        shapes.explanation(told),
        [name for name in shapes.reason(told.reasons[0]) if name not in ("means", "bids")],
        {**shapes.fact(records[0], partition), "text": "", "void": ""},
    )
    for members in listed:
        assert ", ".join(members) in page
