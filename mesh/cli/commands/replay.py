"""`mesh replay`: recorded workflows against today's code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.cli.replaying import Replay, Replayer
    from mesh.config import Config
    from mesh.runtime.agent import Agent
    from mesh.telling.story import Chronicle

EXAMPLES = """
mesh replay 3-8f2c --with hello:agent
mesh replay --all --example procurement
mesh replay 3-8f2c --with changed:agent -o json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "replay", examples=EXAMPLES)(replay)


def replay(
    session: Session,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", show_default="the latest")] = "",
    code: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="MODULE:AGENT", help="The code to run; repeatable."),
    ] = None,
    example: Annotated[str, typer.Option(metavar="NAME", help="The code of an example.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every workflow of the mesh.")] = False,
) -> None:
    """Run a workflow's handlers against its journal, offline.

    No tool, no model and no other agent is called. Tells for each task whether the code takes the
    recorded steps and comes to the recorded end; else which step differs first, with both sides.
    Exit code 5 if one differs.
    """
    targets = list(code or ())
    if example:
        from mesh.cli.commands.dev import Example, example_agents

        if example not in list(Example):
            raise UsageError(f"--example: there is {', '.join(Example)}, not {example!r}")
        targets += example_agents(Example(example))
    if not targets:
        raise UsageError("say with which code: --with module:agent, or --example procurement")
    session.run(_replay(session, workflow, targets, every=every))


async def _replay(session: Session, name: str, targets: Sequence[str], *, every: bool) -> None:
    from mesh.bootstrap import load_agents
    from mesh.cli.reading import AuditReader, connected

    config, out = session.config(), session.out
    agents = {agent.name: agent for agent in load_agents(targets)}
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            if every:
                chronicles = await reader.every_chronicle()
            else:
                found = await reader.find(name) if name else await reader.latest()
                chronicles = [await reader.chronicle(found)]
    crew = _Crew(agents, config)
    async with out.waiting(lambda: f"replaying, {len(crew.done)} tasks done"):
        for chronicle in chronicles:
            await crew.replay(chronicle)
        await crew.close()
    _tell(session, len(chronicles), crew.done, crew.skipped)


class _Crew:
    def __init__(self, agents: dict[str, Agent], config: Config) -> None:
        self.done: list[Replay] = []
        self.skipped: dict[str, str] = {}
        self._agents = agents
        self._config = config
        self._replayers: dict[str, Replayer] = {}

    async def replay(self, chronicle: Chronicle) -> None:
        """Replay every task of a workflow; note those that cannot be, with the reason."""
        from mesh.cli.replaying import replayable

        for task, state in chronicle.states.items():
            reason = replayable(state, self._agents)
            if reason or state.terms is None:
                self.skipped[task] = reason
            else:
                self.done.append(await self._replayer(state.terms.agent).replay(state))

    def _replayer(self, name: str) -> Replayer:
        from mesh.bootstrap import artifacts
        from mesh.cli.replaying import Replayer

        if name not in self._replayers:
            self._replayers[name] = Replayer(self._agents[name], artifacts(self._config))
        return self._replayers[name]

    async def close(self) -> None:
        """Let go of what was started."""
        for replayer in self._replayers.values():
            await replayer.close()


def _tell(session: Session, workflows: int, done: list[Replay], skipped: dict[str, str]) -> None:
    from mesh.telling import words

    diverging = [own for own in done if own.verdict == "diverges"]
    shape = {
        "workflows": workflows,
        "tasks": len(done),
        "steps": sum(own.steps for own in done),
        "diverging": len(diverging),
        "changed_code": sum(not own.same_code for own in done),
        "replays": [_shape(own) for own in done],
        "skipped": skipped,
    }
    for reason in sorted(set(skipped.values())):
        count = sum(own == reason for own in skipped.values())
        session.out.say(f"not replayed: {words.plural(count, 'task')}, {reason}")
    session.out.data(shape, lambda: _picture(shape, done, diverging))
    if not done:
        raise UsageError("nothing was replayed: give the code of the agents that did the work")
    if diverging:
        raise CommandError(
            f"{len(diverging)} of {len(done)} tasks take other steps than recorded",
            Exit.NOT_VERIFIED,
        )


def _shape(own: Replay) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(own) | {"verdict": own.verdict.value}


def _picture(shape: dict[str, Any], done: list[Replay], diverging: list[Replay]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from mesh.telling import words

    lines: list[RenderableType] = []
    for own in diverging:
        where = f"step {own.step}" if own.step else "the end"
        changed = "" if own.same_code else ", whose code has changed"
        lines += [
            Text(f"✗ {own.task}  {own.capability} of {own.agent}{changed}", "red"),
            Text(f"    differs first at {where}"),
            Text(f"    recorded  {own.recorded}"),
            Text(f"    now       {own.called}"),
        ]
    same = len(done) - len(diverging)
    summary = (
        f"{words.plural(shape['workflows'], 'workflow')}, {words.plural(len(done), 'task')}, "
        f"{words.plural(shape['steps'], 'step')}: {same} as recorded, {len(diverging)} not"
    )
    lines.append(Text(summary, "red" if diverging else "green"))
    return Group(*lines)
