from __future__ import annotations

from pathlib import Path

import pytest

from mesh.dashboard.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "page"
    (folder / "lib").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "lib" / "app.js").write_text("1")
    (folder / "notes.txt").write_text("not served")
    (tmp_path / "secret.js").write_text("2")
    return Files(folder)


def test_files_are_served_by_their_path_and_routes_of_the_page_by_its_index(files: Files) -> None:
    found = files.find("/lib/app.js")
    assert found is not None
    assert (found.content, found.media_type) == (b"1", "text/javascript; charset=utf-8")
    for path in ("/", "/map", "/chain/0-a"):
        index = files.find(path)
        assert index is not None
        assert index.media_type == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/notes.txt", "/lib/../../secret.js", "/../secret.js", "/secret.js", "/lib/none.js"]
)
def test_nothing_else_is_served(files: Files, path: str) -> None:
    assert files.find(path) is None
