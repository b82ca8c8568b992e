from __future__ import annotations

from mesh.dashboard.login import LOGIN


def test_the_form_needs_neither_script_nor_style() -> None:
    assert "<script" not in LOGIN
    assert "style" not in LOGIN
    assert LOGIN.count("{why}") == 1
