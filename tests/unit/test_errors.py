"""The exception tree is what its docstring draws."""

from __future__ import annotations

import inspect
import re

import pytest

from mesh import errors


def drawn() -> dict[str, str]:
    """Return each class of the drawing with its parent."""
    tree: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^( {4}[│├└─ ]*)([A-Z]\w+)", line)
        if match is None:
            continue
        depth = (len(match[1]) - 4) // 4
        path[depth:] = [match[2]]
        tree[match[2]] = path[depth - 1] if depth else "Exception"
    return tree


def test_drawing_matches_the_classes() -> None:
    classes = dict(inspect.getmembers(errors, inspect.isclass))
    assert drawn() == {name: found.__bases__[0].__name__ for name, found in classes.items()}


def test_every_error_can_be_caught_as_one() -> None:
    for name in drawn():
        assert issubclass(getattr(errors, name), errors.MeshError)


def test_rejected_input_names_the_field() -> None:
    assert str(errors.InputRejected("is no number", field="/qty")) == "/qty: is no number"
    assert str(errors.InputRejected("is no object")) == "is no object"


def test_exceeded_budget_says_what_was_free() -> None:
    with pytest.raises(errors.BudgetExceeded, match="tokens: asked for 7, free is 5") as caught:
        raise errors.BudgetExceeded("tokens", asked=7, free=5)
    assert (caught.value.dimension, caught.value.asked, caught.value.free) == ("tokens", 7, 5)


def test_task_error_names_the_task() -> None:
    error = errors.TaskFailed("three attempts failed", task="w/1")
    assert str(error) == error.reason == "three attempts failed"
    assert error.task == "w/1"


def test_mismatch_shows_both_sides() -> None:
    error = errors.JournalMismatch("0.3", recorded="spend 5", called="tool fetch")
    assert str(error) == "step 0.3: the journal has spend 5, the handler called tool fetch"
