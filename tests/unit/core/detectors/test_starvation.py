"""Starvation: who waits in vain is found, who only waits is not."""

from __future__ import annotations

from mesh.core.detectors.limits import LimitTable
from mesh.core.detectors.starvation import FEW, Starvation, Waiting, lacking
from mesh.core.effects import Position
from mesh.core.registry import CardState, Directory
from tests.unit.core.detectors.staff import alive, card

AT = Position("tasks.tax.check", 2, 7)
WAITS = Waiting("tax.check", 3, AT)
LIMIT_MS = 60_000


def directory(*agents: str, state: CardState = CardState.ACTIVE) -> Directory:
    made = Directory()
    for agent in agents:
        assert made.see_card(agent, card(agent, "tax.check", state=state)) == ""
    return made


def test_a_task_that_nobody_takes_is_found_once() -> None:
    starvation, nobody = Starvation(), directory("clerk")
    assert starvation.look(0, [WAITS], nobody) == []
    assert starvation.look(LIMIT_MS - 1, [WAITS], nobody) == []
    (incident,) = starvation.look(LIMIT_MS, [WAITS], nobody)
    assert (incident.kind, incident.workflow, incident.evidence) == ("starvation", "", (AT,))
    assert (incident.seen, incident.limit) == (LIMIT_MS, LIMIT_MS)
    assert incident.text == (
        "3 tasks wait for tax.check, and nobody is alive who serves it (it is offered by clerk); "
        "so it has been for 60 s. The oldest is record 2/7 of tasks.tax.check: start an agent that "
        "serves it, or they expire."
    )
    assert starvation.look(2 * LIMIT_MS, [WAITS], nobody) == []
    assert repr(starvation) == "Starvation(1 wait, 1 told)"


def test_another_watchman_gives_it_the_same_name_and_a_later_wait_another() -> None:
    def found(waiting: Waiting) -> list[str]:
        starvation = Starvation()
        starvation.look(0, [waiting], directory())
        return [own.id for own in starvation.look(LIMIT_MS, [waiting], directory())]

    later = WAITS._replace(oldest=AT._replace(offset=8))
    assert found(WAITS) == found(WAITS._replace(records=9)) != found(later)


def test_it_is_told_again_where_it_began_again() -> None:
    starvation, nobody = Starvation(), directory()
    starvation.look(0, [WAITS], nobody)
    assert len(starvation.look(LIMIT_MS, [WAITS], nobody)) == 1
    assert starvation.look(LIMIT_MS + 1, [], nobody) == []
    later = WAITS._replace(oldest=AT._replace(offset=8), records=1)
    assert starvation.look(LIMIT_MS + 2, [later], nobody) == []
    (again,) = starvation.look(3 * LIMIT_MS, [later], nobody)
    assert again.text.startswith("1 task waits for tax.check, and no card in the registry")


def test_an_instance_that_comes_back_in_time_ends_the_wait() -> None:
    starvation, staffed = Starvation(), directory("clerk")
    starvation.look(0, [WAITS], staffed)
    staffed.see_presence("clerk-1", alive("clerk", "tax.check"), 0)
    assert starvation.look(50_000, [WAITS], staffed) == []
    staffed.see_presence("clerk-1", None, 0)
    assert starvation.look(LIMIT_MS, [WAITS], staffed) == []
    assert starvation.look(LIMIT_MS + 50_000, [WAITS], staffed) == []


def test_whoever_takes_one_moves_the_wait() -> None:
    starvation, nobody = Starvation(), directory()
    for turn in range(10):
        waiting = WAITS._replace(oldest=AT._replace(offset=turn))
        assert starvation.look(turn * 30_000, [waiting], nobody) == []


def test_the_limit_is_a_setting_of_the_capability() -> None:
    starvation = Starvation(LimitTable(capabilities={"tax.check": {"starved_ms": 1_000}}))
    starvation.look(0, [WAITS], directory())
    assert len(starvation.look(1_000, [WAITS], directory())) == 1


def test_what_is_lacking_is_said() -> None:
    assert lacking(directory(), "tax.check") == "no card in the registry offers it"
    retired = directory("clerk", "auditor", state=CardState.RETIRED)
    assert lacking(retired, "tax.check") == (
        "the agents that offer it are retired (auditor, clerk)"
    )
    assert lacking(retired, "tax.pay") == "no card in the registry offers it"
    many = directory(*(f"clerk-{number}" for number in range(FEW + 2)))
    said = lacking(many, "tax.check")
    assert said is not None
    assert said.endswith("clerk-3, clerk-4 and 2 more)")


def test_where_somebody_is_alive_nothing_is_lacking() -> None:
    staffed = directory("clerk")
    staffed.see_presence("clerk-1", alive("clerk", "tax.check"), 0)
    assert lacking(staffed, "tax.check") is None


def test_whoever_leaves_serves_no_more() -> None:
    staffed = directory("clerk")
    staffed.see_presence("clerk-1", alive("clerk", "tax.check", draining=True), 0)
    assert lacking(staffed, "tax.check") is not None
