"""Agents that work side by side and not together, each with what must be found, and look-alikes."""

from __future__ import annotations

from mesh.core.detectors.limits import LimitTable
from tests.detection.sharing import State
from tests.detection.story import SMALL, Part, Story
from tests.detection.tales import Tales

PLANTED = Tales()
LOOK_ALIKES = Tales()
BOLTS, ACME = "stock/bolts", "suppliers/acme"


def side_by_side(**other: object) -> tuple[Story, State, Part, Part]:
    """Begin a workflow in which ann and bob are at work at once."""
    story = Story({"do": "both"}, **other)  # type: ignore[arg-type]  # a story's own options
    ann = story.root.asks("demo.ann", {"x": 1}, "ann", grant=SMALL)
    bob = story.root.asks("demo.bob", {"y": 1}, "bob", grant=SMALL)
    return story, State(story), ann, bob


# --- lost updates -------------------------------------------------------------------------------


@PLANTED.finds("lost-update")
def a_write_that_came_too_late_and_was_given_up() -> Story:
    story, state, ann, bob = side_by_side()
    state.elsewhere(BOLTS, 10, "clerk")
    version = state.reads(bob, BOLTS)
    state.writes(ann, {BOLTS: 9}, state.reads(ann, BOLTS))
    state.writes(bob, {BOLTS: 8}, version, because="one was taken")
    bob.decides("leave it")
    bob.finishes({"ok": False})
    return story


@PLANTED.finds("lost-update")
def a_stranger_came_first() -> Story:
    story = Story({"count": "bolts"})
    state = State(story)
    version = state.reads(story.root, BOLTS)
    state.elsewhere(BOLTS, 7, "clerk", because="the shelf was counted")
    state.writes(story.root, {BOLTS: 8}, version)
    story.root.finishes()
    return story


@PLANTED.finds("lost-update")
def a_handler_that_races_itself() -> Story:
    story = Story({"write": "twice"})
    state = State(story)
    version = state.reads(story.root, BOLTS)
    for value in (1, 2):
        state.writes(story.root, {BOLTS: value}, version)
    story.root.finishes()
    return story


@PLANTED.finds("lost-update")
def two_keys_of_one_write() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 1, "stock/nuts": 1}, 0)
    state.writes(bob, {BOLTS: 2, "stock/nuts": 2}, 0)
    bob.finishes()
    return story


@PLANTED.finds("lost-update")
def a_task_that_is_ended_with_its_parent() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 1}, 0)
    state.writes(bob, {BOLTS: 2}, 0)
    story.root.is_cancelled_with(ann, bob)
    return story


@PLANTED.finds("lost-update")
def a_write_recorded_by_an_earlier_release() -> Story:
    story, state, _, bob = side_by_side()
    state.old = True
    version = state.reads(bob, BOLTS)
    state.elsewhere(BOLTS, 7, "clerk")
    state.writes(bob, {BOLTS: 8}, version)
    bob.finishes()
    return story


@PLANTED.finds("lost-update")
def a_key_that_everybody_wants() -> Story:
    story = Story({"count": "it"})
    state = State(story)
    parts = [story.root.asks("demo.add", {"n": n}, f"a{n}", grant=SMALL) for n in range(9)]
    while parts:
        seen = [state.reads(part, BOLTS) for part in parts]
        for part, version in zip(parts, seen, strict=True):
            state.writes(part, {BOLTS: len(story.records)}, version)
        parts.pop(0).finishes()
    return story


@LOOK_ALIKES.tells
def late_writes_that_come_through() -> Story:
    story, state, ann, bob = side_by_side()
    version = state.reads(bob, BOLTS)
    state.writes(ann, {BOLTS: 1}, 0)
    state.writes(bob, {BOLTS: 2}, version)
    bob.sleeps(20)
    state.updates(bob, BOLTS, 3)
    bob.finishes()
    return story


@LOOK_ALIKES.tells
def an_attempt_that_fails_by_a_conflict_and_one_that_does_not() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 1}, 0)
    state.writes(bob, {BOLTS: 2}, 0)
    bob.fails("stock/bolts: version 0 was expected")
    bob.tries_again()
    state.updates(bob, BOLTS, 2)
    bob.finishes()
    return story


@LOOK_ALIKES.tells
def eight_writers_of_one_key_that_all_come_through() -> Story:
    story = Story({"count": "it"})
    state = State(story)
    parts = [story.root.asks("demo.add", {"n": n}, f"a{n}", grant=SMALL) for n in range(8)]
    while parts:
        seen = [state.reads(part, BOLTS) for part in parts]
        for part, version in zip(parts, seen, strict=True):
            state.writes(part, {BOLTS: len(story.records)}, version)
        parts.pop(0).finishes()
    return story


@LOOK_ALIKES.tells
def a_late_write_of_what_is_there_already() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 1}, 0)
    state.writes(bob, {BOLTS: 1}, 0)
    bob.finishes()
    return story


@LOOK_ALIKES.tells
def late_writes_that_are_merged() -> Story:
    story, state, ann, bob = side_by_side()
    for part, tag in ((ann, "new"), (bob, "steel")):
        state.writes(part, {"tags/bolts": [tag]}, 0)
        part.finishes()
    return story


@LOOK_ALIKES.tells
def a_write_that_no_rule_allows() -> Story:
    story, state, _, bob = side_by_side()
    state.writes(bob, {"elsewhere/x": 1}, 0)
    bob.finishes()
    return story


# --- contradictions -----------------------------------------------------------------------------


@PLANTED.finds("contradiction")
def a_workflow_that_is_overruled() -> Story:
    story = Story({"buy": "cheap"}, agent="buyer")
    state = State(story)
    version = state.reads(story.root, ACME)
    state.elsewhere(ACME, {"status": "blocked"}, "auditor", "risk", "sanctions list of Monday")
    cheap = {"status": "approved"}
    state.writes(story.root, {ACME: cheap}, version, "cost", "cheapest of three bids")
    story.root.finishes()
    return story


@PLANTED.finds("contradiction")
def a_workflow_that_overrules() -> Story:
    story = Story({"audit": "it"}, agent="auditor")
    state = State(story)
    version = state.reads(story.root, ACME)
    state.elsewhere(ACME, {"status": "approved"}, "buyer", "cost", "cheapest of three bids")
    blocked = {"status": "blocked"}
    state.writes(story.root, {ACME: blocked}, version, "risk", "sanctions list of Monday")
    story.root.finishes()
    return story


@PLANTED.finds("contradiction")
def two_of_one_rank() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {ACME: "blocked"}, 0, "risk", "sanctions list of Monday")
    state.writes(bob, {ACME: "watched"}, 0, "risk", "the list was corrected on Tuesday")
    for part in (ann, bob):
        part.finishes()
    return story


@PLANTED.finds("contradiction")
def a_third_opinion() -> Story:
    story, state, ann, bob = side_by_side()
    state.elsewhere(ACME, "blocked", "auditor", "risk", "sanctions list of Monday")
    state.writes(ann, {ACME: "watched"}, 0, "risk", "the list was corrected on Tuesday")
    state.writes(bob, {ACME: "approved"}, 0, "risk", "I know them")
    return story


@PLANTED.finds("contradiction")
def against_the_word_of_a_person() -> Story:
    story, state, ann, _ = side_by_side()
    state.elsewhere(ACME, "blocked", "auditor", "risk")
    version = state.reads(ann, ACME)
    state.elsewhere(ACME, "watched", "buyer", "risk", over=0)
    state.settles(ACME, "watched")
    state.writes(ann, {ACME: "approved"}, version, "risk", "I know them")
    return story


@PLANTED.finds("contradiction")
def a_version_that_was_guessed() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 10}, 0, because="ten were counted")
    state.writes(bob, {BOLTS: 3}, 1, because="it is always version 1")
    return story


@LOOK_ALIKES.tells
def a_value_that_is_changed_by_who_has_read_it() -> Story:
    story, state, ann, bob = side_by_side()
    state.updates(ann, ACME, "blocked")
    state.updates(bob, ACME, "approved")
    return story


@LOOK_ALIKES.tells
def a_value_that_is_changed_by_who_was_told_of_it() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 10}, 0)
    state.writes(bob, {BOLTS: 3}, 0)
    state.writes(bob, {BOLTS: 9}, 1)
    bob.finishes()
    return story


@LOOK_ALIKES.tells
def a_value_that_is_changed_by_who_was_asked_for_afterwards() -> Story:
    story = Story({"first": "then"})
    state = State(story)
    first = story.root.asks("demo.first", {"x": 1}, "ann", grant=SMALL)
    state.writes(first, {BOLTS: 10}, 0)
    first.finishes({"version": 1})
    then = story.root.asks("demo.then", {"version": 1}, "bob", grant=SMALL)
    state.writes(then, {BOLTS: 3}, 1)
    return story


@LOOK_ALIKES.tells
def a_value_that_is_changed_by_who_delegated_it() -> Story:
    story = Story({"first": "then"})
    state = State(story)
    part = story.root.asks("demo.first", {"x": 1}, "ann", grant=SMALL)
    state.writes(part, {BOLTS: 10}, 0)
    part.finishes({"version": 1})
    state.writes(story.root, {BOLTS: 3}, 1)
    return story


@LOOK_ALIKES.tells
def both_decide_alike() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {ACME: "blocked"}, 0, "cost")
    for objective in ("cost", "risk", "speed"):
        state.writes(bob, {ACME: "blocked"}, 0, objective)
    return story


@LOOK_ALIKES.tells
def one_guess_of_what_is_there_already() -> Story:
    story, state, ann, bob = side_by_side()
    state.writes(ann, {BOLTS: 10}, 0)
    state.writes(bob, {BOLTS: 10}, 1)
    state.writes(bob, {BOLTS: 11}, 2)
    return story


@LOOK_ALIKES.tells
def a_task_that_thinks_better_of_it() -> Story:
    story = Story({"think": "twice"})
    state = State(story)
    state.writes(story.root, {ACME: "approved"}, 0, "cost")
    state.writes(story.root, {ACME: "blocked"}, 0, "risk")
    return story


# --- missed dependencies ------------------------------------------------------------------------


@PLANTED.finds("missed-dependency")
def a_task_that_was_begun_too_early() -> Story:
    story = Story({"first": "then"})
    first = story.root.asks("demo.design", {"x": 1}, "ann", grant=SMALL)
    then = story.root.asks("demo.build", {"y": 1}, "bob", grant=SMALL, after=(first.task,))
    then.finishes()
    first.finishes()
    return story


@PLANTED.finds("missed-dependency")
def a_task_that_was_awarded_too_early() -> Story:
    story = Story({"first": "then"})
    first = story.root.asks("demo.design", {"x": 1}, "ann", award=None)
    after = (first.task, "sha256:4f53", first.task)
    then = story.root.asks("demo.build", {"y": 1}, "bob", grant=SMALL, after=after, award=None)
    then.tries_again()
    return story


def one_after_the_other(*, behind: int, below: bool = False) -> tuple[Story, State, Part]:
    """Have bob read what ann wrote, from a replica that may lag."""
    story = Story({"first": "then"})
    state = State(story)
    state.elsewhere(BOLTS, 10, "clerk")
    first = story.root.asks("demo.take", {"x": 1}, "ann", grant=SMALL)
    taker = first.asks("demo.shelf", {"x": 1}, "amy") if below else first
    state.updates(taker, BOLTS, 9)
    if below:
        taker.finishes()
    first.finishes({"taken": 1})
    then = story.root.asks("demo.count", {"y": 1}, "bob", after=(first.task,))
    state.reads(then, BOLTS, behind=behind)
    return story, state, then


@PLANTED.finds("missed-dependency")
def a_replica_that_lags() -> Story:
    story, _, then = one_after_the_other(behind=1)
    then.finishes({"bolts": 10})
    return story


@PLANTED.finds("missed-dependency")
def a_replica_that_lags_behind_what_was_delegated() -> Story:
    story, _, then = one_after_the_other(behind=1, below=True)
    then.finishes({"bolts": 10})
    return story


@PLANTED.finds("missed-dependency")
def what_is_delegated_builds_on_the_same() -> Story:
    story, state, then = one_after_the_other(behind=0)
    below = then.asks("demo.check", {"z": 1}, "carl")
    state.reads(below, BOLTS, behind=2)
    below.finishes({"bolts": 0})
    then.finishes({"bolts": 0})
    return story


@LOOK_ALIKES.tells
def a_read_of_what_was_made() -> Story:
    story, _, then = one_after_the_other(behind=0)
    then.finishes({"bolts": 9})
    return story


@LOOK_ALIKES.tells
def a_watch_that_waits_for_what_was_made() -> Story:
    story, state, then = one_after_the_other(behind=1)
    state.reads(then, BOLTS, watched="stock/*")
    then.finishes({"bolts": 9})
    return story


@LOOK_ALIKES.tells
def a_lag_that_ends_in_failure() -> Story:
    story, state, then = one_after_the_other(behind=1)
    then.fails("9 were expected")
    then.tries_again()
    state.reads(then, BOLTS)
    then.finishes({"bolts": 9})
    return story


@LOOK_ALIKES.tells
def a_lag_behind_somebody_else() -> Story:
    story, state, then = one_after_the_other(behind=0)
    state.elsewhere(BOLTS, 8, "clerk")
    state.reads(then, BOLTS, behind=1)
    then.finishes({"bolts": 9})
    return story


@LOOK_ALIKES.tells
def a_task_that_waited_for_what_it_builds_on() -> Story:
    story = Story({"first": "then"})
    first = story.root.asks("demo.design", {"x": 1}, "ann", grant=SMALL)
    after = (first.task, "0-root", "sha256:4f53")
    then = story.root.asks("demo.build", {"y": 1}, "bob", after=after, award=None)
    first.finishes()
    then.tries_again()
    then.finishes()
    return story


# --- nobody bids --------------------------------------------------------------------------------


def wanted(**other: object) -> tuple[Story, Part]:
    """Open a task that nobody is awarded; its deadline is far, unless it is the story."""
    given: dict[str, object] = {"timeout_ms": 8 * 3_600_000, **other}
    story = Story({"find": "somebody"}, **given)  # type: ignore[arg-type]  # a story's own options
    return story, story.root.asks("demo.rare", {"x": 1}, "worker", award=None)


@PLANTED.finds("nobody-bids")
def calls_that_nobody_answers() -> Story:
    story, part = wanted()
    for _ in story.turns(30):
        part.is_called_out("ann", "bob")
        story.wait(4_000)
    return story


@PLANTED.finds("nobody-bids")
def everybody_declines() -> Story:
    story, part = wanted()
    for turn in story.turns(25):
        part.agent = ("ann", "bob")[turn % 2]
        part.tries_again()
        part.is_declined("every slot is taken")
        story.wait(3_000)
    return story


@PLANTED.finds("nobody-bids")
def a_supervisor_that_declines_its_own_call() -> Story:
    story, part = wanted(limits=LimitTable(capabilities={"demo.rare": {"fruitless_calls": 3}}))
    for turn in story.turns(9):
        part.is_called_out(f"a{turn}", declines="I have no such tool")
        story.wait(9_000)
    return story


@PLANTED.finds("nobody-bids")
def nobody_is_there_to_be_asked() -> Story:
    story, _ = wanted()
    story.wait(320_000)
    return story


@PLANTED.finds("nobody-bids")
def a_task_that_expires_without_a_worker() -> Story:
    story, part = wanted(timeout_ms=90_000)
    part.is_called_out("ann")
    part.expires()
    return story


@LOOK_ALIKES.tells
def an_auction_with_a_slow_start() -> Story:
    story, part = wanted()
    for _ in range(20):
        part.is_called_out("ann", "bob")
        story.wait(6_000)
    part.tries_again("ann")
    part.finishes()
    story.wait(400_000)
    return story


@LOOK_ALIKES.tells
def a_fleet_that_comes_and_goes() -> Story:
    story, part = wanted()
    for _ in range(60):
        part.is_called_out("ann", "bob")
        story.wait(900)
    part.tries_again("ann")
    part.finishes()
    return story


@LOOK_ALIKES.tells
def declines_between_which_work_is_done() -> Story:
    story, part = wanted()
    for turn in range(6):
        for _ in range(5):
            part.tries_again("ann")
            part.is_declined("every slot is taken")
        part.tries_again("bob")
        part.calls("look", {"page": turn}, {"rows": [turn]})
        part.suspends()
    return story


@LOOK_ALIKES.tells
def a_fleet_that_is_busy_for_some_minutes() -> Story:
    story, part = wanted()
    story.wait(280_000)
    part.tries_again("ann")
    part.finishes()
    story.wait(100_000)
    return story


@LOOK_ALIKES.tells
def a_halt_that_is_not_lifted() -> Story:
    story, part = wanted()
    story.root.waits_for_lifting()
    for _ in range(25):
        part.is_called_out("ann")
    story.wait(400_000)
    return story


@LOOK_ALIKES.tells
def a_halt_that_outlasts_a_deadline() -> Story:
    story, part = wanted(timeout_ms=200_000)
    story.root.waits_for_lifting()
    part.expires()
    return story


@LOOK_ALIKES.tells
def a_log_that_stands_still() -> Story:
    story, part = wanted()
    for _ in range(40):
        story.now_ms += 12_000
        story.renew()
    part.tries_again("ann")
    part.finishes()
    return story


@LOOK_ALIKES.tells
def a_short_deadline_and_nobody_in_time() -> Story:
    story, part = wanted(timeout_ms=20_000)
    part.is_called_out("ann")
    part.expires()
    return story
