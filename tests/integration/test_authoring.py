"""The page for authors shows code that works."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "authoring.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's code as one module: the digest of a handler wants its source in a file."""
    (tmp_path / "authoring_page.py").write_text("\n\n".join(BLOCK.findall(PAGE.read_text("utf-8"))))
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("authoring_page")
    del sys.modules["authoring_page"]


@pytest.mark.slow
async def test_the_pages_own_tests_pass(page: ModuleType) -> None:
    tests = [getattr(page, name) for name in dir(page) if name.startswith("test_")]
    assert len(tests) == 4
    for test in tests:
        await test()
