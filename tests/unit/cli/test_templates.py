from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.cli.templates import files
from mesh.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def test_its_own_test_passes(tmp_path: Path) -> None:
    for name, text in files("order-desk", "team-sales").items():
        (tmp_path / name).write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_files_name_the_agent() -> None:
    made = files("order-desk", 'team "sales"')
    assert set(made) == {
        "order_desk.py", "order_desk_models.py", "test_order_desk.py", "compose.yaml", "Dockerfile",
    }  # fmt: skip
    assert 'Agent("order-desk", owner="team sales"' in made["order_desk.py"]
    assert "mesh run order_desk:agent --create-topics" in made["compose.yaml"]


@pytest.mark.parametrize("name", ["", "Order", "order_desk", "-x", "class", "mesh", "a b"])
def test_a_name_that_no_agent_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an agent's name"):
        files(name, "o")


def test_an_owner_is_needed() -> None:
    with pytest.raises(UsageError, match="owner"):
        files("order", " ")
