"""What a shell may say."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from mesh.core import calls as c
from mesh.core import inputs as i
from tests.unit.core.fleet import request


def test_a_request_says_nothing_that_was_not_given() -> None:
    asked = request()
    assert (asked.budget, asked.timeout_ms, asked.mode, asked.defect) == (None, None, None, "")
    with pytest.raises(FrozenInstanceError):
        setattr(asked, "event_id", "e")  # noqa: B010 - a plain assignment is refused by mypy


def test_what_a_runner_says_is_an_input_too() -> None:
    kinds = set(get_args(i.Input))
    assert {c.Called, c.StepDone, c.Probed, c.Reviewed, c.Waiting, c.HandlerFinished} <= kinds
    assert c.HandlerStopped in kinds
