from __future__ import annotations

import json

from tests.unit.cli.conftest import Cli, Recorded
from tests.unit.cli.office import TARGETS


def with_code(*targets: str) -> list[str]:
    return [word for target in targets for word in ("--with", target)]


def test_every_workflow_as_recorded(cli: Cli, recorded: Recorded) -> None:
    ran = cli("replay", "--all", *with_code(*TARGETS), broker=recorded.broker)
    assert ran.code == 0, ran.err
    assert "5 workflows, 10 tasks" in ran.out
    assert "0 not" in ran.out


def test_changed_code_names_the_first_step_that_differs(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["table"]
    changed = with_code("tests.unit.cli.office_changed:desk")
    ran = cli("replay", workflow, *changed, broker=recorded.broker)
    assert ran.code == 5
    assert "differs first at step 2" in ran.out
    assert "recorded  tool post" in ran.out
    assert "now       decision buy" in ran.out
    assert "not replayed: 1 task, the code of ann was not given" in ran.err
    shape = json.loads(cli("replay", workflow, *changed, "-o", "json", broker=recorded.broker).out)
    assert (shape["diverging"], shape["changed_code"], shape["tasks"]) == (1, 1, 1)
    assert shape["replays"][0]["step"] == "2"


def test_what_cannot_be_replayed(cli: Cli, recorded: Recorded) -> None:
    assert cli("replay", broker=recorded.broker).code == 2
    assert cli("replay", "--example", "nix", broker=recorded.broker).code == 2
    nobody = with_code("tests.unit.cli.office:bob")
    ran = cli("replay", recorded.workflows["gold"], *nobody, "-q", broker=recorded.broker)
    assert ran.code == 2
    assert "nothing was replayed" in ran.err
