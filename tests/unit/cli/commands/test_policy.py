from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.ports import Place
from mesh.transport.memory import Appending, Fate
from mesh.wire import topics
from mesh.wire.entries import decode_policy
from tests.unit.cli.conftest import Cli
from tests.unit.cli.shared_world import CHANGES, MESH, SharedWorld
from tests.unit.cli.test_policies import TEXT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT)
    return path


def test_first_the_difference_then_the_change(cli: Cli, file: Path) -> None:
    world = SharedWorld()
    ran = cli("policy", "plan", str(file), broker=world.broker)
    assert ran.code == 5
    assert "merge by max" in ran.out
    assert "version 2 is to be told to M.policy and partition 0 and 1" in ran.out
    assert "`mesh policy apply" in ran.err
    assert not world.broker.records(CHANGES)
    ran = cli("policy", "apply", str(file), "--because", "so", broker=world.broker)
    assert ran.code == 0, ran.err
    assert "version 2 holds in 2 partitions" in ran.out
    (record,) = world.broker.records(topics.policy(MESH))
    document = decode_policy(record.value)
    assert (document.document, document.because, document.version) == (TEXT, "so", 2)
    assert document.person
    ran = cli("policy", "plan", str(file), "-o", "json", broker=world.broker)
    shape = json.loads(ran.out)
    assert (ran.code, shape["pending"], shape["held"], shape["differences"]) == (0, False, 2, [])
    assert shape["partitions"] == [
        {"partition": own, "held": 2, "pending": False} for own in range(2)
    ]


def test_what_is_unchanged_asks_for_nothing(cli: Cli, file: Path) -> None:
    world = SharedWorld()
    given = ("policy", "apply", str(file), "--because", "so")
    assert cli(*given, broker=world.broker).code == 0
    ran = cli(*given, broker=world.broker)
    assert (ran.code, "version 2 holds in 2 partitions" in ran.out) == (0, True)
    assert len(world.broker.records(CHANGES)) == 2


def test_a_version_must_grow(cli: Cli, file: Path) -> None:
    world = SharedWorld()
    cli("policy", "apply", str(file), "--because", "so", broker=world.broker)
    file.write_text(TEXT.replace("cost", "speed"))
    for given in (("plan",), ("apply", "--because", "so")):
        ran = cli("policy", *given, str(file), broker=world.broker)
        assert (ran.code, "does not grow: version 2 holds" in ran.err) == (2, True)
    file.write_text(TEXT.replace("cost", "speed").replace("version = 2", "version = 3"))
    ran = cli("policy", "apply", str(file), "--because", "so", "-o", "json", broker=world.broker)
    assert ran.code == 0
    shape = json.loads(ran.out)
    assert (shape["pending"], shape["held"], shape["document"]) == (False, 3, False)
    assert shape["partitions"][1] == {"partition": 1, "held": 3, "pending": False}
    (own,) = shape["differences"]
    assert (own["what"], own["before"], own["after"]) == ("objectives", "risk, cost", "risk, speed")


def test_what_was_interrupted_is_finished_by_the_same_command(cli: Cli, file: Path) -> None:
    world = SharedWorld()

    def fate(appending: Appending) -> Fate:
        return Fate.LOST if appending.place == Place(CHANGES, 1) else Fate.LANDS

    world.broker.fate = fate
    given = ("policy", "apply", str(file), "--because", "so")
    ran = cli(*given, broker=world.broker)
    assert (ran.code, "run the same command again" in ran.err) == (1, True)
    world.broker.fate = lambda _: Fate.LANDS
    ran = cli("policy", "plan", str(file), broker=world.broker)
    assert (ran.code, "version 2 is to be told to partition 1" in ran.out) == (5, True)
    assert cli(*given, broker=world.broker).code == 0
    assert cli("policy", "plan", str(file), broker=world.broker).code == 0


def test_what_is_wrong_is_said_before_anything_is_asked(cli: Cli, file: Path) -> None:
    broker = SharedWorld().broker
    assert "say why" in cli("policy", "apply", str(file), "--because", " ", broker=broker).err
    assert cli("policy", "apply", str(file), broker=broker).code == 2
    file.write_text("version = 1\n[[halts]]\n")
    ran = cli("policy", "plan", str(file), broker=broker)
    assert (ran.code, "halts: there is no such field" in ran.err) == (2, True)


def test_a_policy_makes_writes_possible(cli: Cli, file: Path) -> None:
    world = SharedWorld()
    world.write("ann", 0, b"1")
    cli("policy", "apply", str(file), "--because", "so", broker=world.broker)
    world.write("ann", 0, b"1")
    world.process()
    ran = cli("state", "history", "suppliers/acme", "-o", "json", broker=world.broker)
    refused, rules, accepted = json.loads(ran.out)["events"]
    assert (refused["verdict"], rules["kind"], accepted["verdict"]) == (
        "refused", "rules", "accepted",
    )  # fmt: skip
    assert "add one for its prefix by `mesh policy apply`" in refused["reason"]
