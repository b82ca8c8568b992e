"""Sourcing that stops, and sourcing that does not."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from agents.procurement import demo, sourcing
from agents.procurement.models import Need
from mesh.testing import MemoryMesh
from tests.detection.test_agents import found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcing, "ANSWER_S", 0)


async def test_a_target_that_somebody_meets_ends_it() -> None:
    need = Need(item="chair", quantity=4, target_price=Decimal(83), currency="EUR")
    async with MemoryMesh(sourcing.agent) as mesh:
        result = await mesh.submit(sourcing.source, need)
        findings, _, _ = found(mesh)
    assert (result.value.quote.supplier, result.value.rounds) == ("Birch & Sons", 1)
    assert findings == []


async def test_a_target_that_nobody_meets_is_found_before_the_twelfth_turn() -> None:
    (line,) = demo.overeager()
    need = Need.model_validate_json(json.dumps(line.input))
    async with MemoryMesh(sourcing.agent) as mesh:
        result = await mesh.submit(sourcing.source, need)
        findings, _, calls = found(mesh)
    assert result.status == "failed", "unstopped, it ends when the money is gone"
    assert "BudgetExceeded" in result.error
    assert findings[0].kind == "no-progress"
    assert calls / len(sourcing.PRICES) < 12
