"""The watch: each thing once, nobody silenced by another, nothing kept of what ended."""

from __future__ import annotations

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.no_progress import NoProgress
from mesh.core.detectors.watch import (
    BROKEN,
    MAX_FAILURES,
    MAX_FINDINGS,
    Watch,
    all_detectors,
    miscoordination_detectors,
    runaway_detectors,
)
from mesh.core.halts import HaltOrder
from mesh.core.ledger import Ledger
from tests.detection.story import SMALL, Story, replayed
from tests.unit.core.detectors.seeing import Breaker, Finder, Looker


def test_all_detectors_run() -> None:
    names = [own.name for own in all_detectors()]
    assert len(set(names)) == len(names) == 12
    parts = (*runaway_detectors(), *miscoordination_detectors())
    assert names == [own.name for own in parts]
    assert [own.name for own in Watch().detectors] == names
    assert repr(Watch(detectors=[Looker()])) == "Watch(looker; 0 workflows)"


def test_one_thing_is_told_once() -> None:
    story = Story(detectors=[Finder(things=3)])
    for turn in range(9):
        story.root.decides(str(turn))
    assert sorted(finding.thing for finding in story.found) == ["0", "1", "2"]


def test_where_it_was_found_and_what_the_workflow_had_cost_is_told() -> None:
    story = Story({"x": 1}, detectors=[Finder(things=99)])
    part = story.root.asks("demo.part", {"n": 1}, grant=SMALL)
    part.calls("tool", {"n": 1}, {"a": 1}, cost=7)
    last, record = story.found[-1], story.records[-1]
    assert last.at == record.offset
    assert last.spent is not None
    assert last.spent == story.ledger.cost(story.ledger.tasks["0-root"])
    assert last.spent.micro_usd == 7
    assert last.incident(3).spent == last.spent
    del story.ledger.tasks["0-root"]
    (found,) = Watch(detectors=[Finder()]).see(record, story.ledger, "")
    assert found.spent is None


def test_of_too_many_things_no_more_is_told() -> None:
    story = Story(detectors=[Finder(things=1_000)])
    for turn in range(MAX_FINDINGS + 20):
        story.root.decides(str(turn))
    assert len(story.found) == MAX_FINDINGS


def test_what_does_not_count_is_not_shown() -> None:
    looker = Looker()
    story = Story(detectors=[looker])
    before = len(looker.sights)
    story.renew()
    story.add(story.records[1].fact, void=True)
    assert len(looker.sights) == before == 1


def test_a_detector_that_raises_is_an_incident_and_the_others_go_on() -> None:
    looker = Looker()
    story = Story({"x": 1}, detectors=[Breaker(), looker])
    story.root.decides("on")
    assert len(looker.sights) == 2
    (finding,) = story.found
    assert (finding.kind, finding.detector, finding.task) == (BROKEN, "breaker", "0-root")
    assert finding.text == (
        "The detector breaker failed at a TaskOpened (KeyError: 'fact 1'); the others go on."
    )
    assert finding.evidence == (1,)


def test_a_detector_that_raises_forgets_the_workflow() -> None:
    breaker = Breaker()
    Story(detectors=[breaker])
    assert breaker.forgot == ["0-root"]


def test_a_detector_that_raises_too_often_is_set_aside() -> None:
    breaker = Breaker()
    story = Story(detectors=[breaker, Looker()])
    for turn in range(MAX_FAILURES + 5):
        story.root.decides(str(turn))
    assert len(breaker.sights) == MAX_FAILURES
    assert [own.name for own in story.watch.detectors] == ["looker"]
    assert [finding.kind for finding in story.found] == [BROKEN, BROKEN]
    assert "set aside" in story.found[-1].text


def test_what_ended_is_forgotten() -> None:
    looker = Looker()
    story = Story({"x": 1}, detectors=[looker, *all_detectors()])
    for turn in range(5):
        part = story.root.asks("demo.part", {"n": turn}, grant=SMALL)
        part.calls("tool", {"n": 1}, {"a": 1})
        part.asks("demo.below", {"n": turn}, grant=SMALL._replace(hops=1), award=None)
        part.calls("tool", {"n": 2}, error="no")
        part.fails("no")
        part.ends("no more")
    assert len(story.watch._workflows["0-root"].tasks) <= 2 * 1 + 1
    story.root.finishes({"y": 1})
    assert looker.forgot == ["0-root"]
    assert story.watch._workflows == {}
    for own in story.watch.detectors[1:]:
        kept = [value for value in vars(own).values() if isinstance(value, dict)]
        assert not any(kept), own.name


def test_a_workflow_may_be_dropped_before_its_end() -> None:
    looker = Looker()
    story = Story({"x": 1}, detectors=[looker])
    story.watch.forget("0-root")
    assert looker.forgot == ["0-root"]
    assert story.watch._workflows == {}


def test_a_watch_that_begins_late_says_nothing_of_what_it_does_not_know() -> None:
    looker = Looker()
    story = Story({"x": 1})
    part = story.root.asks("demo.part", {"n": 1})
    part.decides("one")
    part.finishes({"y": 1})
    story.root.decides("two")
    watch = Watch(detectors=[looker])
    ledger = Ledger()
    for record in story.records:
        void = ledger.add(record)
        if record.offset >= 4:  # the part's end is the first that it sees
            watch.see(record, ledger, void)
    assert [sight.opened.task for sight in looker.sights] == ["0-root"]
    assert looker.sights[0].root is looker.sights[0].task


def test_where_the_root_is_not_known_the_task_stands_for_it() -> None:
    looker = Looker()
    story = Story({"x": 1})
    part = story.root.asks("demo.part", {"n": 1})
    part.decides("one")
    watch = Watch(detectors=[looker])
    state = story.ledger.tasks.pop("0-root")
    watch.see(story.records[-1], story.ledger, "")
    assert looker.sights[0].root is looker.sights[0].task
    story.ledger.tasks["0-root"] = state
    watch.see(story.records[-1], story.ledger, "")
    assert looker.sights[1].root is state


def test_limits_are_those_of_the_task() -> None:
    looker = Looker()
    table = LimitTable(
        agents={"ann": {"depth": 1}},
        capabilities={"demo.part": {"stale_results": 2}},
        workflows={"demo.root": {"retries": 3}},
    )
    story = Story({"x": 1}, limits=table, detectors=[looker])
    story.root.asks("demo.part", {"n": 1}, "ann")
    limits = looker.sights[-1].limits
    assert (limits.depth, limits.stale_results, limits.retries) == (1, 2, 3)


def test_a_replay_gives_the_same_ids() -> None:
    story = Story({"x": 1})
    for _ in range(30):
        story.root.calls("status", {"of": 1}, {"status": "pending"})
    assert story.found
    assert [finding.id for finding in replayed(story)] == [finding.id for finding in story.found]


def test_after_a_lift_the_same_is_told_again_when_there_is_twice_as_much() -> None:
    story = Story(detectors=[Finder()])
    lifts = story.watch.lifts = dict[str, HaltOrder]()
    story.root.decides("0")
    (first,) = story.found
    for turn in range(5):
        story.root.decides(f"before {turn}")
    assert len(story.found) == 1
    lifts["0-root"] = lift(3, story.records[-1].offset + 2)
    story.root.decides("the person had looked further than this")
    assert len(story.found) == 1
    (detector,) = story.watch.detectors
    assert isinstance(detector, Finder)
    lifted = len(detector.sights)
    while len(story.found) == 1:
        story.root.decides("after")
    again = story.found[1]
    assert (again.thing, again.lift) == (first.thing, 3)
    assert again.seen == 2 * lifted, "twice what there was when a person let it go on"
    assert again.id != first.id
    story.root.decides("more")
    assert len(story.found) == 2, "once for each lift"
    lifted = len(detector.sights)
    lifts["0-root"] = lift(5, 0)
    while len(story.found) == 2:
        story.root.decides("later")
    assert [own.lift for own in story.found] == [0, 3, 5]
    assert story.found[2].seen == 2 * lifted


def lift(number: int, through: int) -> HaltOrder:
    return HaltOrder(
        target="workflow/0-root", halted=False, number=number, person="ann", detector="",
        because="go on", incident="", through=through,
    )  # fmt: skip


def test_a_row_that_goes_on_after_a_lift_is_found_again() -> None:
    limits = LimitTable(mesh=Limits(stale_results=3))
    story = Story({"x": 1}, limits=limits, detectors=[NoProgress()])
    for _ in range(5):
        story.root.calls("look", 1, "the same")
    assert [own.seen for own in story.found] == [4]
    story.watch.lifts = {"0-root": lift(2, 0)}
    for _ in range(9):
        story.root.calls("look", 1, "the same")
    assert [own.seen for own in story.found] == [4, 8]


def test_who_begins_again_and_knows_the_last_lift_alone_finds_the_same_after_it() -> None:
    one, other = Story(detectors=[Finder()]), Story(detectors=[Finder()])
    one.watch.lifts = dict[str, HaltOrder]()
    for turn in range(5):
        one.root.decides(f"before {turn}")
    for number in (2, 4):
        while len(one.found) < number // 2:
            one.root.decides("until it is found")
        one.watch.lifts = {"0-root": lift(number, one.records[-1].offset + 1)}
    assert [own.lift for own in one.found] == [0, 2]
    other.watch.lifts = one.watch.lifts
    while len(one.found) == 2:
        one.root.decides("on")
    while len(other.records) < len(one.records):
        other.root.decides("the same")
    assert [own.lift for own in other.found] == [0, 4]
    assert (other.found[-1].id, other.found[-1].at) == (one.found[-1].id, one.found[-1].at)
