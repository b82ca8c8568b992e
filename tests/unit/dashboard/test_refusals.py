from __future__ import annotations

from mesh.dashboard.refusals import Conflicting, Missing
from mesh.dashboard.web import _STATUS, _TITLES


def test_each_has_a_status_with_a_title() -> None:
    assert {_STATUS[Missing], _STATUS[Conflicting]} == {404, 409}
    assert set(_STATUS.values()) <= _TITLES.keys()
