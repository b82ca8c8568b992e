from __future__ import annotations

import json

from mesh.core.effects import Incident
from mesh.core.registry import Presence
from mesh.core.values import Charter, Inbox, Wait
from mesh.dashboard import views
from mesh.dashboard.model import Model
from mesh.dashboard.ring import Seen
from mesh.dashboard.window import Edge
from mesh.ports import Incoming
from mesh.wire.entries import encode_entry
from tests.simulation.scribe import Scribe
from tests.unit.dashboard.conftest import check_shape
from tests.unit.dashboard.logs import modelled
from tests.unit.dashboard.test_aside import order

HOSTILE = "<script>alert(1)</script>\u202e\x00\r\n\u2028'\"&" + "x" * 100_000


def parked() -> Scribe:
    log = Scribe()
    log.begin(charter=Charter(goal=HOSTILE, constraints=(), root_hash=bytes(32)))
    log.write(log.suspended(waiting_for=(Wait("0", "person", "", 0, HOSTILE),)))
    return log


def test_what_needs_a_person_is_told_the_oldest_first() -> None:
    log = parked()
    model = modelled(log)
    model.orders.add(Incoming("t", 0, 0, 1, b"k", order(1, halted=True), ()))
    needs = views.needs(model)
    check_shape("Needs", needs)
    assert [own["kind"] for own in needs["items"]] == ["halt", "parked"]
    assert needs["total"] == 2


def test_hostile_texts_are_cut_and_stay_texts() -> None:
    log = parked()
    model = modelled(log)
    incident = Incident(HOSTILE[:99], "", "", HOSTILE)
    model.incidents.add(Incoming("t", 0, 0, 1, HOSTILE[:500].encode(), encode_entry(incident), ()))
    now = views.now(model, log.now_ms, "test") | {"position": ""}
    check_shape("Now", now)
    text = json.dumps(now, allow_nan=False)
    assert len(text) < 40_000
    assert json.loads(text) == now
    [row] = list(model.rows.roots())
    shape = views.workflow(model, row)
    check_shape("Workflow", shape)
    assert shape["goal"].startswith("<script>")
    assert len(shape["needs"][0]) <= views.CLIP


def test_a_map_that_is_too_large_is_drawn_in_part() -> None:
    model = Model()
    for number in range(400):
        edge = Edge("desk", "office.quote", f"agent-{number:03}")
        model.window.at(0).awards[edge] += number + 1
    graph = views.graph(model, 0)
    check_shape("Map", graph)
    assert len(graph["nodes"]) == views.MAX_NODES
    assert graph["left_out"] == 101
    rest = [edge for edge in graph["edges"] if edge["agent"] == views.OTHERS]
    assert len(rest) == 1
    assert sum(edge["awards"] for edge in graph["edges"]) == 400 * 401 // 2


def test_what_fits_nowhere_is_named() -> None:
    model = Model()
    presence = Presence(
        instance="lost.1",
        incarnation=1,
        agent="lost",
        inbox=Inbox("t", 0),
        load=0,
        slots=1,
        draining=False,
        handlers=(),
    )
    model.directory.see_presence("lost.1", presence, 5)
    model.window.at(0).awards[Edge("", "nobody.does", "")] += 1
    found = views.orphans(model, 0)
    assert found["instances_without_card"] == ["lost"]
    assert found["capabilities_without_agent"] == ["nobody.does"]
    agent = views.agent(model, "lost", views.instances(model)["lost"])
    check_shape("Agent", agent)


def test_budgets_say_what_share_is_gone() -> None:
    log = Scribe()
    log.begin()
    log.write(log.reserved("0"))
    model = modelled(log)
    [row] = model.rows.open.values()
    shape = views.budget(model, row)
    check_shape("Budget", shape)
    assert shape["spent_permille"] > 0


def test_what_is_no_fact_says_why() -> None:
    seen = Seen(0, 3, 5, b"garbage", None, "", "", "", "")
    shape = views.fact(seen)
    check_shape("Fact", shape)
    assert (shape["readable"], shape["where"]) == (False, "0/3")


def test_it_is_said_from_where_the_story_is_complete() -> None:
    log = parked()
    whole, part = modelled(log), modelled(log, 2)
    assert views.complete(whole) == {"whole": True, "since": None, "trimmed": False}
    part.strands[0].low = 1
    assert views.complete(part)["trimmed"]
    assert views.complete(part)["since"] is not None
    check_shape("Complete", views.complete(part))
