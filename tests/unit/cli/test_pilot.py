from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mesh.cli import pilot
from mesh.cli.pilot import Pilot
from mesh.errors import MeshError, UsageError
from tests.unit.cli.office import TARGETS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def made(*targets: str) -> Pilot:
    environ = os.environ | {"MESH_BOOTSTRAP": "127.0.0.1:9", "MESH_TIMEOUT": "0.2"}
    return Pilot(targets, environ, 0.5)


async def test_a_child_says_what_it_would_run_and_drains_when_told() -> None:
    child = made(*TARGETS)
    await child.stop()
    crew = await child.prepare()
    assert crew.agents == ("desk", "ann", "bob")
    assert ROOT / "tests/unit/cli/office.py" in crew.files
    await child.stop()
    assert await child.ended() == 0
    assert "pid=" in repr(child)


async def test_a_child_that_cannot_load_its_agents_is_a_usage_error() -> None:
    child = made("tests.unit.cli.office:boss")
    with pytest.raises(UsageError, match="has no 'boss'"):
        await child.prepare()


async def test_a_child_that_cannot_start_says_why() -> None:
    child = made(TARGETS[0])
    await child.prepare()
    with pytest.raises(MeshError, match="connect to 127"):
        await child.go()
    assert await child.ended() == 1


async def test_a_child_that_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(MeshError, match="ended with 0 before it was ready"):
        await made(TARGETS[0]).prepare()


async def test_a_child_that_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text(
        '#!/bin/sh\necho \'{"agents": [], "capabilities": [], "files": []}\'\nexec sleep 60\n'
    )
    deaf.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(deaf))
    monkeypatch.setattr(pilot, "KILL_AFTER_S", 0.1)
    child = made(TARGETS[0])
    child.drain_s = 0.1
    await child.prepare()
    await child.stop()
    assert await child.ended() == -9
