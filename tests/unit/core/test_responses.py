from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core.detectors.watch import BROKEN, all_detectors
from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder, Halts, finding
from mesh.core.responses import (
    DEFAULTS,
    Questions,
    Response,
    Responses,
    answer,
    cancelled,
    halt_for,
)
from mesh.core.settings import MAX_REASON

TARGET = "workflow/0-a"
LOOP = Incident("loop", "0-a", "0-b", "It came back.", id="5f", detector="loop")
ASKED = LOOP._replace(kind="velocity", response="ask", id="a1")


def lifted(halts: Halts, through: int = -1, person: str = "eve") -> HaltOrder:
    order = halts.next_order(TARGET, halted=False, because="it may", person=person, through=through)
    assert halts.see(order)
    return order


def halted(halts: Halts, found: Incident = LOOP, offset: int = 40) -> HaltOrder:
    order = halt_for(found, offset, halts)
    assert order is not None
    assert halts.see(order)
    return order


# --- which response -----------------------------------------------------------------------------


def test_every_detector_has_a_response_and_its_reason() -> None:
    kinds = {own.name for own in all_detectors()} | {BROKEN}
    assert kinds <= DEFAULTS.keys()
    halting = {kind for kind, own in DEFAULTS.items() if own.response is Response.HALT}
    assert halting == {"loop", "ping-pong", "retry-storm", "fan-out", "depth", "no-progress"}
    asking = {kind for kind, own in DEFAULTS.items() if own.response is Response.ASK}
    assert asking == {"velocity", "missed-dependency"}
    assert all(own.reason for own in DEFAULTS.values())


def test_a_policy_says_which_and_what_nobody_names_is_told() -> None:
    policy = Responses(version=3, chosen={"loop": Response.WARN})
    assert policy.to("loop") is Response.WARN
    assert policy.to("depth") is Response.HALT
    assert policy.to("from-tomorrow") is Response.WARN
    told = policy.answered(LOOP)
    assert (told.response, told.policy) == ("warn", 3)
    assert told == LOOP._replace(response="warn", policy=3)


def test_what_has_no_workflow_cannot_be_halted_so_a_person_is_asked() -> None:
    assert Responses().answered(LOOP._replace(workflow="")).response == "ask"
    assert Responses().answered(LOOP).response == "halt"


# --- whether to halt ----------------------------------------------------------------------------


def test_an_order_names_its_finding_and_how_far_its_author_looked() -> None:
    halts = Halts()
    order = halted(halts, LOOP._replace(text="x" * 9_000))
    assert (order.target, order.halted, order.number) == (TARGET, True, 1)
    assert (order.detector, order.person, order.incident) == ("loop", "", "5f")
    assert (order.through, order.because) == (41, "x" * MAX_REASON)


def test_what_is_halted_is_not_halted_again() -> None:
    halts = Halts()
    halted(halts)
    assert halt_for(LOOP._replace(id="60"), 90, halts) is None


def test_what_a_person_lifted_is_not_halted_by_what_was_found_before() -> None:
    halts = Halts()
    halted(halts)
    lifted(halts, through=60)
    for offset in (40, 59):
        assert halt_for(LOOP, offset, halts) is None
        assert halt_for(LOOP._replace(id="60"), offset, halts) is None
    again = halt_for(LOOP, 60, halts)
    assert again is not None
    assert (again.number, again.halted) == (3, True)


def test_a_lift_that_does_not_say_how_far_deals_with_nothing() -> None:
    halts = Halts()
    halted(halts)
    lifted(halts)
    assert halt_for(LOOP, 40, halts) is not None


def test_only_the_latest_order_is_needed_as_compaction_leaves_it() -> None:
    whole, compacted = Halts(), Halts()
    halted(whole)
    compacted.see(lifted(whole, through=60))
    for offset in (0, 59, 60, 99):
        assert halt_for(LOOP, offset, compacted) == halt_for(LOOP, offset, whole)


def test_of_two_that_race_the_first_in_the_log_has_the_number() -> None:
    one, two, reader = Halts(), Halts(), Halts()
    first, second = halted(one), halted(two, LOOP._replace(id="60"), 44)
    assert [reader.see(first), reader.see(second)] == [True, False]
    assert reader.in_force(TARGET) == first
    ahead = Halts()
    word = lifted(ahead, through=60)
    assert [ahead.see(second), ahead.orders[TARGET]] == [False, word]


# --- what waits for a person --------------------------------------------------------------------


def seen(*entries: Incident) -> Questions:
    questions = Questions()
    for own in entries:
        questions.see(own)
    return questions


def test_what_asks_is_open_until_it_is_answered() -> None:
    told = LOOP._replace(response="halt")
    questions = seen(told, ASKED, ASKED._replace(text="a copy"))
    assert questions.open() == [ASKED]
    assert repr(questions) == "Questions(1 open, 0 answered)"
    given = answer(ASKED, person="eve", because="it is month's end")
    assert (given.kind, given.person, given.answers) == ("answer", "eve", "a1")
    assert (given.workflow, given.task, given.id) == ("0-a", "0-b", "")
    questions.see(given)
    questions.see(answer(ASKED, person="bob", because="no"))
    questions.see(ASKED)
    assert questions.open() == []
    assert questions.answers == {"a1": given}


@pytest.mark.parametrize("found", [ASKED._replace(id=""), ASKED._replace(response="warn")])
def test_what_does_not_ask_waits_for_nobody(found: Incident) -> None:
    assert seen(found).open() == []


def test_who_halts_or_cancels_a_workflow_has_answered_what_was_asked_about_it() -> None:
    other = ASKED._replace(workflow="0-z", id="a2")
    halts = Halts()
    order = halts.next_order(TARGET, halted=True, because="no", person="eve")
    for ends in (finding(order), cancelled("0-a", person="eve", because="no")):
        questions = seen(ASKED, other, ends, ASKED._replace(id="a3"))
        assert [own.id for own in questions.open()] == ["a2", "a3"]
        assert questions.answers == {"a1": ends}
    detector = replace(order, person="", detector="loop")
    lift = replace(order, halted=False)
    assert len(seen(ASKED, finding(detector), finding(lift)).open()) == 1
