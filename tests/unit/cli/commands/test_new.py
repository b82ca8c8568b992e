from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli


def test_an_agent_to_begin_with(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("new", "order-desk", "-o", "json")
    assert ran.code == 0
    shape = json.loads(ran.out)
    assert shape["agent"] == "order_desk:agent"
    assert all((tmp_path / "order-desk" / name).is_file() for name in shape["files"])
    assert "mesh dev order_desk:agent" in ran.err
    again = cli("new", "order-desk")
    assert again.code == 2
    assert "has order_desk.py" in again.err
    assert cli("new", "order-desk", "--directory", "elsewhere").out.count("elsewhere/") == 5


def test_a_name_or_a_place_that_cannot_be(cli: Cli, tmp_path: Path) -> None:
    assert cli("new", "Order Desk").code == 2
    (tmp_path / "file").write_text("")
    ran = cli("new", "order", "--directory", str(tmp_path / "file" / "x"))
    assert ran.code == 2
