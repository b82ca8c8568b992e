from __future__ import annotations

from mesh.core import facts as f
from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.values import Cause, Status, Wait
from mesh.dashboard.rows import Row, Rows
from tests.simulation.scribe import ANN, ROOT, Scribe, terms
from tests.unit.dashboard.logs import modelled


def put(rows: Rows, ledger: Ledger, name: str, at_ms: int, parent: str = "") -> Row:
    """Open a task that counts, by hand."""
    log = Scribe()
    log.begin()
    opened = log.opened(
        task=name, workflow=parent or name, parent=parent, step="0" if parent else ""
    )
    state = log.task()
    row = rows.opened(0, Record(at_ms, at_ms, 0, opened), opened, state)
    assert row is not None
    return row


def test_whole_workflows_go_the_oldest_first() -> None:
    rows, ledger = Rows(most=3), Ledger()
    for number in range(4):
        root = put(rows, ledger, f"0-{number}", number)
        put(rows, ledger, f"0-{number}-child", number, root.task)
        rows.ended(root, 10 + number, Status.COMPLETED, "")
    assert [own.task for own in rows.roots()] == ["0-3"]
    assert len(rows) == 2
    assert rows.evicted == 3
    assert rows.get("0-0") is None
    assert rows.members("0-0") == []


def test_what_ended_long_ago_goes_and_what_is_open_stays() -> None:
    rows, ledger = Rows(ended_ms=100), Ledger()
    stays = put(rows, ledger, "0-stays", 0)
    for name, at_ms in (("0-old", 10), ("0-new", 111)):
        rows.ended(put(rows, ledger, name, at_ms), at_ms, Status.FAILED, "x" * 999)
    assert [own.task for own in rows.roots()] == ["0-stays", "0-new"]
    assert stays.phase == "working"
    new = rows.get("0-new")
    assert new is not None
    assert (new.phase, new.failures, len(new.reason)) == ("failed", 1, 300)


def test_an_id_that_is_used_again_is_another_workflow() -> None:
    rows, ledger = Rows(), Ledger()
    put(rows, ledger, "0-a", 1)
    put(rows, ledger, "0-a-child", 1, "0-a")
    again = put(rows, ledger, "0-a", 2)
    assert list(rows.roots()) == [again]
    assert rows.members("0-a") == [again]


def test_a_child_of_an_unknown_workflow_is_not_listed() -> None:
    log = Scribe()
    log.begin()
    opened = log.child()
    rows = Rows()
    assert rows.opened(0, Record(0, 0, 0, opened), opened, log.task()) is None


def test_what_waits_for_a_person_is_known_until_it_goes_on() -> None:
    log = Scribe()
    log.begin()
    waits = (Wait("0", "person", "", 0, "is it paid?"), Wait("", "halt", "", 0, "agent/ann"))
    assert not log.write(log.suspended(waiting_for=waits))
    model = modelled(log)
    [row] = model.rows.waiting.values()
    assert row.waits() == ["is it paid?", "agent/ann is halted"]
    assert not log.write(log.awarded(terms(ANN, 2, Cause.RESUMED)), after_ms=5)
    assert modelled(log).rows.waiting == {}


def test_a_sleeping_task_needs_nobody() -> None:
    log = Scribe()
    log.begin()
    assert not log.write(log.suspended(waiting_for=(Wait("0", "sleep", "", 99_000, ""),)))
    model = modelled(log)
    assert model.rows.waiting == {}
    root = model.root(ROOT)
    assert root is not None
    assert (root.phase, root.waits()) == ("suspended", [])


def test_the_end_of_a_task_ends_what_is_below_it() -> None:
    log = Scribe()
    log.begin()
    assert not log.open_child()
    assert not log.write(log.finished(spent=log.ledger.cost(log.task())))
    model = modelled(log)
    child = model.rows.get(log.child_name())
    assert child is not None
    assert (child.phase, child.reason) == ("cancelled", "its parent ended")
    root = model.root(ROOT)
    assert root is not None
    assert (root.phase, root.tasks, root.failures) == ("completed", 2, 1)
    assert isinstance(log.records[-1].fact, f.WorkFinished)
