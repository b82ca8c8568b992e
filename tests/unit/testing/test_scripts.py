from __future__ import annotations

import pytest
from pydantic import BaseModel

from mesh.errors import UsageError
from mesh.testing.scripts import scripted


class Verdict(BaseModel):
    good: bool


def test_a_script_is_an_agent_like_others() -> None:
    agent, asked = scripted("risk.screen", [Verdict(good=True)])
    assert agent.name == "script-risk-screen"
    assert list(agent.capabilities) == ["risk.screen"]
    assert asked == []


def test_a_script_has_an_answer() -> None:
    with pytest.raises(UsageError, match=r"script risk\.screen: give at least one answer"):
        scripted("risk.screen", [])
