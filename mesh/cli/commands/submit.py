"""`mesh submit`: asks for something, and waits for it if told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.failures import CommandError, Exit, timed_out
from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.cli.submitting import Asked, Submitted, Submitter
    from mesh.config import Config
    from mesh.core.registry import Directory
    from mesh.ports import Log
    from mesh.telling.story import Story

EXAMPLES = """
mesh submit procurement.quote --json '{"item": "desk", "qty": 10}' --wait
mesh submit procurement.quote @need.json --budget usd=0.50 --within 2m
echo '{"item": "desk", "qty": 10}' | mesh submit procurement.quote - -o json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "submit", examples=EXAMPLES)(submit)


def submit(  # noqa: PLR0913 - the options of one command
    session: Session,
    capability: Annotated[str, typer.Argument(metavar="CAPABILITY")],
    value: Annotated[
        str, typer.Argument(metavar="INPUT", help="JSON, @FILE, or - for standard input.")
    ] = "",
    json: Annotated[str, typer.Option(metavar="INPUT", help="The same as an option.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Tell the story as it happens, and print the result.")
    ] = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="usd=0.50", help="What it may cost; else the capability's own."),
    ] = None,
    within: Annotated[
        str, typer.Option(metavar="DURATION", help="Its deadline from now, like 30s or 5m.")
    ] = "",
    mode: Annotated[
        str, typer.Option(metavar="direct|auction", help="How a worker is found.")
    ] = "",
    agent: Annotated[str, typer.Option(metavar="NAME", help="Ask this agent and no other.")] = "",
    goal: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, in words.")] = "",
    constraint: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What must hold, in words; may be repeated."),
    ] = None,
    event_id: Annotated[
        str,
        typer.Option("--id", metavar="ID", help="The same id again is answered, not run again."),
    ] = "",
) -> None:
    """Submit a task to whoever offers the capability.

    Prints the workflow's id, or with --wait its result. A capability that nobody offers is refused
    at once. Exit code 6 if the workflow ends otherwise than completed, 3 if --timeout passes first
    (the workflow goes on).
    """
    given = value or json
    if not given or (value and json):
        raise UsageError("give the input once: as JSON, as @FILE, or - for standard input")
    wanted = {
        "budget": tuple(budget or ()),
        "within": within,
        "mode": mode,
        "agent": agent,
        "goal": goal,
        "constraints": tuple(constraint or ()),
        "event_id": event_id,
    }
    session.run(_submit(session, capability, given, wanted, wait=wait))


async def _submit(
    session: Session, capability: str, given: str, wanted: dict[str, Any], *, wait: bool
) -> None:
    from mesh.bootstrap import artifacts
    from mesh.cli.asking import read_input
    from mesh.cli.reading import connected, read_directory
    from mesh.cli.submitting import Submitter, audit_partitions

    config, out = session.config(), session.out
    value = read_input(given)
    async with connected(config, out, writes=True) as log:
        async with out.waiting("reading the registry"):
            directory = await read_directory(log, config, out)
        asked = _asked(config, directory, capability, wanted)
        waits = _who_offers(directory, capability, agent=asked.agent)
        if waits:
            out.say(waits)
        count = await audit_partitions(log, config.mesh)
        submitter = Submitter(log, config.mesh, count, artifacts(config))
        if wait:
            await _and_wait(session, log, submitter, (capability, value, asked))
            return
        submitted = await submitter.submit(capability, value, asked)
    shape = submitted._asdict() | {"capability": capability}
    out.say(f"mesh trace {submitted.workflow} tells how it goes")
    out.data(shape, lambda: submitted.workflow)


def _asked(config: Config, directory: Directory, capability: str, wanted: dict[str, Any]) -> Asked:
    from mesh.cli.asking import check_request, read_budget
    from mesh.cli.submitting import Asked
    from mesh.core.values import Mode
    from mesh.runtime.quantities import parse_duration

    settings = config.core()
    offered = directory.capability(capability)
    default = offered.budget if offered is not None and offered.budget else settings.budget
    budget = read_budget(wanted["budget"], default)
    timeout_ms = parse_duration(wanted["within"], "--within") if wanted["within"] else None
    if offered is not None:
        check_request(directory, capability, budget, timeout_ms, settings)
    mode = None
    if wanted["agent"]:
        mode = Mode.NAMED
    elif wanted["mode"]:
        if wanted["mode"] not in (Mode.DIRECT, Mode.AUCTION):
            raise UsageError(f"--mode: {wanted['mode']!r} must be direct or auction")
        mode = Mode(wanted["mode"])
    return Asked(
        goal=wanted["goal"],
        constraints=wanted["constraints"],
        budget=budget,
        timeout_ms=timeout_ms,
        mode=mode,
        agent=wanted["agent"],
        event_id=wanted["event_id"],
    )


def _who_offers(directory: Directory, capability: str, *, agent: str) -> str:
    from mesh.cli.asking import check_offered
    from mesh.cli.failures import not_found

    waits = check_offered(directory, capability, int(time.time() * 1_000))
    offering = directory.agents_offering(capability)
    if agent and agent not in offering:
        raise not_found(f"agent {agent} does not offer {capability}; {', '.join(offering)} does")
    return waits


async def _and_wait(
    session: Session, log: Log, submitter: Submitter, task: tuple[str, Any, Asked]
) -> None:
    import asyncio

    from mesh.cli.reading import AuditReader

    config, out = session.config(), session.out
    reader = AuditReader(log, config, out)
    ends = await reader.ends()
    submitted = await submitter.submit(*task)
    out.say(submitted.workflow)
    try:
        async with asyncio.timeout(config.timeout_s):
            story = await _follow(session, reader, submitted, ends)
    except TimeoutError:
        raise timed_out(
            f"{submitted.workflow} has not ended within {config.timeout_s:g} s; it goes on: "
            f"`mesh trace {submitted.workflow}`, or wait longer with --timeout"
        ) from None
    _result(session, submitted, story)


async def _follow(
    session: Session, reader: Any, submitted: Submitted, ends: dict[int, tuple[int, int]]
) -> Story:
    from mesh.cli.telling import Teller
    from mesh.core.ids import audit_partition_of
    from mesh.telling.story import tell

    partition = audit_partition_of(submitted.workflow)
    teller = Teller(session.out)
    async with session.out.waiting("waiting for its end"):
        async for chronicle, entry in reader.live(submitted.workflow, ends[partition][1]):
            teller.tell(entry)
            if chronicle.ended:
                break
    story = tell(chronicle, partition)
    assert story is not None, "its root task was opened"
    return story


def _result(session: Session, submitted: Submitted, story: Story) -> None:
    import json

    from mesh.telling import shapes, words

    root = story.root
    completed = root.status == "completed"
    result = shapes.body(root.result) if completed else None
    took_ms = (root.ended_ms or story.now_ms) - submitted.append_ms
    shape = {
        "workflow": story.workflow,
        "status": root.status,
        "result": result,
        "error": root.reason,
        "cost": shapes.amount(root.cost),
        "duration_ms": took_ms,
        "tasks": len(story.tasks),
    }
    took = words.duration(took_ms)
    session.out.say(f"{root.status} in {took}, cost {words.amount(root.cost)}")
    if completed or session.out.is_json:
        session.out.data(shape, lambda: json.dumps(result, ensure_ascii=False, indent=2))
    if not completed:
        raise CommandError(
            f"{story.workflow} {root.status}: {root.reason or 'no reason was given'}", Exit.FAILED
        )
