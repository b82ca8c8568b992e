"""`mesh new`: an agent to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

EXAMPLES = """
mesh new hello
mesh new order-desk --owner team-sales
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "new", examples=EXAMPLES)(new)


def new(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    owner: Annotated[str, typer.Option(help="The team or person that answers for it.")] = "me",
    directory: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where.", show_default="./NAME")
    ] = None,
) -> None:
    """Write an agent to begin with: models, a test that passes, a compose service."""
    from mesh.cli.templates import files

    folder = Path(name) if directory is None else directory
    made = files(name, owner)
    there = [file for file in made if (folder / file).exists()]
    if there:
        raise UsageError(f"{folder} has {', '.join(there)} already; choose another --directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in made.items():
            (folder / file).write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    module = name.replace("-", "_")
    session.out.data(
        {"directory": str(folder), "files": list(made), "agent": f"{module}:agent"},
        lambda: "\n".join(str(folder / file) for file in made),
    )
    session.out.say(f"\ncd {folder}")
    width = len(f"mesh dev {module}:agent") + 2
    session.out.say(f"{'pytest':{width}}its test")
    session.out.say(f"mesh dev {module}:agent  run it; saved files are loaded again")
    session.out.say(f'mesh submit {name}.greet --json \'{{"name": "Ada"}}\' --wait')
