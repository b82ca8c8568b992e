from __future__ import annotations

from mesh.core.shared import View
from mesh.processor.part import Part, Span


def test_our_own_entries_leave_nothing_to_review() -> None:
    part = Part(0, 0, View())
    part.edge = 10
    assert [part.landed(offset) for offset in (10, 11, 12)] == [False, False, False]
    assert not part.foreign
    assert part.edge == 13


def test_a_hole_between_our_own_is_somebody_elses() -> None:
    part = Part(0, 0, View())
    assert part.landed(3)
    assert not part.landed(4)
    assert part.landed(6)
    assert list(part.foreign) == [Span(0, 3), Span(5, 6)]


def test_an_end_says_nothing_while_something_is_on_its_way() -> None:
    part = Part(0, 0, View())
    part.edge, part.flying = 4, 1
    assert not part.extends_to(6)
    part.flying = 0
    assert not part.extends_to(4)
    assert part.extends_to(6)
    assert list(part.foreign) == [Span(4, 6)]
    assert part.edge == 6
    assert "restoring" in repr(part)
