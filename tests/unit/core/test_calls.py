"""Calls cannot be changed, and each names its step."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import get_args

import pytest

from mesh.core import calls as c


@pytest.mark.parametrize("kind", get_args(c.Call))
def test_a_call_is_frozen_and_names_its_step(kind: type) -> None:
    made = kind(**{field.name: 1 for field in fields(kind)})
    with pytest.raises(FrozenInstanceError):
        made.step = 2


def test_what_a_handler_is_told_names_its_start() -> None:
    for kind in (c.Resolve, c.Perform, c.Probe, c.Review, c.Refuse, c.Stop):
        assert kind._fields[:2] == ("task", "award")
    assert {"task", "award"} <= set(c.Work._fields)


def test_what_a_handler_says_back_names_its_start() -> None:
    for kind in (c.Called, c.StepDone, c.Probed, c.Reviewed, c.Waiting, c.HandlerStopped):
        assert kind._fields[:2] == ("task", "award")
