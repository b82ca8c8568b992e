"""Retry storm: failures of the same thing in a row, close together."""

from __future__ import annotations

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.retry_storm import MAX_THINGS, RetryStorm
from mesh.core.halts import HaltOrder
from tests.detection.story import SMALL, Story


def begin(**limits: int) -> Story:
    return Story({"x": 1}, limits=LimitTable(mesh=Limits(**limits)), detectors=[RetryStorm()])


def fail(story: Story, times: int, *, wait_ms: int = 0, given: object = 1) -> None:
    for _ in range(times):
        story.root.calls("tool", given, error="no")
        story.wait(wait_ms)


def test_eight_failures_of_one_step() -> None:
    story = begin()
    fail(story, 7)
    assert story.found == []
    fail(story, 1)
    (finding,) = story.found
    assert (finding.kind, finding.seen, finding.limit) == ("retry-storm", 8, 7)
    assert len(finding.evidence) == 8
    assert finding.text == (
        "tool with the same input failed 8 times in a row within 0.1 s (7 allowed), and was tried "
        "again each time. The last error: no"
    )


def test_a_success_starts_anew() -> None:
    story = begin()
    fail(story, 7)
    story.root.calls("tool", 1, "yes")
    fail(story, 7)
    assert story.found == []


def test_a_success_of_another_thing_does_not() -> None:
    story = begin()
    fail(story, 7)
    story.root.calls("other", 1, "yes")
    story.root.gets("demo.other", 1, "yes")
    fail(story, 1)
    assert story.kinds == {"retry-storm"}


def test_failures_far_apart_are_none() -> None:
    story = begin()
    fail(story, 20, wait_ms=9_000)
    assert story.found == []


def test_pauses_that_grow_are_none() -> None:
    story = begin()
    for turn in range(8):
        fail(story, 1, wait_ms=100 * 2**turn)
    assert story.found == []


def test_other_inputs_of_one_tool_have_more_tries() -> None:
    story = begin()
    for turn in range(16):
        assert story.found == []
        fail(story, 1, given=turn)
    (finding,) = story.found
    assert finding.seen == 16
    assert finding.text.startswith("tool failed 16 times in a row")


def test_a_task_s_failures_count_whoever_asks() -> None:
    story = begin()
    for _ in range(4):
        above = story.root.asks("demo.above", {"n": 1}, "a", grant=SMALL)
        part = above.asks("demo.part", {"n": 1}, "b", grant=SMALL._replace(hops=1, attempts=2))
        part.fails("no")
        part.tries_again()
        part.fails("no")
        part.ends("no more")
        above.finishes("never mind")
    assert story.kinds == {"retry-storm"}
    assert [finding.thing.split()[0] for finding in story.found] == ["demo.part"]


@pytest.mark.parametrize(("attempts", "allowed"), [(1, 7), (3, 7), (5, 11), (100, 14)])
def test_a_task_has_the_attempts_that_it_may_have(attempts: int, allowed: int) -> None:
    story = begin(retries=1_000)
    tries = 0
    while not story.found:
        part = story.root.asks("demo.part", {"n": 1}, grant=SMALL, max_attempts=attempts)
        for attempt in range(min(attempts, 10)):
            if attempt:
                part.tries_again()
            tries += not story.found
            part.fails("no")
        part.ends("no more")
    assert (tries, story.found[0].limit) == (allowed + 1, allowed)


def test_a_task_that_succeeds_starts_anew() -> None:
    story = begin()
    for _ in range(4):
        part = story.root.asks("demo.part", {"n": 1}, grant=SMALL)
        for _ in range(2):
            part.fails("no")
            part.tries_again()
        part.finishes("yes")
    assert story.found == []


def test_a_worker_that_dies_failed() -> None:
    story = begin(retries_alike=1)
    part = story.root.asks("demo.part", {"n": 1}, max_attempts=9)
    for _ in range(3):
        assert story.found == []
        assert part.state.lease is not None
        part.state.lease.end_ms = story.now_ms + 1_000
        part.tries_again()
    assert "The last error: its worker died" in story.found[0].text


def test_older_failures_make_room() -> None:
    story = begin(retries=10_000)
    fail(story, 7, given="first")
    for number in range(MAX_THINGS):
        fail(story, 1, given=number)
    fail(story, 1, given="first")
    assert story.found == []


def test_only_the_last_failures_are_kept() -> None:
    story = begin(retries_alike=2, retries=3)
    fail(story, 12, wait_ms=40_000)
    (detector,) = story.watch.detectors
    assert isinstance(detector, RetryStorm)
    assert {len(row.last) for row in detector._rows["0-root"].values()} == {7}
    assert story.found == []


def test_a_storm_that_a_person_lets_go_on_is_found_again_at_twice_as_many_failures() -> None:
    story = begin(retries_alike=2)
    fail(story, 3)
    story.watch.lifts = {"0-root": lift(2)}
    fail(story, 2)
    assert [own.seen for own in story.found] == [3]
    fail(story, 1)
    assert [own.seen for own in story.found] == [3, 6]
    assert "failed 6 times in a row, the last 3 of them within 0.0 s" in story.found[1].text


def lift(number: int) -> HaltOrder:
    return HaltOrder(
        target="workflow/0-root", halted=False, number=number, person="ann", detector="",
        because="go on", incident="", through=0,
    )  # fmt: skip
