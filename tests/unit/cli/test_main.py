from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from mesh.cli.main import COMMANDS, run
from tests.unit.cli.conftest import Cli

OURS = ("mesh.core", "mesh.wire", "mesh.runtime", "mesh.transport", "mesh.config", "mesh.bootstrap",
        "confluent_kafka", "fastavro", "faust", "aiohttp", "rich", "watchfiles")  # fmt: skip
HEAVY = (*OURS, "pydantic", "asyncio")
MODULES_AT_MOST = 190
"""Typer alone brings some 140, in half of the 200 ms that the help text may take."""


def loaded(*arguments: str) -> list[str]:
    code = (
        "import sys\nfrom mesh.cli.main import run\n"
        f"try: run({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.split()


def test_help_loads_nothing_heavy() -> None:
    modules = loaded("--help")
    assert not [name for name in modules if name.startswith(HEAVY)]
    assert len(modules) <= MODULES_AT_MOST


@pytest.mark.parametrize("name", ["dev", "submit", "audit"])
def test_no_help_text_loads_what_a_command_needs_to_work(name: str) -> None:
    assert not [module for module in loaded(name, "--help") if module.startswith(OURS)]


def test_every_command_has_a_summary_and_examples(cli: Cli) -> None:
    listed = cli("--help").out
    for name in COMMANDS:
        if name == "piloted":
            assert "piloted" not in listed
            continue
        assert f"\n  {name} " in listed
        text = cli(name, "--help").out
        assert text.startswith(f"Usage: mesh {name}")


def test_a_typo_suggests_the_command(cli: Cli) -> None:
    ran = cli("sumbit")
    assert ran.code == 2
    assert "Did you mean 'submit'?" in ran.err


def test_it_says_which_version_it_is(cli: Cli) -> None:
    ran = cli("--version")
    assert (ran.code, ran.out) == (0, f"parley-mesh {version('parley-mesh')}\n")


def test_no_command_is_help(cli: Cli) -> None:
    ran = cli()
    assert "Commands:" in ran.out + ran.err


def test_the_entry_point_takes_the_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mesh", "--help"])
    with pytest.raises(SystemExit):
        run()
    assert capsys.readouterr().out.startswith("Usage: mesh ")


def test_a_containers_first_process_ends_at_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    try:
        with pytest.raises(SystemExit):
            run(["--help"])
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143
