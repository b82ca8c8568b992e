"""What others wrote is what they published, but for where modules are, and has its licence."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mesh.dashboard.files import PAGE

HERE = Path(__file__).parent / "vendor"
FOLDERS = (PAGE / "vendor", HERE)


def listed(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "vendor.json").read_text())
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=["page", "tests"])
def test_every_file_is_as_it_was_published(folder: Path) -> None:
    for own in listed(folder):
        content = (folder / own["file"]).read_bytes()
        assert sha256(content).hexdigest() == own["sha256"], own["file"]
        for ours, theirs in own["imports"].items():
            content = content.replace(f'from"{ours}"'.encode(), f'from"{theirs}"'.encode())
        assert sha256(content).hexdigest() == own["published_sha256"], own["file"]


@pytest.mark.parametrize("folder", FOLDERS, ids=["page", "tests"])
def test_every_file_has_a_licence_and_nothing_else_lies_there(folder: Path) -> None:
    known = {"vendor.json"}
    for own in listed(folder):
        assert own["licence"] in {"MIT", "Apache-2.0", "MPL-2.0"}
        assert (folder / own["licence_file"]).stat().st_size > 500
        known |= {own["file"], own["licence_file"]}
    there = {path.name for path in folder.iterdir()}
    assert {name for name in there - known if not name.startswith("LICENSE-")} == set()
    assert known <= there
