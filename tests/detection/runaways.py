"""Workflows that run away, each with the kinds of incidents that must be found, and no others."""

from __future__ import annotations

from collections.abc import Callable

from mesh.core.detectors.limits import LimitTable
from mesh.core.values import NOTHING, Acceptance, Amount
from mesh.wire.canonical import body_of
from tests.detection.story import SMALL, START_MS, Part, Story

Tale = Callable[[], Story]
RUNAWAYS: dict[str, tuple[frozenset[str], Tale]] = {}
REVIEWED = Acceptance.REVIEWED
PAID = 20_000
"""What a paid call costs, in millionths of a dollar."""


def runaway(*kinds: str) -> Callable[[Tale], Tale]:
    """Add a scenario in which all of these are found, and nothing else."""

    def add(tale: Tale) -> Tale:
        RUNAWAYS[tale.__name__] = (frozenset(kinds), tale)
        return tale

    return add


def uuid(number: int) -> str:
    return f"8f14e45f-ceea-467f-a0e6-{number:012x}"


# --- loops --------------------------------------------------------------------------------------


@runaway("loop")
def an_agent_delegates_its_own_task() -> Story:
    story = Story({"goal": "plan the trip"}, capability="demo.plan")
    part = story.root
    for _ in story.turns(15):
        part.thinks({"goal": "plan the trip"}, {"idea": f"{story.turn}: let us plan"}, PAID)
        part = part.asks("demo.plan", {"goal": "plan the trip"}, "lead")
    return story


@runaway("loop")
def three_agents_in_a_circle() -> Story:
    story = Story({"order": 7})
    part = story.root
    for turn in story.turns(7):
        for name in ("price", "source", "review"):
            part.thinks({"order": 7, "at": turn}, {"thought": f"{name} {turn}"}, PAID)
            part = part.asks(f"demo.{name}", {"order": 7, "for": name}, name)
    return story


@runaway("loop")
def a_loop_with_request_ids_and_attempt_numbers() -> Story:
    story = Story({"text": "translate"})
    part = story.root
    for turn in story.turns(15):
        part.thinks({"text": "translate", "n": turn}, {"draft": f"draft {turn}"}, PAID)
        given = {"text": "translate", "requestId": f"r-{turn * 7919}", "attempt": turn}
        part = part.asks("demo.translate", given, "lead")
    return story


@runaway("loop")
def a_loop_with_other_case_and_white_space() -> Story:
    story = Story({"query": "who won"})
    part = story.root
    for turn in story.turns(15):
        text = " ".join("find the winner".title().split()[:3]) + " " * turn
        part.thinks({"n": turn}, {"thought": f"hm {turn}"}, PAID)
        part = part.asks("demo.search", {"query": text.upper() if turn % 2 else text}, "lead")
    return story


@runaway("loop")
def a_loop_that_counts_its_turns_in_words() -> Story:
    story = Story({"say": "go"})
    part = story.root
    for turn in story.turns(15):
        part.thinks({"n": turn}, {"thought": f"hm {turn}"}, PAID)
        part = part.asks("demo.solve", {"prompt": f"Solve it. This is attempt #{turn} of 99."}, "a")
    return story


@runaway("loop")
def a_loop_with_fresh_uuids_and_times() -> Story:
    story = Story({"case": 1})
    part = story.root
    for turn in story.turns(11):
        part.thinks({"n": turn}, {"thought": f"hm {turn}"}, PAID)
        given = {
            "case": uuid(turn),
            "as of": f"2026-01-{turn:02d}T10:00:00Z",
            "about": START_MS + turn,
        }
        part = part.asks("demo.investigate", given, "lead")
    return story


@runaway("loop")
def a_loop_whose_contents_are_in_the_store() -> Story:
    story = Story({"big": True})
    part, stored = story.root, body_of({"big": "x" * 100})._replace(content=None)
    for turn in story.turns(11):
        part.thinks({"n": turn}, {"thought": f"hm {turn}"}, PAID)
        part = part.asks("demo.summarise", stored, "lead")
    return story


# --- ping-pong ----------------------------------------------------------------------------------


@runaway("ping-pong", "loop")
def two_agents_delegate_to_each_other() -> Story:
    story = Story({"ticket": 5}, capability="desk.triage", agent="triage")
    part = story.root
    for turn in story.turns(11):
        name = ("billing", "triage")[turn % 2 == 0]
        part.thinks({"n": turn}, {"thought": f"not mine {turn}"}, PAID)
        part = part.asks(f"desk.{name}", {"ticket": 5}, name)
    return story


@runaway("ping-pong")
def two_agents_pass_it_on_under_new_names() -> Story:
    story = Story({"ticket": 5}, capability="desk.triage", agent="triage")
    part = story.root
    for turn in story.turns(8):
        name = ("billing", "triage")[turn % 2 == 0]
        part.thinks({"n": turn}, {"thought": f"not mine {turn}"}, PAID)
        part = part.asks(f"desk.{name}-{turn}", {"ticket": 5}, name)
    return story


@runaway("ping-pong")
def writer_and_editor_say_the_same_again() -> Story:
    story = Story({"write": "a poem"})
    for _ in story.turns(10):
        story.root.gets(
            "demo.write", {"text": "roses are red"}, {"text": "violets are blue"}, "writer"
        )
        story.root.gets(
            "demo.edit", {"text": "violets are blue"}, {"text": "roses are red"}, "editor"
        )
    return story


@runaway("ping-pong")
def a_conversation_that_only_grows() -> Story:
    story = Story({"chat": True})
    said: list[str] = []
    for turn in story.turns(12):
        name, answer = (("ann", "Thank you!"), ("bob", "You are welcome."))[turn % 2]
        story.root.gets("demo.talk", {"transcript": list(said)}, {"reply": answer}, name)
        said.append(answer)
    return story


@runaway("ping-pong")
def three_agents_hand_it_round() -> Story:
    story = Story({"form": 12})
    for turn in story.turns(6):
        for name in ("legal", "finance", "risk"):
            story.root.gets("demo.sign", {"form": 12, "turn": turn}, {"after": "the others"}, name)
    return story


# --- retry storms -------------------------------------------------------------------------------


@runaway("retry-storm")
def a_tool_that_is_down_is_called_at_once_again() -> Story:
    story = Story({"get": "rates"})
    for _ in story.turns(15):
        story.root.calls("rates", {"of": "EUR"}, error="503 unavailable", cost=PAID)
    return story


@runaway("retry-storm")
def retries_within_retries() -> Story:
    story = Story({"get": "stock"})
    for _ in story.turns(3):
        middle = story.root.asks("demo.stock", {"of": "bolts"}, "stock")
        for attempt in range(3):
            low = middle.asks(
                "demo.count", {"of": "bolts"}, "counter", grant=Amount(10, 10, 10, 1, 5)
            )
            for again in range(3):
                if again:
                    low.tries_again()
                low.fails(f"cannot count {attempt} {again} {story.turn}")
            low.ends("no attempt left")
            middle.fails(f"no count {attempt} {story.turn}")
            if attempt < 2:
                middle.tries_again()
        middle.ends("no attempt left")
    return story


@runaway("retry-storm")
def a_tool_is_tried_with_whatever_comes_to_mind() -> Story:
    story = Story({"run": "sql"})
    for turn in story.turns(25):
        story.root.calls("sql", {"q": f"select {turn}"}, error=f"near '{'x' * turn}': syntax error")
    return story


@runaway("retry-storm")
def a_result_is_refused_for_ever() -> Story:
    story = Story({"write": "report"})
    part = story.root.asks(
        "demo.report", {"on": "Q3"}, "writer", acceptance=REVIEWED, max_attempts=100
    )
    for turn in story.turns(16):
        part.finishes({"report": f"version {turn}"})
        part.is_refused(f"no figures ({turn})")
        part.tries_again()
    return story


# --- fan-out ------------------------------------------------------------------------------------


@runaway("fan-out")
def one_task_asks_and_asks() -> Story:
    story = Story({"buy": "bolts"})
    for turn in story.turns(250):
        story.root.asks("demo.inquire", {"supplier": f"s{turn}"}, "buyer", grant=SMALL)
    return story


@runaway("fan-out")
def a_tree_in_which_each_task_has_five() -> Story:
    story = Story({"think": "hard"}, capability="demo.ponder")
    level = [story.root]
    for _ in story.turns(4):
        level = [
            part.asks(
                "demo.ponder", {"thought": f"{part.task[2:6]} {n}", "more": "x" * 40}, f"a{n}"
            )
            for part in level
            for n in range(5)
        ][:60]
    for n in range(100):
        level[n % 20].asks("demo.ponder", {"thought": f"last {n}", "more": "x" * 40}, "a9")
    return story


@runaway("fan-out")
def children_that_end_as_fast_as_they_are_asked() -> Story:
    story = Story({"scan": "the net"})
    before: Part | None = None
    for turn in story.turns(250):
        part = story.root.asks("demo.scan", {"host": turn}, "scanner", grant=SMALL)
        if before is not None:
            before.finishes({"open ports": turn})
        before = part
    return story


@runaway("fan-out")
def the_same_item_of_a_list_for_ever() -> Story:
    story = Story({"items": list(range(150))})
    for _ in story.turns(200):
        story.root.asks("demo.check", {"item": 1}, "checker", grant=SMALL)
    return story


# --- depth --------------------------------------------------------------------------------------


@runaway("depth")
def everybody_knows_somebody_better() -> Story:
    story = Story({"task": "fix it", "notes": ""})
    part, notes = story.root, ""
    for turn in story.turns(30):
        notes += f"agent {turn} thinks that another is better. "
        part = part.asks(f"demo.fix-{turn}", {"task": "fix it", "notes": notes}, f"agent{turn}")
    return story


@runaway("depth")
def a_plan_that_only_gets_finer() -> Story:
    story = Story({"plan": "1"}, capability="demo.refine")
    part, plan = story.root, "1"
    for turn in story.turns(30):
        plan += f".{turn}"
        part.thinks({"plan": plan}, {"finer": plan + "?"}, PAID)
        part = part.asks("demo.refine", {"plan": plan}, "planner")
    return story


# --- velocity -----------------------------------------------------------------------------------

TIGHT = Amount(micro_usd=1_000_000, tokens=10**6, tool_calls=10**4, hops=200, attempts=10)


@runaway("velocity")
def a_day_s_money_in_a_minute() -> Story:
    story = Story({"research": "everything"}, budget=TIGHT, timeout_ms=24 * 3_600_000)
    for turn in story.turns(60):
        story.root.thinks({"q": turn}, {"a": f"new insight {turn}"}, 14_000)
    return story


@runaway("velocity")
def charged_by_the_call_and_far_too_fast() -> Story:
    story = Story({"crawl": "all"}, budget=TIGHT)
    for _ in story.turns(50):
        story.root.pays(15_000)
    return story


@runaway("velocity")
def delegations_go_faster_than_planned() -> Story:
    story = Story({"find": "it"}, budget=TIGHT)
    grant = Amount(1, 1, 1, 0, 0)
    for turn in story.turns(95):
        part = story.root.asks("demo.look", {"where": turn}, "finder", grant=grant)
        part.finishes({"not in": turn})
    return story


# --- no progress --------------------------------------------------------------------------------


@runaway("no-progress")
def a_status_is_asked_without_a_pause() -> Story:
    story = Story({"wait for": "the job"})
    for _ in story.turns(30):
        story.root.calls("status", {"job": 7}, {"status": "pending"})
    return story


@runaway("no-progress")
def a_paid_search_for_the_same_thing() -> Story:
    story = Story({"find": "a cheap flight"})
    for _ in story.turns(15):
        story.root.calls("search", {"flight": "cheap"}, {"found": []}, cost=PAID)
    return story


@runaway("no-progress")
def a_model_that_thinks_anew_and_does_the_same() -> Story:
    story = Story({"find": "the bug"})
    for turn in story.turns(30):
        story.root.thinks({"so far": turn}, {"thought": f"let me look again, {turn}"})
        story.root.calls("cat", {"file": "main.py"}, {"text": "print(1)"})
    return story


@runaway("no-progress")
def the_same_paid_child_again_and_again() -> Story:
    story = Story({"check": "it"})
    for turn in story.turns(15):
        story.root.thinks({"so far": turn}, {"thought": f"is it really so? {turn}"})
        part = story.root.asks("demo.check", {"it": "is so"}, "checker", grant=SMALL)
        part.thinks({"it": "is so"}, {"words": f"well, {turn}"})
        part.finishes({"ok": False})
    return story


@runaway("no-progress")
def answers_that_differ_in_their_time_alone() -> Story:
    story = Story({"wait for": "the job"})
    for turn in story.turns(30):
        answer = {"status": "pending", "timestamp": START_MS + turn, "request_id": f"q{turn}"}
        story.root.calls("status", {"job": 7}, answer)
    return story


@runaway("no-progress")
def four_tools_in_turn_and_never_anything_new() -> Story:
    story = Story({"debug": "it"})
    for _ in story.turns(10):
        for name in ("ls", "cat", "grep", "test"):
            story.root.calls(name, {"in": "src"}, {"out": f"the same of {name}"})
    return story


@runaway("no-progress")
def a_stuck_branch_in_a_busy_workflow() -> Story:
    story = Story({"do": "both"})
    stuck = story.root.asks("demo.stuck", {"x": 1}, "stuck")
    busy = story.root.asks("demo.busy", {"y": 1}, "busy")
    for turn in story.turns(30):
        stuck.calls("look", {"at": "x"}, {"x": 1})
        busy.calls("next", {"page": turn}, {"rows": [turn]})
    return story


@runaway("no-progress")
def the_same_child_again_and_again() -> Story:
    story = Story({"check": "it"})
    for _ in story.turns(30):
        story.root.gets("demo.check", {"it": "is so"}, {"ok": False}, "checker")
    return story


@runaway("no-progress")
def a_workflow_in_which_everybody_hears_the_same() -> Story:
    story = Story({"items": list(range(12))})
    for turn in story.turns(12):
        part = story.root.asks("demo.try", {"item": turn}, f"a{turn}", grant=SMALL)
        for _ in range(3):
            part.calls("look", {"for": "it"}, NOTHING)
    return story


# --- limits of one's own ------------------------------------------------------------------------


@runaway("fan-out")
def a_capability_with_a_narrow_limit() -> Story:
    limits = LimitTable(capabilities={"demo.expensive": {"fan_out_children": 5}})
    story = Story({"x": 1}, limits=limits)
    for turn in story.turns(9):
        story.root.asks("demo.expensive", {"n": turn}, "worker", grant=SMALL)
    return story
