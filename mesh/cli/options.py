"""The options that every command has, and what a command is given for them: a `Session`.

`@command(app, ...)` adds them to the signature of a function whose first parameter is the session;
they may also stand before the command's name.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from mesh.cli.output import Format, Out

if TYPE_CHECKING:
    from mesh.config import Config

SHARED = "Options of every command"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What stands in the shared options; None for what was not given."""

    output: Annotated[
        Format | None,
        typer.Option(
            "-o",
            "--output",
            help="How data is written.",
            rich_help_panel=SHARED,
            show_default="table",
        ),
    ] = None
    bootstrap: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the brokers are. [env: MESH_BOOTSTRAP]",
            rich_help_panel=SHARED,
        ),
    ] = None
    mesh: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which mesh. [env: MESH_NAME]", rich_help_panel=SHARED),
    ] = None
    context: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A named mesh, see `mesh context`. [env: MESH_CONTEXT]",
            rich_help_panel=SHARED,
        ),
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="How long to wait for an answer. [env: MESH_TIMEOUT]",
            rich_help_panel=SHARED,
        ),
    ] = None
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Data and failures only.", rich_help_panel=SHARED)
    ] = False
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours. [env: NO_COLOR]", rich_help_panel=SHARED)
    ] = False

    def over(self, other: Shared) -> Shared:
        """Return these options, with what they leave open filled from `other`."""
        given = {
            own.name: value
            for own in fields(self)
            if (value := getattr(self, own.name)) not in (None, False)
        }
        return replace(other, **given)


class Session:
    """What a command works with: its output, and its settings, read when first used."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        color = not shared.no_color and _environment_allows_color()
        self.out = Out(shared.output or Format.TABLE, quiet=shared.quiet, color=color)

    def __repr__(self) -> str:
        return f"Session({self.shared})"

    def config(self, *, joins: bool = True) -> Config:
        """Return the settings; `joins` False for whoever makes a mesh of its own."""
        from mesh.config import load

        own = self.shared
        flags = {
            "bootstrap": own.bootstrap,
            "mesh": own.mesh,
            "context": own.context,
            "timeout_s": own.timeout,
        }
        return load(flags, joins=joins)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the asynchronous part of a command."""
        import asyncio

        asyncio.run(work)


def _environment_allows_color() -> bool:
    from mesh.config import wants_color

    return wants_color()


def command(
    app: typer.Typer, name: str, *, hidden: bool = False, examples: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command; its help begins with its first line and the examples."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        made = with_shared(function)
        summary, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n")
        blocks = [summary, _verbatim(examples), rest.strip()]
        text = "\n\n".join(block for block in blocks if block)
        app.command(name, help=text, short_help=summary, hidden=hidden)(made)
        return function

    return register


def _verbatim(examples: str) -> str:
    """Return examples as a block that the help does not wrap."""
    lines = inspect.cleandoc(examples).splitlines()
    return "\b\n" + "\n".join(f"  {line}" for line in lines) if lines else ""


def with_shared(function: Callable[..., None]) -> Callable[..., None]:
    """Return `function` with the shared options in the place of its first parameter."""
    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    asked = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in own
    ]

    def run(_context: typer.Context, **given: Any) -> None:
        before = _context.obj if isinstance(_context.obj, Shared) else Shared()
        options = _shared_of(given).over(before)
        guarded(options, function, given)

    return _with_signature(run, function.__name__, asked)


def add_shared(app: typer.Typer) -> None:
    """Let the shared options, and `--version`, stand before the command's name, too."""

    def before(_context: typer.Context, version: bool, **given: Any) -> None:
        _context.obj = _shared_of(given)

    asked = inspect.Parameter(
        "version",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool,
            typer.Option(
                "--version",
                is_eager=True,
                callback=_tell_version,
                help="Say which version this is.",
            ),
        ],
    )
    app.callback(invoke_without_command=False)(_with_signature(before, "mesh", [asked]))


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"parley-mesh {version('parley-mesh')}")
        raise typer.Exit


def guarded(options: Shared, function: Callable[..., None], given: dict[str, Any]) -> None:
    """Call a command; turn what it raises into one line on stderr and an exit code."""
    from asyncio import CancelledError

    from mesh.cli.failures import Exit, exit_code, one_line

    try:
        function(Session(options), **given)
    except (KeyboardInterrupt, CancelledError):
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # whoever read our output has seen enough; Python must not complain at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None
    except typer.Exit:
        raise
    except Exception as error:
        if _debugging():
            raise
        Out(quiet=True).complain(f"mesh: {one_line(error)}")
        raise typer.Exit(exit_code(error)) from None


def _debugging() -> bool:
    from mesh.config import DEBUG, environment

    return bool(environment().get(DEBUG))


def _shared_of(given: dict[str, Any]) -> Shared:
    return Shared(**{own.name: given.pop(own.name) for own in fields(Shared)})


def _with_signature(
    function: Callable[..., None], name: str, asked: list[inspect.Parameter]
) -> Callable[..., None]:
    """Give a function that takes keywords the signature that Typer reads."""
    shared_hints = get_type_hints(Shared, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(own.name, keyword, default=own.default, annotation=shared_hints[own.name])
        for own in fields(Shared)
    ]
    context = inspect.Parameter("_context", keyword, annotation=typer.Context)
    every = (context, *asked, *shared)
    function.__name__ = name
    function.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined] # it may be set
    function.__annotations__ = {own.name: own.annotation for own in every}
    return function
