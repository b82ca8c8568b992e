"""No progress: everything goes on, and nothing new is learnt."""

from __future__ import annotations

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.no_progress import MAX_KNOWN, PACED, NoProgress
from tests.detection.story import SMALL, Story


def begin(**limits: int) -> Story:
    table = LimitTable(mesh=Limits(**{"stale_results": 3, **limits}))
    return Story({"x": 1}, limits=table, detectors=[NoProgress()])


def look(story: Story, times: int, answer: object = "the same") -> None:
    for _ in range(times):
        story.root.calls("look", 1, answer)


def test_known_answers_in_a_row() -> None:
    story = begin()
    look(story, 4)
    assert story.found == []
    look(story, 1)
    (finding,) = story.found
    assert (finding.kind, finding.seen, finding.limit) == ("no-progress", 4, 3)
    assert len(finding.evidence) == 4
    assert finding.text == (
        "lead demo.root asked 4 times in a row for what it had been told already, and was told the "
        "same (3 allowed); the last: tool look."
    )


def test_a_new_answer_starts_anew() -> None:
    story = begin()
    look(story, 4)
    look(story, 1, "something else")
    look(story, 3)
    assert story.found == []
    look(story, 1)
    assert story.kinds == {"no-progress"}


def test_a_new_question_with_an_old_answer_is_progress() -> None:
    story = begin()
    for number in range(20):
        story.root.calls("check", number, "ok")
    assert story.found == []


def test_an_error_is_known_whatever_was_asked() -> None:
    story = begin()
    for number in range(5):
        story.root.calls("check", number, error=f"no luck (attempt {number})")
    assert story.found[0].text.endswith("tool check (no luck (attempt 4)).")


def test_what_was_paid_for_again_counts_more() -> None:
    story = begin(stale_results=9, stale_paid_results=2)
    for _ in range(3):
        story.root.calls("look", 1, "the same", cost=5)
    assert story.found == []
    story.root.calls("look", 1, "the same", cost=5)
    (finding,) = story.found
    assert (finding.seen, finding.limit) == (3, 2)
    assert finding.measure == "answers in a row that were known and paid for again"
    assert "told already, paid for it, and was told the same (2 allowed)" in finding.text


def test_an_error_that_was_paid_for_does_not() -> None:
    story = begin(stale_results=9, stale_paid_results=2)
    for _ in range(6):
        story.root.calls("look", 1, error="no", cost=5)
    assert story.found == []


def test_a_child_that_is_paid_for_counts_more() -> None:
    story = begin(stale_results=9, stale_paid_results=2)
    for _ in range(4):
        assert story.found == []
        part = story.root.asks("demo.check", 1, grant=SMALL)
        part.pays(5)
        part.finishes("the same")
    assert story.kinds == {"no-progress"}


def test_other_words_of_a_model_are_no_progress() -> None:
    story = begin()
    for turn in range(5):
        story.root.thinks({"so far": turn}, {"thought": turn})
        look(story, 1)
    assert story.kinds == {"no-progress"}


def test_a_model_alone_is_never_stuck_while_it_has_new_words() -> None:
    story = begin()
    for turn in range(20):
        story.root.thinks({"so far": turn}, {"thought": turn})
    assert story.found == []


def test_a_new_artifact_is_progress() -> None:
    story = begin()
    for turn in range(20):
        look(story, 1)
        story.root.keeps(f"page {turn}")
    assert story.found == []


def test_what_is_kept_again_decided_and_slept_is_no_answer() -> None:
    story = begin()
    for _ in range(9):
        story.root.keeps("the same")
        story.root.decides("the same")
        story.root.sleeps(10)
        story.root.pays(1)
    assert story.found == []


def test_a_poll_with_a_pause_is_no_stall() -> None:
    story = begin()
    for _ in range(9):
        look(story, PACED)
        story.root.sleeps(1_000)
    assert story.found == []
    look(story, PACED + 4)
    assert story.kinds == {"no-progress"}


def test_a_pause_that_is_too_short_is_none() -> None:
    story = begin()
    for _ in range(9):
        look(story, 1)
        story.root.sleeps(500)
    assert story.kinds == {"no-progress"}


def test_children_s_results_are_answers() -> None:
    story = begin()
    for _ in range(5):
        story.root.gets("demo.check", {"n": 1}, {"ok": True})
    assert story.found[0].text.endswith("the last: demo.check.")


def test_what_was_asked_before_it_was_known_is_no_repeat() -> None:
    story = begin()
    parts = [story.root.asks("demo.check", {"n": 1}, grant=SMALL) for _ in range(9)]
    for part in parts:
        part.finishes({"ok": True})
    assert story.found == []
    for _ in range(4):
        assert story.found == []
        story.root.gets("demo.check", {"n": 1}, {"ok": True})
    assert story.kinds == {"no-progress"}


def test_children_that_fail_alike_teach_nothing() -> None:
    story = begin()
    for number in range(5):
        part = story.root.asks("demo.check", {"n": number}, grant=SMALL)
        part.fails("no")
        part.ends("no attempt left")
    assert story.kinds == {"no-progress"}


def test_other_ends_are_told_apart() -> None:
    story = begin()
    for number in range(3):
        part = story.root.asks("demo.check", {"n": number}, grant=SMALL)
        part.fails("no")
        part.ends(f"reason {'abcdef'[number]}")
    part = story.root.asks("demo.check", {"n": 9}, grant=SMALL)
    part.is_cancelled()
    assert story.found == []


def test_a_stuck_branch_shows_in_a_busy_workflow() -> None:
    story = begin()
    stuck = story.root.asks("demo.stuck", 1, "stuck")
    for turn in range(5):
        stuck.calls("look", 1, "the same")
        story.root.calls("page", turn, turn)
    (finding,) = story.found
    assert finding.text.startswith("stuck demo.stuck asked 4 times")


def test_a_workflow_that_is_stuck_as_a_whole() -> None:
    story = begin()
    for number in range(5):
        story.root.asks("demo.part", number, grant=SMALL).calls("look", 1, "the same")
    (finding,) = story.found
    assert finding.thing == "answers to the workflow"
    assert finding.text.startswith("The whole workflow asked 4 times")


def test_nobody_is_named_where_nobody_was_awarded() -> None:
    story = begin()
    state = story.root.state
    state.terms = None
    look(story, 5)
    assert story.found[0].text.startswith("nobody demo.root asked")


def test_what_was_known_too_long_ago_is_new_again() -> None:
    story = begin(stale_results=1)
    for number in range(3):
        look(story, 1, number)
    look(story, 1)
    (detector,) = story.watch.detectors
    assert isinstance(detector, NoProgress)
    known = detector._workflows["0-root"].known
    known.update({str(number): 0 for number in range(MAX_KNOWN)})
    story.root.calls("page", 1, 1)
    assert len(known) == MAX_KNOWN
    look(story, 2)
    assert story.found == []


def test_a_child_s_new_answer_is_progress() -> None:
    story = begin()
    for turn in range(12):
        story.root.gets("demo.check", {"n": 1}, {"percent": turn})
    assert story.found == []


def test_it_is_told_which_limit_was_passed() -> None:
    story = begin(stale_results=3, stale_paid_results=2)
    for _ in range(4):
        story.root.calls("look", 1, "the same", cost=5)
    assert (story.found[0].seen, story.found[0].limit) == (3, 2)
    assert "paid for again" in story.found[0].measure
