"""The hello agent as its author would test it."""

from __future__ import annotations

import importlib
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from mesh import Bid
from mesh.testing import MemoryMesh, crash_at_every_step

HELLO = Path(__file__).resolve().parents[4] / "agents" / "hello"


@pytest.fixture
def hello(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import it as `mesh run hello:agent` does in its own folder, where `models` lies beside it."""
    monkeypatch.syspath_prepend(HELLO)
    for name in ("hello", "models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("hello")


async def test_quote(hello: ModuleType) -> None:
    async with MemoryMesh(hello.agent) as mesh:  # no Kafka, no wall clock
        result = await mesh.submit(hello.quote, hello.Need(item="desk", qty=10))
        assert mesh.kinds(result.workflow) == [
            "TaskOpened",
            "SpendReserved",
            "SpendSettled",
            "WorkFinished",
        ]
    assert result.value == hello.Quote(supplier="ACME", total=Decimal("42.00"))


def test_it_bids_for_small_orders_only(hello: ModuleType) -> None:
    assert hello.bid(hello.Need(item="desk", qty=999)) == Bid(
        price_usd="0.05", eta_s=2, confidence=0.9
    )
    assert hello.bid(hello.Need(item="desk", qty=1000)) is None


async def test_it_survives_a_crash_at_every_step(hello: ModuleType) -> None:
    assert await crash_at_every_step(hello.agent, hello.quote, hello.Need(item="desk", qty=10)) > 3
