from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.image.dockerfile import Ignored, instructions


def test_lines_that_go_on_are_one() -> None:
    text = "# a comment\nFROM a AS b\nENV A=1 \\\n    B=2\n\nRUN x"
    assert instructions(text) == [("FROM", "a AS b"), ("ENV", "A=1 B=2"), ("RUN", "x")]


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="VOLUME is not understood"):
        instructions("FROM a\nVOLUME /x")


def test_the_context_is_what_the_dockerfile_copies(tmp_path: Path) -> None:
    ignored = Ignored((ROOT / ".dockerignore").read_text().splitlines())
    for inside in (
        "mesh/config.py",
        "schemas/Bid.avsc",
        "requirements/image.txt",
        "pyproject.toml",
    ):
        assert not ignored.has(inside), inside
    for outside in (".git/config", "tests/x.py", ".venv/x", "mesh/__pycache__/a.pyc", "mesh/a.pyc"):
        assert ignored.has(outside), outside
    with pytest.raises(FileNotFoundError, match="the context has nothing of it"):
        ignored.copy(ROOT, "docs", tmp_path)


def test_the_image_is_as_it_should_be() -> None:
    lines = instructions((ROOT / "Dockerfile").read_text())
    said = dict(lines)
    assert said["USER"] == "10001:10001"
    for keyword in ("ENTRYPOINT", "CMD"):  # the exec form: a shell would keep the signals
        assert said[keyword].startswith("[")
    assert 'CMD ["' in said["HEALTHCHECK"]
    assert [keyword for keyword, _ in lines].count("FROM") == 2
