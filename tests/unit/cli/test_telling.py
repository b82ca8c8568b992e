from __future__ import annotations

import pytest

from mesh.cli.output import Out
from mesh.cli.telling import Teller, shape_of, style_of
from mesh.core.values import Outcome
from mesh.telling.story import Entry
from tests.simulation.scribe import Scribe


def test_a_line_says_when_who_what_about(capsys: pytest.CaptureFixture[str]) -> None:
    log = Scribe()
    log.begin()
    log.write(log.decided())
    teller = Teller(Out(color=False))
    taken, opened, decided = (teller.line(record, "") for record in log.records)
    assert taken.endswith("  boss-1  takes the supervision of demo.work/0")
    assert "  demo.work  opened demo.work with " in opened
    assert decided.endswith("  ann-1  demo.work  decides left, because it is shorter")
    assert "VOID (late): decides" in teller.line(log.records[-1], "late")
    teller.tell(Entry(log.records[-1], "", None))
    assert "decides left" in capsys.readouterr().err


def test_who_wants_quiet_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log = Scribe()
    log.begin()
    Teller(Out(quiet=True)).tell(Entry(log.records[-1], "", None))
    log.write(log.reserved())
    log.write(log.settled())
    Teller(Out()).tell(Entry(log.records[-1], "", None))
    assert capsys.readouterr().err == ""


def test_failures_stand_out() -> None:
    log = Scribe()
    log.begin()
    assert style_of(log.finished()) == "green"
    assert style_of(log.finished(outcome=Outcome.FAILED, error="x")) == "red"
    assert style_of(log.finished(), "void") == "dim"
    assert style_of(log.decided()) == "default"


def test_a_fact_as_json_says_whether_it_was_judged() -> None:
    log = Scribe()
    log.begin()
    shape = shape_of(log.records[1], 3, None)
    assert (shape["where"], shape["kind"], shape["void"]) == ("3/1", "TaskOpened", None)
    assert shape["text"].startswith("opened demo.work")
