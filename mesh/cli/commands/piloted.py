"""`mesh piloted`: the process of agents that `mesh dev` runs; see `mesh.cli.pilot`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import Exit
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    import asyncio

    from mesh.cli.serving import Server


def register(app: typer.Typer) -> None:
    """Add the command, out of sight."""
    command(app, "piloted", hidden=True)(piloted)


def piloted(
    session: Session,
    agents: Annotated[list[str], typer.Argument(metavar="MODULE:AGENT")],
    drain: Annotated[float, typer.Option(min=0)] = 5.0,
) -> None:
    """Run agents for `mesh dev`: says what it runs, waits for a word, ends with its input."""
    session.run(_piloted(session, agents, drain))


async def _piloted(session: Session, targets: list[str], drain_s: float) -> None:
    import asyncio

    from mesh.bootstrap import load_agents
    from mesh.cli.serving import OFF, Server, Serving, log_to_stderr
    from mesh.errors import MeshError, UsageError

    log_to_stderr(quiet=True)
    try:
        agents = load_agents(targets)
        _say(
            agents=[agent.name for agent in agents],
            capabilities=[name for agent in agents for name in agent.capabilities],
            files=own_files(Path.cwd()),
        )
        words = await _words()
        if not await words.readline():
            return
        serving = Serving(
            drain_s=drain_s, health=OFF, told=lambda _: None, ready=lambda: _say(ready=True)
        )
        server = Server(session.config(), agents, serving)
        listening = asyncio.create_task(_until_silent(words, server))
        try:
            await server.run()
        finally:
            listening.cancel()
    except MeshError as error:
        # the parent tells it: once is enough
        _say(error=str(error), usage=isinstance(error, UsageError))
        raise typer.Exit(Exit.UNEXPECTED) from error


def own_files(folder: Path) -> list[str]:
    """Return the files of the loaded modules below a folder, without what is installed there."""
    found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    installed = (Path(sys.prefix), Path(__file__).parents[2])
    return sorted(
        name
        for name in found
        if name is not None
        and Path(name).is_relative_to(folder)
        and not any(Path(name).is_relative_to(other) for other in installed)
    )


def _say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def _words() -> asyncio.StreamReader:
    import asyncio

    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _until_silent(words: asyncio.StreamReader, server: Server) -> None:
    while await words.readline():
        pass
    server.stop.set()
