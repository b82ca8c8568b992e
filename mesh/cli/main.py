"""The command's entry: puts the commands together."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import typer

from mesh.cli.options import add_shared

HELP = """Parley: a governed mesh of agents on Kafka.

\b
  mesh dev --example procurement      see it work, on a broker inside the process
  mesh new hello && cd hello          an agent of your own, with its test
  mesh dev hello:agent                run it; it is loaded again when you save
  mesh submit hello.greet --json '{"name": "Ada"}' --wait
  mesh trace                          who did what, why, and what it cost
"""
COMMANDS = (
    "dev",
    "new",
    "run",
    "processor",
    "dashboard",
    "submit",
    "agents",
    "trace",
    "why",
    "replay",
    "watch",
    "incidents",
    "answer",
    "cancel",
    "halt",
    "state",
    "policy",
    "audit",
    "topics",
    "broker",
    "doctor",
    "context",
    "piloted",
)
"""In the order of the help text."""


def build() -> typer.Typer:
    """Return the command with all that it can do."""
    app = typer.Typer(
        name="mesh",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    add_shared(app)
    for name in COMMANDS:
        register: Callable[[typer.Typer], None] = import_module(
            f"mesh.cli.commands.{name}"
        ).register
        register(app)
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    if os.getpid() == 1:
        # The kernel keeps from a container's first process every signal that it has no handler for.
        signal.signal(signal.SIGTERM, _terminated)
    given = sys.argv[1:] if arguments is None else list(arguments)
    build()(args=given, prog_name="mesh")


def _terminated(number: int, _: object) -> None:
    raise SystemExit(128 + number)
