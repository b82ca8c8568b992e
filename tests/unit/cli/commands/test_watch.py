from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import Cli, Recorded


def test_facts_from_the_start_are_judged(cli: Cli, recorded: Recorded) -> None:
    ran = cli("watch", "--from-start", "-n", "4", "-o", "json", broker=recorded.broker)
    assert ran.code == 0
    shapes = [json.loads(line) for line in ran.out.splitlines()]
    assert len(shapes) == 4
    assert all(own["void"] == "" for own in shapes)
    assert ran.err.startswith("test at 127.0.0.1:9092: 2 partitions")


def test_filters(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    given = ("--kind", "taskawarded", "--kind", "TaskOpened", "--workflow", workflow[:14])
    ran = cli("watch", "--from-start", "-n", "3", *given, "-q", broker=recorded.broker)
    assert [("opened" in line or "awarded" in line) for line in ran.out.splitlines()] == [True] * 3
    ran = cli(
        "watch", "--from-start", "-n", "1", "--agent", "bob", "-o", "jsonl", broker=recorded.broker
    )
    assert json.loads(ran.out)["instance"] == "bob.1"


@pytest.mark.parametrize(
    ("kind", "hint"), [("TaskAwardd", "did you mean TaskAwarded?"), ("zzz", "AwardDeclined, ")]
)
def test_a_kind_that_does_not_exist(cli: Cli, recorded: Recorded, kind: str, hint: str) -> None:
    ran = cli("watch", "--kind", kind, broker=recorded.broker)
    assert ran.code == 2
    assert hint in ran.err
