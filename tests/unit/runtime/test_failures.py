from __future__ import annotations

from mesh.core.settings import MAX_REASON
from mesh.runtime.failures import clip, summarise


class Broken(Exception):  # its text is what is broken
    def __str__(self) -> str:
        raise ValueError


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise KeyError("gone")


def caught(levels: int) -> Exception:
    try:
        deep(levels)
    except KeyError as problem:
        return problem
    raise AssertionError


def test_the_last_frames_are_named_without_the_machine_s_paths() -> None:
    text = summarise(caught(5))
    assert text.startswith("KeyError: 'gone' (at runtime/test_failures.py:")
    assert text.count("runtime/test_failures.py") == 3
    assert "/tests/" not in text


def test_groups_tell_their_first_members() -> None:
    group = ExceptionGroup("many", [ExceptionGroup("in", [ValueError("a"), ValueError("b")])] * 3)
    assert summarise(group) == "ValueError: a; ValueError: b; ValueError: a"


def test_exceptions_whose_text_cannot_be_had() -> None:
    assert "Broken" in summarise(Broken())


def test_texts_are_clipped() -> None:
    assert clip("x" * MAX_REASON) == "x" * MAX_REASON
    assert clip("x" * (MAX_REASON + 1)) == "x" * (MAX_REASON - 1) + "…"
