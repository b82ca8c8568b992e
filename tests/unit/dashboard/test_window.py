from __future__ import annotations

from collections import Counter

from mesh.dashboard import window as windows
from mesh.dashboard.window import MINUTE_MS, Edge, Flow, Window

EDGE = Edge("desk", "office.quote", "ann")
NOW_MS = 1_790_000_000_000


def test_an_hour_is_kept_and_what_is_older_goes() -> None:
    window = Window()
    window.at(NOW_MS).awards[EDGE] += 1
    window.at(NOW_MS + 59 * MINUTE_MS).awards[EDGE] += 2
    assert window.flows(NOW_MS + 59 * MINUTE_MS) == {EDGE: Flow(3, 0, 0, 0)}
    assert window.flows(NOW_MS + 59 * MINUTE_MS, 1) == {EDGE: Flow(2, 0, 0, 0)}
    window.at(NOW_MS + 61 * MINUTE_MS).facts += 1
    window.at(NOW_MS).facts += 100  # too late: nobody sees it
    minutes = list(window.minutes(NOW_MS + 61 * MINUTE_MS))
    assert len(minutes) == 60
    assert sum(bucket.facts for _, bucket in minutes) == 1


def test_too_many_different_edges_are_not_kept(monkeypatch) -> None:  # type: ignore[no-untyped-def] # pytest's
    monkeypatch.setattr(windows, "MAX_EDGES", 2)
    window, counter = Window(), Counter[Edge]()
    for name in ("a", "b", "c", "a"):
        window.count(counter, Edge("", "office.quote", name))
    assert counter == {Edge("", "office.quote", "a"): 2, Edge("", "office.quote", "b"): 1}
