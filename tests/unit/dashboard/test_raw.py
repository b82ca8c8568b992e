from __future__ import annotations

import json

from mesh.core.values import NOTHING, Amount, Body, Effect, Holder, Wait
from mesh.dashboard.raw import raw
from tests.simulation.scribe import BOSS, ROOT, Scribe


def test_a_record_is_told_with_the_names_of_its_fields() -> None:
    scribe = Scribe()
    scribe.take()
    opened = scribe.opened()
    shape = raw(opened)
    assert json.loads(json.dumps(shape)) == shape
    assert shape["task"] == ROOT
    assert shape["by"] == {"instance": BOSS.instance, "incarnation": BOSS.incarnation}


def test_values_of_every_sort() -> None:
    assert raw(Effect.PURE) == "pure"
    assert raw(b"\x00\xff") == "00ff"
    assert raw(Amount(tokens=3))["tokens"] == 3
    assert raw((Holder("a", 1),)) == [{"instance": "a", "incarnation": 1}]
    assert raw(Body(b"\1", "application/json", b'{"a":1}'))["content"] == {"a": 1}
    assert raw(Body(b"\1", "text/plain", b"\xff"))["content"] == {"base64": "/w=="}
    assert raw(NOTHING)["content"] is None
    assert raw(Wait("0", "sleep", "", 5, ""))["until_ms"] == 5
