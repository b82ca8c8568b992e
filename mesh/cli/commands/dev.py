"""`mesh dev`: broker, agents and what moves, in one go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.cli.developing import Item, Plan

EXAMPLES = """
mesh dev --example procurement
mesh dev hello:agent
mesh dev hello:agent --broker kafka
mesh dev --example procurement --data releases/ --exit-when-done -o json
mesh dev --example procurement --overeager
mesh dev hello:agent --policy policy.toml
"""


class Example(StrEnum):
    """A ready-made mesh; see `agents/`."""

    PROCUREMENT = "procurement"


MODULES = {Example.PROCUREMENT: "agents.procurement.demo"}
"""Each has `AGENTS`, `CAPABILITY`, `releases(path)`, `POLICY`, `shown(values)`, and what is to be
added for `--overeager`: `OVEREAGER_AGENTS` and `overeager()`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "dev", examples=EXAMPLES)(dev)


def dev(  # noqa: PLR0913  # one for each option
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
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Apply a policy before the agents start.", show_default=False
        ),
    ] = None,
    overeager: Annotated[
        bool, typer.Option("--overeager", help="Add to the example an agent that never stops.")
    ] = False,
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
    if example is None and (data is not None or exit_when_done or overeager):
        raise UsageError("--data, --overeager and --exit-when-done are for an --example")
    if not targets and example is None:
        raise UsageError("name an agent, like `mesh dev hello:agent`, or --example procurement")
    plan = Plan(targets=targets, broker=broker, policy=policy)
    if example is not None:
        plan = replace(
            _with_example(plan, _module(example), data, overeager=overeager),
            # nobody is there to press Ctrl-C where the example's output goes to a file or a pipe
            exit_when_done=exit_when_done or not sys.stdout.isatty(),
        )
    session.run(_dev(session, plan))


async def _dev(session: Session, plan: object) -> None:
    from mesh.cli.developing import Dev
    from mesh.cli.serving import stopping

    running = Dev(session, plan)  # type: ignore[arg-type] # its class is imported late
    with stopping(running.stop.set):
        await running.run()
    running.finish()


def _with_example(plan: Plan, module: ModuleType, data: Path | None, *, overeager: bool) -> Plan:
    """Return a plan that runs an example, too."""
    more = module.overeager if overeager else tuple
    return replace(
        plan,
        targets=(*module.AGENTS, *(module.OVEREAGER_AGENTS if overeager else ()), *plan.targets),
        capability=module.CAPABILITY,
        load=partial(_items, lambda: [*more(), *module.releases(data)]),
        reload=False,
        policy=plan.policy or module.POLICY,
        shows=module.shown,
    )


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


def _items(read: Callable[[], Iterable[Any]]) -> Sequence[Item]:
    from mesh.cli.developing import Item

    try:
        lines = list(read())  # each of the example's own type
    except FileNotFoundError as error:
        raise UsageError(f"--data: {error}") from error
    return [Item(line.source, line.input, line.defect, line.capability) for line in lines]
