from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mesh.cli.commands.piloted import own_files
from tests.unit.cli.office import TARGETS

ROOT = Path(__file__).resolve().parents[4]


def piloted(*targets: str, words: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mesh.cli", "piloted", *targets],
        input=words,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"MESH_BOOTSTRAP": "127.0.0.1:9", "MESH_TIMEOUT": "0.2"},
    )


def test_it_says_what_it_would_run_and_ends_with_its_input() -> None:
    done = piloted(*TARGETS)
    assert done.returncode == 0, done.stderr
    (said,) = map(json.loads, done.stdout.splitlines())
    assert said["agents"] == ["desk", "ann", "bob"]
    assert said["capabilities"] == ["office.order", "office.quote", "office.quote"]
    assert str(ROOT / "tests/unit/cli/office.py") in said["files"]


def test_what_goes_wrong_is_told_to_the_parent_alone() -> None:
    done = piloted("tests.unit.cli.office:boss")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["usage"] is True
    assert "has no 'boss'" in said["error"]
    assert done.stderr == ""
    lines = piloted(TARGETS[0], words="go\n").stdout.splitlines()
    assert "connect to 127.0.0.1:9" in json.loads(lines[-1])["error"]


def test_installed_files_are_not_watched() -> None:
    files = own_files(ROOT)
    assert str(Path(__file__)) in files
    assert not [
        name
        for name in files
        if "/site-packages/" in name or "/mesh/cli/" in name.replace(str(ROOT / "tests"), "")
    ]
