"""Standing in words, and the check of what is written against the log."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mesh.cli import standings
from mesh.core.accounts import Accounts
from mesh.core.ledger import Ledger
from mesh.core.standing import UNIT, Standing, Tally
from mesh.ports import Place
from mesh.processor.inputs import read_fact
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from tests.unit.cli.conftest import Cli, Recorded, copied

AUDIT, STANDING = topics.audit("test"), topics.standing("test")


def folded(broker: MemoryBroker) -> list[Standing]:
    """Fold the audit stream as the processor does."""
    found = []
    for partition in range(len(broker.partitions(AUDIT))):
        accounts, ledger = Accounts(partition), Ledger()
        for own in broker.records(AUDIT):
            if own.partition == partition:
                record = read_fact(own)
                accounts.see(record, ledger, ledger.add(record))
        found += [accounts.standing(agent) for agent in accounts.agents]
    return found


def write(broker: MemoryBroker, written: Standing) -> None:
    place = Place(STANDING, written.partition)
    broker.partition(place).append(5, written.agent.encode(), encode_entry(written), ())


@pytest.fixture
def broker(recorded: Recorded) -> MemoryBroker:
    broker = copied(recorded.broker)
    for own in folded(broker):
        write(broker, own)
    return broker


# --- shown --------------------------------------------------------------------------------------


def test_a_tally_in_words() -> None:
    told = Tally(
        *("risk.screen", 9),
        offered=3,
        won=12,
        own=2,
        finished=8,
        failed=1,
        lapsed=1,
        conflicts=1,
        work_ms=16_000,
        bid_micro_usd=400_000,
        spent_micro_usd=380_000,
        good=8 * UNIT,
        bad=UNIT,
    )
    assert list(standings.lines([told, Tally("risk.other", won=1)])) == [
        (
            "risk.screen 0.9: 3 bids, 12 won (2 from itself), 8 finished, 1 failed, 1 lapsed (died "
            "or too late), 1 conflict over shared state, 2.00 s each, "
            "bid $0.40 for what then cost $0.38"
        ),
        "risk.other new: 1 won",
    ]
    assert list(standings.lines([])) == ["nothing yet"]
    assert standings.brief([told], ["risk.other", "risk.screen"]) == "new, 0.9"
    assert standings.done([told, Tally("risk.other", won=1)]) == "8/13"
    shape = standings.shape(told)
    assert (shape["standing"], shape["good"], shape["finished"]) == (0.9, 8.0, 8)


def test_agents_show_what_they_have_done(cli: Cli, broker: MemoryBroker) -> None:
    shape = json.loads(cli("agents", "-o", "json", broker=broker).out)
    did = {own["agent"]: own["standing"] for own in shape}
    assert sum(own["finished"] for every in did.values() for own in every) > 0
    ran = cli("agents", "desk", broker=broker)
    assert "what it has done" in ran.out
    assert "finished" in ran.out
    assert "standing" in cli("agents", broker=broker).out


def test_a_mesh_without_the_topic_says_so(cli: Cli, recorded: Recorded) -> None:
    ran = cli("agents", broker=copied(recorded.broker, without=STANDING))
    assert ran.code == 0
    assert "`mesh topics apply` creates it" in ran.err


def test_what_cannot_be_read_is_told(cli: Cli, broker: MemoryBroker) -> None:
    broker.partition(Place(STANDING, 0)).append(5, b"desk", b"junk", ())
    assert "cannot be read" in cli("agents", broker=broker).err


# --- checked ------------------------------------------------------------------------------------


def test_what_is_written_is_what_the_log_makes(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("agents", "--verify", broker=broker)
    assert ran.code == 0, ran.err
    assert f"{len(folded(broker))} entries of test.standing compared: no difference" in ran.out
    checks = json.loads(cli("agents", "--verify", "-o", "json", broker=broker).out)
    assert sum(own["entries"] for own in checks) == len(folded(broker))


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("won", "won is written as"),
        ("good", "good is written as"),
        ("capability", "it is not written"),
    ],
)
def test_a_figure_that_the_log_does_not_make_is_found(
    cli: Cli, broker: MemoryBroker, field: str, what: str
) -> None:
    first = folded(broker)[0]
    (tally, *rest) = first.tallies
    wrong: Any = "x.y" if field == "capability" else getattr(tally, field) + 1
    false = replace(first, tallies=(tally._replace(**{field: wrong}), *rest))
    other = copied(broker, without=STANDING)
    other.create_topic(next(own for own in topics.plans("test") if own.name == STANDING))
    write(other, false)
    ran = cli("agents", "--verify", broker=other)
    assert ran.code == 5
    assert what in ran.out
    assert "must not be trusted" in ran.err


def test_a_version_that_no_fact_has_is_found(cli: Cli, broker: MemoryBroker) -> None:
    first = folded(broker)[0]
    write(broker, replace(first, tallies=(first.tallies[0]._replace(version=10**6),)))
    ran = cli("agents", "--verify", broker=broker)
    assert ran.code == 5
    assert "no fact ends at its version, 1000000" in ran.out


def test_what_is_not_written_yet_is_no_difference(cli: Cli, recorded: Recorded) -> None:
    ran = cli("agents", "--verify", broker=copied(recorded.broker))
    assert ran.code == 0
    assert "not written yet" in ran.out


def test_of_what_is_gone_nothing_can_be_said(cli: Cli, broker: MemoryBroker) -> None:
    first = folded(broker)[0]
    broker.partition(Place(AUDIT, first.partition)).trim(3)
    ran = cli("agents", "--verify", broker=broker)
    assert ran.code == 0
    assert "cannot be checked" in ran.out


def test_all_agents_are_checked(cli: Cli, broker: MemoryBroker) -> None:
    assert cli("agents", "desk", "--verify", broker=broker).code == 2
