from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.facts import Record
from mesh.core.values import Wait
from mesh.telling.reasons import Explanation, dimensions, explain
from mesh.telling.story import Chronicle
from tests.simulation.scribe import BOB, ROOT, Scribe
from tests.unit.cli.conftest import Recorded


def chronicle_of(workflow: str, records: list[Record]) -> Chronicle:
    chronicle = Chronicle(workflow)
    for record in records:
        chronicle.add(record)
    return chronicle


def explained(recorded: Recorded, item: str, *, child: bool = False) -> Explanation:
    workflow = recorded.workflows[item]
    partition, records = recorded.records(workflow)
    chronicle = chronicle_of(workflow, records)
    task = list(chronicle.states)[1] if child else workflow
    found = explain(chronicle, task, partition)
    assert found is not None
    return found


def test_an_award_by_auction_is_recomputed_with_its_points(recorded: Recorded) -> None:
    found = explained(recorded, "chair", child=True)
    first, sent_back, second = found.reasons
    assert (first.kind, first.agrees) == ("award", True)
    assert first.means is not None
    won, lost = first.points
    assert won.offer.agent == "ann"
    assert won.score == won.offer.score_permille
    assert (400 * won.price + 300 * won.time + 300 * won.trust) // 1_000 == won.score
    assert lost.score < won.score
    assert sent_back.kind == "sent back"
    assert "no seller named" in sent_back.text
    assert (second.kind, second.agrees) == ("award", True)
    assert found.agrees
    assert found.awards == 2


def test_a_declined_bid_has_no_points(recorded: Recorded) -> None:
    (award,) = explained(recorded, "table", child=True).reasons
    assert [(own.offer.agent, own.score) for own in award.points][1] == ("bob", 0)
    assert award.points[1].offer.declined == "no tables"


def test_an_exhausted_budget_is_told_with_its_figures(recorded: Recorded) -> None:
    found = explained(recorded, "gold")
    budgets = [own for own in found.reasons if own.kind == "budget"]
    assert budgets
    books = budgets[0].books
    assert books is not None
    assert books.total.micro_usd == 2_000_000
    parts = books.spent.micro_usd + books.reserved.micro_usd + books.granted.micro_usd
    assert parts + books.free.micro_usd == books.total.micro_usd
    assert [name for name, _ in dimensions(books)] == [
        "micro_usd", "tokens", "tool_calls", "hops", "attempts",
    ]  # fmt: skip
    assert found.reasons[-1].kind == "end"
    assert "task failed" in found.reasons[-1].text


def test_an_award_that_does_not_follow_is_found(recorded: Recorded) -> None:
    workflow = recorded.workflows["table"]
    partition, records = recorded.records(workflow)
    forged = [_with_other_winner(record, workflow) for record in records]
    chronicle = chronicle_of(workflow, forged)
    found = explain(chronicle, list(chronicle.states)[1], partition)
    assert found is not None
    assert not found.agrees
    assert found.reasons[0].agrees is False
    assert found.reasons[0].disagreement


def _with_other_winner(record: Record, workflow: str) -> Record:
    fact = record.fact
    if not isinstance(fact, f.TaskAwarded) or fact.workflow != workflow or not fact.award.offers:
        return record
    offers = tuple(own._replace(score_permille=own.score_permille + 1) for own in fact.award.offers)
    return record._replace(fact=replace(fact, award=replace(fact.award, offers=offers)))


def test_what_is_void_is_explained_by_the_verdict_of_the_ledger() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished(by=BOB))
    found = explain(chronicle_of(ROOT, log.records), ROOT, 4)
    assert found is not None
    refused = found.reasons[-1]
    assert (refused.kind, refused.where) == ("refused", f"4/{log.last}")
    assert refused.text.startswith("WorkFinished of bob-1/1 is void: the authority is ann-1's")


@pytest.mark.parametrize("note", ["was it paid?"])
def test_a_parked_task_and_a_declined_award(note: str) -> None:
    log = Scribe()
    log.begin()
    assert not log.write(log.begun("0"))
    assert not log.write(log.done("0", error="ToolFailed: gone"))
    assert not log.write(log.suspended(waiting_for=(Wait("1", "person", "", 0, note),)))
    found = explain(chronicle_of(ROOT, log.records), ROOT, 0)
    assert found is not None
    assert [own.kind for own in found.reasons] == ["award", "failed", "parked"]
    assert found.reasons[-1].text == note


def test_a_decline_is_a_reason_and_an_unknown_task_has_none() -> None:
    log = Scribe()
    log.begin()
    assert not log.write(f.AwardDeclined(**log.work(), reason="full"))
    chronicle = chronicle_of(ROOT, log.records)
    found = explain(chronicle, ROOT, 0)
    assert found is not None
    assert found.reasons[-1].text == "award declined: full"
    assert explain(chronicle, "0-nobody", 0) is None


def test_an_input_that_does_not_fit_is_told_with_the_rule_of_inputs() -> None:
    log = Scribe()
    assert not log.take()
    assert not log.open_root()
    assert not log.write(f.TaskRejected(**log.rule(), reason="no integer", field="/qty"))
    found = explain(chronicle_of(ROOT, log.records), ROOT, 0)
    assert found is not None
    (end,) = found.reasons
    assert (end.kind, end.text) == ("end", "task rejected at /qty: no integer")
    assert end.rule.startswith("input: ")
