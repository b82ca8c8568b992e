from __future__ import annotations

import io

from rich.console import Console, RenderableType

from mesh.cli.picture import picture, reasons, sign
from mesh.core.values import Wait
from mesh.telling.reasons import Explanation, Reason, explain
from mesh.telling.story import Chronicle, tell
from tests.simulation.scribe import BOB, ROOT, Scribe
from tests.unit.cli import sharing
from tests.unit.cli.conftest import Recorded


def drawn(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=200, no_color=True)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def chronicle_of(recorded: Recorded, item: str) -> tuple[Chronicle, int]:
    workflow = recorded.workflows[item]
    partition, records = recorded.records(workflow)
    chronicle = Chronicle(workflow)
    for record in records:
        chronicle.add(record)
    return chronicle, partition


def shown(recorded: Recorded, item: str, *, wide: bool = False) -> str:
    chronicle, partition = chronicle_of(recorded, item)
    story = tell(chronicle, partition)
    assert story is not None
    return drawn(picture(story, wide=wide))


def test_who_did_what_who_else_bid_and_what_was_tried_again(recorded: Recorded) -> None:
    text = shown(recorded, "chair")
    head, *rest = text.splitlines()
    assert head.startswith(("✓ 0-", "✓ 1-"))
    assert "completed in " in head
    assert "$0.05" in head
    assert "2 tasks" in head
    body = "\n".join(rest)
    assert "✓ office.order  desk" in body
    assert "✓ office.quote  bob" in body
    assert "→ sent back: no seller named" in body
    assert "again, the result was sent back" in body
    assert "ann: $0.10, 2.00 s, confidence 0.9, standing 0.5 → score" in body
    assert "spent $0.02: compare the prices" in body
    assert "decided buy because bob is good enough" in body
    assert "tool post" in body
    assert "evidence" not in body


def test_wide_has_coordinates_and_evidence(recorded: Recorded) -> None:
    narrow, wide = shown(recorded, "table"), shown(recorded, "table", wide=True)
    assert len(wide) > len(narrow)
    assert "award 1 to desk.1 (direct) at " in wide
    assert "bob: declined: no tables" in wide


def test_a_failure_and_a_sleeper(recorded: Recorded) -> None:
    failed = shown(recorded, "ghost")
    assert failed.startswith("✗ ")
    assert "failed" in failed.splitlines()[0]
    sleeping = shown(recorded, "later")
    assert sleeping.startswith("… ")
    assert "suspended for " in sleeping.splitlines()[0]
    assert "sleep sleep  not finished" in sleeping


def test_what_nobody_took_yet_waits_visibly() -> None:
    log = Scribe()
    assert not log.take()
    assert not log.open_root()
    chronicle = Chronicle(ROOT)
    for record in log.records:
        chronicle.add(record)
    opened = chronicle.states[ROOT].opened
    story = tell(chronicle, 0, opened.deadline_ms - 30_000)
    assert story is not None
    assert "nobody yet" in drawn(picture(story))
    assert "open, waits for a worker; expires in 30.00 s" in drawn(picture(story))


def test_what_waits_for_a_person_what_was_cancelled_and_what_is_void() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished(by=BOB))
    log.write(log.begun("0"))
    log.write(log.suspended(waiting_for=(Wait("0", "person", "", 0, "was it paid?"),)))
    chronicle = Chronicle(ROOT)
    for record in log.records:
        chronicle.add(record)
    story = tell(chronicle, 0)
    assert story is not None
    text = drawn(picture(story))
    assert "parked, a person must look: was it paid?. End it with `mesh cancel`" in text
    assert "1 record did not count" in text
    assert "goal: test" in text


def test_reasons_show_rule_figures_and_coordinates(recorded: Recorded) -> None:
    chronicle, partition = chronicle_of(recorded, "chair")
    told = explain(chronicle, list(chronicle.states)[1], partition)
    assert told is not None
    text = drawn(reasons(told))
    assert f"award at {partition}/" in text
    assert "rule: auction: 400 per mille for price" in text
    assert "measured against $" in text
    assert text.count("recomputed from the log: agrees") == 2
    assert "sent back at " in text


def test_a_budget_is_shown_dimension_by_dimension(recorded: Recorded) -> None:
    chronicle, partition = chronicle_of(recorded, "gold")
    told = explain(chronicle, chronicle.workflow, partition)
    assert told is not None
    text = drawn(reasons(told))
    assert "reserve before you spend" in text
    assert "micro_usd    $2.00" in text


def test_a_disagreement_stands_out_and_no_reason_is_said() -> None:
    wrong = Reason(
        kind="award", where="0/1", at_ms=0, text="t", rule="r", agrees=False, disagreement="bob won"
    )
    told = Explanation(task="0-a", capability="x.y", workflow="0-a", reasons=(wrong,))
    assert "DISAGREES: bob won" in drawn(reasons(told))
    nothing = Explanation(task="0-a", capability="x.y", workflow="0-a", reasons=())
    assert "nothing was awarded or refused yet" in drawn(reasons(nothing))


def test_status_is_never_told_by_colour_alone() -> None:
    assert sign("completed").plain == "✓"
    assert sign("failed").plain == "✗"
    assert sign("working").plain == "…"


async def test_reads_and_writes_are_shown_with_their_versions() -> None:
    chronicle = await sharing.taken()
    story = tell(chronicle, 0)
    assert story is not None
    lines = [line.strip(" │├└─") for line in drawn(picture(story, wide=False)).splitlines()]
    told = [line for line in lines if line.startswith(("read", "write"))]
    assert told[0] == "read stock/desk: version 1 by clerk"
    assert told[1].startswith("write stock/desk: accepted as version 2  ")
    assert told[2].startswith("write stock/desk  ")
    late = "failed: conflict: stock/desk: version 1 was expected, and store wrote version 2 in task"
    assert late in told[2]
    assert told[3] == "read stock/*: version 2 of stock/desk by store"
    assert len(told) == 4


async def test_a_write_that_nobody_judged_yet_is_not_finished() -> None:
    story = tell(await sharing.interrupted(), 0)
    assert story is not None
    assert "write stock/desk  not finished" in drawn(picture(story, wide=False))
