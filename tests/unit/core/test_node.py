"""A node takes every input at any time, and says what is to be done in its order."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.ledger import Ledger
from mesh.core.node import EXPIRE_MS
from mesh.core.registry import PRESENCE_MS
from mesh.core.values import Holder, Mode
from tests.unit.core.fleet import PART, ROOTS, START_MS, Fleet, Peer, boss_and, decide, request


def worked() -> tuple[Fleet, Peer, str]:
    fleet, (boss,) = boss_and()
    return fleet, boss, boss.submit()


# --- totality -----------------------------------------------------------------------------------


def test_every_input_and_every_message_has_its_place() -> None:
    _, boss, _ = worked()
    assert set(boss.node._handlers) == set(get_args(i.Input))
    # a verdict is for the step that waits for it: the shell hands it over
    assert set(boss.node._messages) == set(get_args(m.Content)) - {m.Judged}


def late(boss: Peer, task: str) -> list[i.Input]:
    """Return inputs that are about nothing that the node has in hand."""
    record = f.Record(0, 0, 0, f.LeaseRenewed(by=boss.me, awards=()))
    return [
        i.PartitionRevoked(ROOTS._replace(partition=9), lost=False),
        i.Submitted(ROOTS._replace(partition=9), 0, 0, request()),
        i.Skipped(ROOTS._replace(partition=9), 0),
        i.Appended(99, record),
        i.LogRead(99, Ledger()),
        i.CardSeen("eve", None),
        i.PresenceSeen("eve-1", None, 0),
        i.Tick(),
        c.Called(task, 99, decide()),
        c.HandlerStopped(task, 99),
    ]


def test_what_is_about_nothing_changes_nothing() -> None:
    fleet, boss, task = worked()
    before = fleet.story()
    for given in late(boss, task):
        boss.give(given)
    assert fleet.story() == before
    boss.finish(task)
    assert fleet.end(task)


def test_the_same_inputs_have_the_same_effects() -> None:
    stories = []
    for _ in range(2):
        fleet, (boss, ann) = boss_and("ann")
        root = boss.submit()
        task = boss.delegate(root, mode=Mode.AUCTION)
        ann.die()
        fleet.wait(30_000)
        stories.append([fleet.logs[0].records, boss.messages, boss.told, task])
    assert stories[0] == stories[1]


def test_time_never_goes_back() -> None:
    fleet, (boss,) = boss_and()
    boss.node.receive(i.Tick(), fleet.now_ms - 500)
    assert boss.node.desk.now_ms == fleet.now_ms


def test_effects_depend_on_reports_that_came_before() -> None:
    fleet, boss, _ = worked()
    ann = fleet.join("ann", PART)
    step = boss.node.receive(c.Called(*boss.works.popitem()[1][1:3], decide()), fleet.now_ms)
    assert len(step.appends) == 1
    assert not step.messages
    assert not step.handlers
    assert not ann.works


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", [Holder("boss-2", 1), Holder("boss-1", 2), Holder("boss-1", 0), Holder("", -1)]
)
def test_a_message_for_another_is_refused(to: Holder) -> None:
    fleet, boss, _ = worked()
    ann = fleet.join("ann", PART)
    cancel = m.Cancel(workflow="0-a", task="0-a", award=1, because="", person="")
    ann.send(boss, cancel, to)
    assert boss.refusals == [f"it is for {to.instance} in incarnation {to.incarnation}"]
    (refusal,) = boss.said(e.Refusal)
    assert (refusal.sender, refusal.message) == ("ann-1", "Cancel")


def test_a_message_for_any_incarnation_is_taken() -> None:
    fleet, boss, task = worked()
    cancel = m.Cancel(workflow=task, task=task, award=-1, because="enough", person="eve")
    boss.send(boss, cancel, Holder("boss-1", -1))
    assert fleet.end(task).status == "cancelled"


# --- the fleet ----------------------------------------------------------------------------------


def test_a_card_that_may_not_be_is_an_incident() -> None:
    fleet, (boss, ann) = boss_and("ann")
    boss.give(i.CardSeen("ann", replace(ann.card, version="0.9")))
    (incident,) = boss.said(e.Incident)
    assert incident.kind == "registry"
    assert "would go back" in incident.text
    known = boss.node.desk.directory.card("ann")
    assert known is not None
    assert known.version == "1.0"
    assert fleet.facts(f.SupervisionTaken)


def test_who_fell_silent_is_not_asked_any_more() -> None:
    fleet, (boss, ann) = boss_and("ann")
    ann.die()
    fleet.wait(PRESENCE_MS + 2 * EXPIRE_MS)
    assert boss.node.desk.directory.presence("ann-1") is None
    assert boss.node.desk.directory.presence("boss-1") is not None


# --- what a node shows --------------------------------------------------------------------------


def test_a_node_shows_itself() -> None:
    _, boss, task = worked()
    assert repr(boss.node) == "Node(boss-1/1 jobs=1 watches=1 tenures=1)"
    assert boss.node.load == 1
    assert not boss.node.idle
    boss.finish(task)
    assert boss.node.load == 0
    assert not boss.node.idle, "it has a partition"
    boss.disowns()
    assert boss.node.idle


def test_a_node_says_when_to_call_it_again() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    assert boss.node.next_deadline() == START_MS + EXPIRE_MS


def test_who_drains_takes_nothing_new_and_gives_up_what_it_has() -> None:
    fleet, (boss,) = boss_and()
    other = fleet.join("boss", ROOTS.capability)
    task = boss.submit()
    boss.give(i.Drain())
    assert [one.why for one in boss.heard(c.Stop)] == ["suspended"]
    assert other.works[task].attempt == 1
    assert boss.node.load == 0
    assert task in boss.node.supervisor.watches, "it supervises on, until its partition is taken"
    boss.disowns()
    assert boss.node.idle
    assert fleet.story()[-1] == "SupervisionReleased boss-1"
