from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.cli.adopting import Policies, adopt
from mesh.cli.failures import CommandError
from mesh.cli.keeping import StateReader
from mesh.cli.output import Out
from mesh.cli.policies import Held, Plan
from mesh.core.keys import NO_RULES, Rules
from mesh.core.shared import RulesAdopted
from mesh.errors import TransportError, UsageError, WrongTopic
from mesh.ports import Place
from mesh.transport.memory import Appending, Fate, MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import PolicyDocument, decode_policy, encode_entry
from mesh.wire.policies import NAME, parse
from mesh.wire.state import decode_proposal
from tests.unit.cli.shared_world import CHANGES, MESH, REJECT, SharedWorld
from tests.unit.cli.test_keeping import CONFIG, reading
from tests.unit.cli.test_policies import RULES, TEXT

POLICY = topics.policy(MESH)
OTHER = Rules(2, ("speed",))


def with_policies(broker: MemoryBroker, work: Any) -> Any:
    async def run(reader: StateReader) -> Any:
        return await work(Policies(reader.log, CONFIG, Out(quiet=True)))

    return reading(broker, run)


def apply(broker: MemoryBroker) -> Plan:
    async def work(policies: Policies) -> Plan:
        made = await policies.plan(parse(TEXT, "here"))
        await policies.apply(made, TEXT, "eve", "so")
        return made

    found: Plan = with_policies(broker, work)
    return found


def held(broker: MemoryBroker) -> Held:
    found: Held = with_policies(broker, lambda policies: policies.held())
    return found


def test_the_document_and_every_partition_are_told() -> None:
    world = SharedWorld()
    apply(world.broker)
    (record,) = world.broker.records(POLICY)
    assert record.key == NAME.encode()
    document = decode_policy(record.value)
    assert document == PolicyDocument("mesh", 2, TEXT, "eve", "so")
    assert [own.partition for own in world.broker.records(CHANGES)] == [0, 1]
    for own in world.broker.records(CHANGES):
        adopted = RulesAdopted(rules=RULES, person="eve", because="so")
        assert decode_proposal(own.value) == adopted
    assert held(world.broker) == Held(document, {0: RULES, 1: RULES})
    assert not apply(world.broker).pending
    assert len(world.broker.records(CHANGES)) == 2


def test_what_holds_is_known_from_the_view_where_the_log_is_gone() -> None:
    world = SharedWorld()
    assert held(world.broker) == Held(None, {0: NO_RULES, 1: NO_RULES})
    world.adopt(REJECT)
    world.process()
    for partition in range(2):
        world.broker.trim(Place(CHANGES, partition), 1)
    world.adopt(Rules(1, ("late",)))
    assert held(world.broker).partitions == {0: REJECT, 1: REJECT}


def test_an_interruption_is_made_good_by_the_same_command() -> None:
    world = SharedWorld()

    def fate(appending: Appending) -> Fate:
        return Fate.LOST if appending.place == Place(CHANGES, 1) else Fate.LANDS

    world.broker.fate = fate
    with pytest.raises(TransportError, match="run the same command again"):
        apply(world.broker)
    assert held(world.broker).partitions == {0: RULES, 1: NO_RULES}
    world.broker.fate = lambda _: Fate.LANDS
    made = apply(world.broker)
    assert (made.document, [own.pending for own in made.steps]) == (False, [False, True])
    assert held(world.broker).partitions == {0: RULES, 1: RULES}


def test_of_two_at_once_the_first_holds_and_the_other_is_told() -> None:
    world = SharedWorld()

    def fate(appending: Appending) -> Fate:
        if appending.place == Place(CHANGES, 1):
            world.propose(RulesAdopted(rules=OTHER, person="bob", because="mine"), 1)
        return Fate.LANDS

    world.broker.fate = fate
    with pytest.raises(CommandError, match="another policy meanwhile, and it holds in partition 1"):
        apply(world.broker)
    world = SharedWorld()

    def later(appending: Appending) -> Fate:
        if appending.place == Place(CHANGES, 1):
            text = TEXT.replace("cost", "speed")
            mine = PolicyDocument(NAME, 2, text, "bob", "mine")
            place = Place(POLICY, 0)
            world.broker.partition(place).append(1, b"mesh", encode_entry(mine), ())
        return Fate.LANDS

    world.broker.fate = later
    with pytest.raises(CommandError, match=r"it holds in test\.policy") as e:
        apply(world.broker)
    assert e.value.code == 6


def test_the_largest_version_holds_and_what_is_no_document_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = SharedWorld()
    policy = world.broker.partition(Place(POLICY, 0))
    new = PolicyDocument("mesh", 3, "version = 3", "eve", "so")
    for value in (encode_entry(new), encode_entry(new._replace(version=2)), b"junk"):
        policy.append(1, b"mesh", value, ())
    policy.append(1, b"other", encode_entry(new._replace(name="other", version=9)), ())
    assert held(world.broker).document == new
    assert "the policy at 2 is none: begins with 6a75" in capsys.readouterr().err


def test_a_mesh_that_is_not_there() -> None:
    with pytest.raises(WrongTopic, match=r"no topic test\.policy; choose a mesh with --mesh"):
        held(MemoryBroker(lambda: 0))


# --- at a start -----------------------------------------------------------------------------------


def adopted(broker: MemoryBroker, file: Path) -> str:
    found: str = with_policies(broker, lambda policies: adopt(policies, file))
    return found


def test_a_file_is_brought_into_force_at_a_start_and_once(tmp_path: Path) -> None:
    world = SharedWorld()
    file = tmp_path / "policy.toml"
    file.write_text(TEXT)
    assert adopted(world.broker, file) == f"version 2 of {file}: risk before cost"
    assert held(world.broker).partitions == {0: RULES, 1: RULES}
    count = len(world.broker.records(CHANGES))
    adopted(world.broker, file)
    assert len(world.broker.records(CHANGES)) == count


def test_a_newer_policy_stays_in_force_at_a_start(tmp_path: Path) -> None:
    world = SharedWorld()
    apply(world.broker)
    file = tmp_path / "policy.toml"
    file.write_text("version = 1\n")
    assert adopted(world.broker, file) == f"version 2, which is newer than {file}"
    assert held(world.broker).partitions == {0: RULES, 1: RULES}
    file.write_text("version = 2\n")
    with pytest.raises(UsageError, match="write version = 3"):
        adopted(world.broker, file)
