"""Other people's runs become workflows in which loops and stalls can be found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh.core.detectors.limits import LimitTable
from mesh.core.facts import StepFinished, TaskOpened
from tests.detection import measure
from tests.detection.importers import TERMINAL, Run
from tests.detection.story import Story

PAGE = Path(__file__).resolve().parents[2] / "docs" / "detection.md"
TIGHT = measure.limits(1)


def run(messages: list[dict[str, Any]], *, tools: bool, **other: Any) -> Run:
    basis = {"name": "sample", "failed": False, "cut": False, "labelled": None}
    return Run(messages=messages, tools=tools, **{**basis, **other})


def call(number: int, answer: str, given: str = '{"order": 1}') -> list[dict[str, Any]]:
    function = {"name": "cancel", "arguments": given}
    return [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": number, "function": function}],
        },
        {"role": "tool", "tool_call_id": number, "content": answer},
    ]


TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Cancel it."},
    *call(1, "Error: not pending"),
    {"role": "assistant", "content": "It cannot be cancelled."},
    {"role": "user", "content": "Do it all the same."},
    *call(2, "Error: not pending", '{"order": 2}'),
    {"role": "assistant", "content": "It really cannot."},
]


def kinds(story: Story, kind: type) -> int:
    return sum(isinstance(record.fact, kind) for record in story.records)


def test_a_run_with_tools_becomes_steps_and_handovers() -> None:
    story = run(TALK, tools=True).story(LimitTable())
    steps = [own.fact for own in story.records if isinstance(own.fact, StepFinished)]
    assert [(step.name, step.error) for step in steps] == [("cancel", "Error: not pending")] * 2
    assert kinds(story, TaskOpened) == 1 + 1
    assert story.found == []


def test_a_call_that_fails_again_is_found_under_tight_limits() -> None:
    assert "retry-storm" in run(TALK, tools=True).story(TIGHT).kinds


def chat(*said: tuple[str, str]) -> Run:
    return run(
        [{"name": name, "role": "user", "content": text} for name, text in said], tools=False
    )


def test_a_group_chat_becomes_turns_and_a_terminal() -> None:
    story = chat(
        ("Expert", "print(1)"),
        (TERMINAL, "exitcode: 0 (execution succeeded)\nCode output: 1"),
        ("Checker", "It is 1."),
        (TERMINAL, "There is no code from the last 1 message for me to execute."),
    ).story(LimitTable())
    steps = [own.fact for own in story.records if isinstance(own.fact, StepFinished)]
    assert [bool(step.error) for step in steps] == [False, True]
    assert kinds(story, TaskOpened) == 1 + 2


def test_experts_who_say_the_same_again_are_found_under_tight_limits() -> None:
    talk = [("Ann", "After you."), ("Bob", "No, after you.")] * 4
    assert chat(*talk).story(TIGHT).kinds >= {"ping-pong"}


def test_scores_are_counted_right() -> None:
    runs = [
        run(TALK, tools=True, failed=True, labelled=True),
        run(TALK[:4], tools=True, failed=False, labelled=False),
        run(TALK[:4], tools=True, failed=True),
    ]
    rows = {(own.judge, own.label): own for own in measure.scores(runs)}
    tight = rows["detectors, at most 1", "failed"]
    assert (tight.runs, tight.true, tight.found, tight.both) == (3, 2, 1, 1)
    assert (tight.precision, tight.recall) == ("1.00", "0.50")
    loose = rows["detectors, as they are", "a person says so"]
    assert (loose.runs, loose.precision, loose.recall) == (2, "-", "0.00")
    assert rows[measure.BASELINE, "failed"].found == 1
    assert ("detectors, as they are", "cut off") not in rows


def test_the_page_has_the_figures_that_are_measured() -> None:
    page = PAGE.read_text("utf-8")
    if gone := measure.missing():
        print(f"the runs are not here ({', '.join(gone)}): the figures of the page are not checked")
        assert "python -m tests.detection.measure" in page
    else:
        assert measure.table() in page
