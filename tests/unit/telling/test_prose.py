from __future__ import annotations

from typing import get_args

from mesh.core import facts as f
from mesh.core.values import Cause, Wait
from mesh.telling.prose import OUTSIDE, Prose
from tests.simulation.scribe import BOB, Scribe, terms
from tests.unit.cli.conftest import Recorded


def told(records: list[f.Record]) -> list[str]:
    prose = Prose()
    return [prose.sentence(record.fact) for record in records]


def test_a_recorded_workflow_reads_as_a_story(recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    records = [
        own
        for own in recorded.records(workflow)[1]
        if getattr(own.fact, "workflow", "") == workflow
    ]
    lines = told(records)
    assert lines[0].startswith(f"{OUTSIDE} asks for office.order and allows $2.00")
    assert "desk asks for office.quote" in "\n".join(lines)
    assert any("so it won" in line and "bid $" in line and "score" in line for line in lines)
    assert any("sends the result of ann back: no seller named" in line for line in lines)
    assert any("after the result before had been sent back" in line for line in lines)
    assert any(line.startswith("desk decides: buy, because ") for line in lines)
    assert "90 % sure" in next(own for own in lines if own.startswith("desk finishes"))


def test_what_goes_wrong_is_told() -> None:
    log = Scribe()
    log.begin()
    log.write(log.begun("0"))
    log.write(log.done("0", error="no connection"))
    log.write(log.awarded(terms(BOB, 2, Cause.DIED, attempt=2)), after_ms=2_000)
    log.write(log.suspended(waiting_for=(Wait("0", "person", "", 0, "is it paid?"),)))
    lines = told(log.records)
    assert "fails: no connection" in lines[3]
    assert "bob is given the task demo.work after the worker before had fallen silent" in lines[4]
    assert lines[5] == "The task demo.work is suspended, waits for a person (is it paid?)"


def test_every_kind_of_fact_has_a_sentence(recorded: Recorded) -> None:
    kinds = set()
    for workflow in recorded.workflows.values():
        for record in recorded.records(workflow)[1]:
            assert Prose().sentence(record.fact)
            kinds.add(type(record.fact))
    assert len(kinds) > 12
    assert kinds <= set(get_args(f.Fact))
