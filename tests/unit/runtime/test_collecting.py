"""Collections leave out what a process is ready with, and still find what it leaves behind."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mesh.runtime.collecting import YOUNG, give_back, settle

FRESH = 700


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def unsettled() -> Iterator[None]:
    """Begin as a process does: another test of this one may have settled it."""
    before = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(FRESH, *before[1:])
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_there_is_left_out_of_collections() -> None:
    kept = Knot()

    settle()

    assert gc.get_freeze_count() > 0
    assert not any(found is kept for found in gc.get_objects())


def test_collections_come_less_often() -> None:
    before = gc.get_threshold()

    settle()

    assert gc.get_threshold() == (YOUNG, *before[1:])
    assert before[0] == FRESH < YOUNG


def test_a_knot_that_is_left_behind_later_is_still_found() -> None:
    settle()
    knot = Knot()
    gone = weakref.ref(knot)

    del knot
    gc.collect()

    assert gone() is None


def test_freed_memory_is_given_back_where_that_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    libraries = [SimpleNamespace(malloc_trim=asked.append), SimpleNamespace()]
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libraries.pop(0))
    monkeypatch.setattr(sys, "platform", "linux")

    give_back()
    give_back()
    monkeypatch.setattr(sys, "platform", "darwin")
    give_back()

    assert asked == [0]
    assert libraries == []
