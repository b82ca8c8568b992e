from __future__ import annotations

import asyncio
import json

import pytest

from mesh.cli import output
from mesh.cli.output import Format, Out, table


def test_json_is_all_that_stdout_holds(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(Format.JSON)
    out.say("talk")
    out.data([{"a": "ä"}], lambda: "never drawn")
    said = capsys.readouterr()
    assert json.loads(said.out) == [{"a": "ä"}]
    assert said.err == "talk\n"


def test_jsonl_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(Format.JSONL)
    out.data([{"a": 1}, {"a": 2}], lambda: "")
    out.data({"a": 3}, lambda: "")
    out.item({"a": 4}, "text")
    assert capsys.readouterr().out.splitlines() == ['{"a":1}', '{"a":2}', '{"a":3}', '{"a":4}']


def test_a_table_and_an_item_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(color=False)
    out.data([], lambda: table(("name", "count"), [("x", 1), (None, 22)], right=("count",)))
    out.item({}, "one line [not markup]", "red")
    lines = capsys.readouterr().out.splitlines()
    assert " name   count " in lines
    assert lines[-1] == "one line [not markup]"
    assert not out.is_json
    assert Out(Format.WIDE).is_wide


def test_quiet_keeps_talk_and_lets_complaints_through(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out(quiet=True)
    out.say("talk")
    out.complain("trouble")
    assert capsys.readouterr().err == "trouble\n"


async def test_a_short_wait_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async with Out().waiting("the broker"):
        await asyncio.sleep(0)
    assert capsys.readouterr().err == ""


async def test_a_long_wait_says_what_it_waits_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "QUIET_S", 0.0)
    monkeypatch.setattr(output, "TICK_S", 0.0)
    async with Out().waiting(lambda: "the broker"):
        for _ in range(5):
            await asyncio.sleep(0)
    assert capsys.readouterr().err.startswith("… the broker, 0 s\n")
    async with Out(quiet=True).waiting("the broker"):
        await asyncio.sleep(0)
    assert capsys.readouterr().err == ""
