from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import Cli, Recorded


def test_the_tree_of_a_workflow(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    ran = cli("trace", workflow[:14], broker=recorded.broker)
    assert ran.code == 0
    assert f"✓ {workflow}  completed in" in ran.out
    assert "sent back: no seller named" in ran.out
    wide = cli("trace", workflow, "-o", "wide", broker=recorded.broker)
    assert f" at {workflow[0]}/" in wide.out


def test_json_is_one_object_and_the_latest_is_the_default(cli: Cli, recorded: Recorded) -> None:
    ran = cli("trace", "-o", "json", broker=recorded.broker)
    shape = json.loads(ran.out)
    assert shape["workflow"] == recorded.workflows["later"]
    assert shape["status"] == "suspended"


def test_what_is_not_there_is_code_4(cli: Cli, recorded: Recorded) -> None:
    ran = cli("trace", "0-zzz", broker=recorded.broker)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("mesh: no workflow or task 0-zzz is in test.audit")
    assert ran.err.count("\n") == 1


def test_it_is_exported_as_one_trace(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    ran = cli("trace", workflow, "--export", "otlp-json", broker=recorded.broker)
    assert ran.code == 0
    found = json.loads(ran.out)
    spans = [s for own in found["resourceSpans"] for s in own["scopeSpans"][0]["spans"]]
    assert len({span["traceId"] for span in spans}) == 1
    ids = {span["spanId"] for span in spans}
    assert [span["name"] for span in spans if span.get("parentSpanId") not in ids] == [
        "invoke_agent desk"
    ]


def test_all_that_ended_are_exported_one_a_line(cli: Cli, recorded: Recorded) -> None:
    ran = cli("trace", "--all", "--export", "otlp-json", broker=recorded.broker)
    lines = ran.out.splitlines()
    assert len(lines) == 4, "the fifth sleeps"
    assert len({line.partition('"traceId":')[2][:34] for line in lines}) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--export", "zipkin"], "there is no format 'zipkin'; otlp-json"),
        (["--all"], "go with --export"),
        (["0-x", "--follow", "--export", "otlp-json"], "without a workflow"),
    ],
)
def test_what_cannot_be_exported(cli: Cli, recorded: Recorded, given: list[str], says: str) -> None:
    ran = cli("trace", *given, broker=recorded.broker)
    assert ran.code == 2
    assert says in ran.err
