"""What the type checker says to an author: the hello agent passes, and mistakes do not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def check_types(*paths: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
    ]
    done = subprocess.run(
        [*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_hello_agent_is_accepted() -> None:
    assert check_types(HERE / "hello.py") == ""


@pytest.mark.slow
def test_mistakes_are_refused_and_nothing_else(tmp_path: Path) -> None:
    source = (HERE / "refused.txt").read_text()
    path = tmp_path / "refused.py"
    path.write_text(source)
    wanted = {n for n, line in enumerate(source.splitlines(), 1) if line.endswith("  #!")}
    found = {int(n) for n in re.findall(r"refused\.py:(\d+): error: ", check_types(path))}
    assert found == wanted
    assert len(wanted) > 10


def test_the_hello_agent_works() -> None:
    from tests.typing import hello
    from tests.typing.models import Need

    assert hello.bid(Need(item="desk", qty=1000)) is None
    assert list(hello.agent.capabilities) == [
        "procurement.quote",
        "procurement.double",
        "procurement.buy",
        "procurement.rate",
    ]
    assert hello.agent.card().capability("procurement.quote") is not None
