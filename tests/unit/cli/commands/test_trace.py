from __future__ import annotations

import json

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
