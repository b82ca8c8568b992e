from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import pytest
import typer

from mesh.cli.options import Session, Shared, add_shared, command, with_shared
from mesh.cli.output import Format
from mesh.errors import UsageError


def app_of(function: Callable[..., None]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    add_shared(app)
    command(app, "go", examples="mesh go there\nmesh go back")(function)
    command(app, "stay")(function)
    return app


def ran(app: typer.Typer, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app(args=list(arguments), prog_name="mesh")
    return int(ended.value.code or 0)


def test_shared_options_stand_before_or_after_the_command() -> None:
    seen: list[Shared] = []

    def go(session: Session) -> None:
        """Go."""
        seen.append(session.shared)

    app = app_of(go)
    assert ran(app, "-o", "json", "go", "--mesh", "orders", "-q") == 0
    assert ran(app, "--mesh", "first", "go", "--mesh", "second", "--timeout", "3") == 0
    assert (seen[0].output, seen[0].mesh, seen[0].quiet) == (Format.JSON, "orders", True)
    assert (seen[1].mesh, seen[1].timeout, seen[1].quiet) == ("second", 3.0, False)


def test_help_leads_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    def go(session: Session) -> None:
        """Go somewhere.

        At once.
        """

    assert ran(app_of(go), "go", "--help") == 0
    text = capsys.readouterr().out
    assert text.index("Go somewhere") < text.index("mesh go back") < text.index("At once")
    assert text.index("At once") < text.index("--bootstrap")


def test_a_failure_is_one_line_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    def go(session: Session) -> None:
        """Go."""
        raise UsageError("there is no there there")

    assert ran(app_of(go), "go") == 2
    assert capsys.readouterr().err == "mesh: there is no there there\n"


def test_what_nobody_expected_is_code_1_and_a_traceback_if_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def go(session: Session) -> None:
        """Go."""
        raise ValueError("odd")

    monkeypatch.delenv("MESH_DEBUG", raising=False)
    assert ran(app_of(go), "go") == 1
    assert capsys.readouterr().err.startswith("mesh: ValueError: odd")
    monkeypatch.setenv("MESH_DEBUG", "1")
    with pytest.raises(ValueError, match="odd"):
        app_of(go)(args=["go"])


def test_an_interrupt_is_130_and_a_closed_pipe_is_none(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[BaseException] = [KeyboardInterrupt(), BrokenPipeError(), typer.Exit(4)]

    def go(session: Session) -> None:
        """Go."""
        raise raised.pop(0)

    assert ran(app_of(go), "go") == 130
    with open(os.devnull, "w") as sink:  # noqa: PTH123 - a stream to be closed under our feet
        monkeypatch.setattr(sys, "stdout", sink)
        assert ran(app_of(go), "go") == 0
    monkeypatch.undo()
    assert ran(app_of(go), "go") == 4
    assert capfd.readouterr().err == ""


def test_the_settings_are_read_when_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NAME", "orders")
    monkeypatch.setenv("NO_COLOR", "1")
    session = Session(Shared(bootstrap="kafka:9092", timeout=2.0))
    config = session.config()
    assert (config.mesh, config.bootstrap, config.timeout_s) == ("orders", "kafka:9092", 2.0)
    assert not session.out.color
    assert "kafka:9092" in repr(session)


def test_asynchronous_work_is_run() -> None:
    done = []

    async def work() -> None:
        done.append(1)

    Session(Shared()).run(work())
    assert done == [1]


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def go(session: Session) -> None:
        """Go."""

    assert ran(app_of(go), "--version", "go") == 0
    assert capsys.readouterr().out.startswith("parley-mesh ")


def test_the_signature_has_own_and_shared_options() -> None:
    def go(session: Session, where: str = "here") -> None:
        """Go."""

    import inspect

    names = list(inspect.signature(with_shared(go)).parameters)
    assert names[:2] == ["_context", "where"]
    assert {"output", "bootstrap", "mesh", "timeout", "quiet", "no_color"} <= set(names)
    assert json.dumps(names)
