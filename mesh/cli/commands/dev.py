"""`mesh dev`: broker, agents and what moves, in one go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.cli.developing import Item

EXAMPLES = """
mesh dev --example procurement
mesh dev hello:agent
mesh dev hello:agent --broker kafka
mesh dev --example procurement --data releases/ --exit-when-done -o json
"""


class Example(StrEnum):
    """A ready-made mesh; see `agents/`."""

    PROCUREMENT = "procurement"


MODULES = {Example.PROCUREMENT: "agents.procurement.demo"}
"""Each has `AGENTS`, `CAPABILITY` and `releases(path)`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "dev", examples=EXAMPLES)(dev)


def dev(
    session: Session,
    agents: Annotated[
        list[str] | None, typer.Argument(metavar="MODULE:AGENT", show_default=False)
    ] = None,
    example: Annotated[
        Example | None, typer.Option(help="Run a ready-made example.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="What the example works on.", show_default="samples"),
    ] = None,
    broker: Annotated[
        str, typer.Option(metavar="embedded|kafka|HOST:PORT", help="Which broker.")
    ] = "embedded",
    exit_when_done: Annotated[
        bool, typer.Option("--exit-when-done", help="End when the example's work has ended.")
    ] = False,
) -> None:
    """Run a broker and agents in one go, and watch the work move.

    Agents are loaded again when their files are saved; what they were doing goes on from its
    journal. Ctrl-C ends it. Other commands of this user find this mesh while it runs. With
    `--exit-when-done -o json` stdout holds one JSON object: the run in figures.
    """
    from mesh.cli.developing import Plan

    targets = tuple(agents or ())
    capability, load = "", _nothing
    if example is not None:
        targets, capability, load = _example(example, data, targets)
    elif data is not None or exit_when_done:
        raise UsageError("--data and --exit-when-done are for an --example")
    if not targets:
        raise UsageError("name an agent, like `mesh dev hello:agent`, or --example procurement")
    plan = Plan(
        targets=targets,
        broker=broker,
        capability=capability,
        load=load,
        # nobody is there to press Ctrl-C where the example's output goes to a file or a pipe
        exit_when_done=exit_when_done or (example is not None and not sys.stdout.isatty()),
        reload=example is None,
    )
    session.run(_dev(session, plan))


async def _dev(session: Session, plan: object) -> None:
    from mesh.cli.developing import Dev
    from mesh.cli.serving import stopping

    running = Dev(session, plan)  # type: ignore[arg-type] # its class is imported late
    with stopping(running.stop.set):
        await running.run()
    running.finish()


def _nothing() -> Sequence[Item]:
    return ()


def _example(
    example: Example, data: Path | None, more: tuple[str, ...]
) -> tuple[tuple[str, ...], str, Callable[[], Sequence[Item]]]:
    """Return the agents of an example, what to submit to, and what loads its inputs."""
    module = _module(example)
    return (*module.AGENTS, *more), module.CAPABILITY, partial(_items, module.releases, data)


def example_agents(example: Example) -> tuple[str, ...]:
    """Return the agents of an example, as `mesh run` takes them.

    Raises:
        UsageError: The example is not here, or lacks something.
    """
    agents: tuple[str, ...] = _module(example).AGENTS
    return agents


def _module(example: Example) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(MODULES[example])
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("agents"):
            raise UsageError(
                f"the example {example} is not here: examples run from a clone of the repository"
            ) from error
        raise UsageError(
            f"the example {example} needs {error.name}: pip install 'parley-mesh[{example}]'"
        ) from error


def _items(releases: Callable[..., object], data: Path | None) -> Sequence[Item]:
    from mesh.cli.developing import Item

    try:
        lines = list(releases(data))  # type: ignore[call-overload] # the example's own type
    except FileNotFoundError as error:
        raise UsageError(f"--data: {error}") from error
    return [Item(line.source, line.input, line.defect) for line in lines]
