"""`mesh topics`: the difference first, then the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.config import Config
    from mesh.ports import TopicPlan
    from mesh.transport.kafka_admin import KafkaAdmin
    from mesh.transport.topics import TopicChange

EXAMPLES_PLAN = """
mesh topics plan hello:agent other.module:agent
mesh topics plan --capability procurement.quote --pool sourcing-eu
"""
EXAMPLES_APPLY = """
mesh topics apply hello:agent
mesh topics apply --replies billing       a topic for a submitter's replies
"""
Agents = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODULE:AGENT", help="Agents whose topics are wanted, too."),
]
Capabilities = Annotated[
    list[str] | None, typer.Option("--capability", metavar="NAME", help="Without its agent's code.")
]
Pools = Annotated[
    list[str] | None, typer.Option("--pool", metavar="NAME", help="An inbox pool: an agent's name.")
]
Replies = Annotated[
    list[str] | None, typer.Option("--replies", metavar="NAME", help="A submitter's reply topic.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    command(group, "plan", examples=EXAMPLES_PLAN)(plan)
    command(group, "apply", examples=EXAMPLES_APPLY)(apply)
    app.add_typer(group, name="topics", short_help="Compare a mesh's topics, and create them.")
    group.callback()(_group)


def _group() -> None:
    """Compare the topics of a mesh with what they should be, and close the difference."""


def plan(
    session: Session,
    agents: Agents = None,
    capability: Capabilities = None,
    pool: Pools = None,
    replies: Replies = None,
) -> None:
    """Show what would have to be done about the mesh's topics; changes nothing.

    Exit code 5 if something would have to be done.
    """
    wanted = _Wanted(agents, capability, pool, replies)
    session.run(_run(session, wanted, change=False))


def apply(
    session: Session,
    agents: Agents = None,
    capability: Capabilities = None,
    pool: Pools = None,
    replies: Replies = None,
) -> None:
    """Create the topics that are missing, and correct settings that differ.

    A number of partitions never changes: keys would move to other partitions. Such a difference is
    refused before anything is done.
    """
    wanted = _Wanted(agents, capability, pool, replies)
    session.run(_run(session, wanted, change=True))


class _Wanted:
    def __init__(
        self,
        targets: list[str] | None,
        capabilities: list[str] | None,
        pools: list[str] | None,
        replies: list[str] | None,
    ) -> None:
        self.targets = targets or []
        self.capabilities = capabilities or []
        self.pools = pools or []
        self.replies = replies or []

    def plans(self, config: Config) -> Sequence[TopicPlan]:
        """Return how the topics should be."""
        from mesh.bootstrap import load_agents, topic_plans

        agents = load_agents(self.targets)
        return topic_plans(
            config,
            [*self.capabilities, *(name for own in agents for name in own.capabilities)],
            [*self.pools, *(own.name for own in agents)],
            self.replies,
        )


async def _run(session: Session, wanted: _Wanted, *, change: bool) -> None:
    from mesh.bootstrap import administer, compare_topics, ensure_topics

    config, out = session.config(), session.out
    plans = wanted.plans(config)
    admin: KafkaAdmin = administer(config)
    async with out.waiting(f"asking {config.bootstrap} for {len(plans)} topics"):
        if change:
            changes = await ensure_topics(admin, plans, lambda one: out.say(str(one)))
        else:
            changes = await compare_topics(admin, plans)
    out.data([_shape(one) for one in changes], lambda: _table(changes))
    todo = sum(one.verdict.value != "ok" for one in changes)
    if todo and not change:
        raise CommandError(
            f"{todo} of {len(changes)} topics are not as they should be; `mesh topics apply` with "
            "the same arguments closes the difference",
            Exit.NOT_VERIFIED,
        )


def _shape(change: TopicChange) -> dict[str, Any]:
    return {
        "topic": change.plan.name,
        "verdict": change.verdict.value,
        "partitions": change.plan.partitions,
        "config": dict(change.plan.config),
        "differences": [
            {
                "setting": own.setting,
                "wanted": own.wanted,
                "found": own.found,
                "obstacle": own.obstacle,
            }
            for own in change.differences
        ],
    }


def _table(changes: Sequence[TopicChange]) -> RenderableType:
    from mesh.cli.output import table

    rows = (
        (
            one.plan.name,
            one.plan.partitions,
            one.verdict.value,
            "; ".join(
                f"{own.setting} is {own.found}, wanted {own.wanted}"
                f"{f' ({own.obstacle})' if own.obstacle else ''}"
                for own in one.differences
            ),
        )
        for one in changes
    )
    return table(("topic", "partitions", "verdict", "difference"), rows, right=("partitions",))
