"""Whole scenarios, word for word: `pytest tests/scenarios --rewrite` writes them; read the diff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.plays import PLAYS
from tests.scenarios.stage import Stage

HERE = Path(__file__).resolve().parent


def transcript(play: Callable[[Stage], None]) -> str:
    """Play a scenario and return its transcript; no task of it is left without an end."""
    stage = Stage()
    play(stage)
    assert not [left for log in stage.logs for left in log.audit.unended()]
    return "\n".join([f"# {play.__doc__}", "", *stage.lines, ""])


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_scenario(play: Callable[[Stage], None], rewrite: bool) -> None:
    path = HERE / f"{play.__name__}.txt"
    told = transcript(play)
    if rewrite:
        path.write_text(told, "utf-8")
    assert path.read_text("utf-8") == told, "if it is meant: --rewrite, and read the diff"


def test_a_scenario_is_told_twice_in_the_same_words() -> None:
    assert [transcript(play) for play in PLAYS] == [transcript(play) for play in PLAYS]
