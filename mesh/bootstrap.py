"""The composition root: the only module that knows every part, and puts them together."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mesh.config import Config, environment
from mesh.errors import DefinitionError, MeshError, UsageError
from mesh.ports import TopicAdmin, TopicPlan
from mesh.processor.brokers import Brokers
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts, FileArtifacts
from mesh.runtime.process import Process
from mesh.transport import broker
from mesh.transport.embedded import LIMITS as EMBEDDED_LIMITS
from mesh.transport.embedded import EmbeddedAdmin, EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.transport.kafka_settings import Limits, Security
from mesh.transport.topics import TopicChange, Verdict, apply_topics, plan_topics
from mesh.wire import topics

if TYPE_CHECKING:
    from mesh.dashboard.server import Dashboard
    from mesh.dashboard.server import Plan as DashboardPlan
    from mesh.processor.app import Processor

__all__ = [
    "EMBEDDED_LIMITS",
    "administer",
    "artifacts",
    "broker_status",
    "compare_topics",
    "connect",
    "dashboard",
    "embedded_broker",
    "ensure_topics",
    "load_agents",
    "process",
    "processor",
    "start_broker",
    "stop_broker",
    "topic_plans",
]

Progress = Callable[[str], None]
VISIBLE_PAUSE_S = 0.1
VISIBLE_ATTEMPTS = 100
"""New topics are looked for at most so often: ten seconds, a hundred times what one node takes."""

# --- connections --------------------------------------------------------------------------------


def connect(config: Config, *, client_id: str, writes: bool = True) -> KafkaLog:
    """Describe a connection to the brokers; `open` makes it."""
    return KafkaLog(
        config.bootstrap,
        client_id=client_id,
        security=_security(config),
        embedded=config.embedded,
        writes=writes,
        limits=Limits(open_s=min(config.timeout_s, Limits.open_s)),
    )


def administer(config: Config) -> KafkaAdmin:
    """Return what manages topics.

    Raises:
        UsageError: The broker is the embedded one, which manages nothing from outside.
    """
    if config.embedded:
        raise UsageError(
            f"{config.bootstrap} is an embedded broker, whose topics `mesh dev` creates; use a "
            "real one (`mesh broker start`)"
        )
    return KafkaAdmin(config.bootstrap, client_id="mesh-admin", security=_security(config))


def artifacts(config: Config) -> Artifacts:
    """Return the store of large bodies: a folder, which hosts may share."""
    return FileArtifacts(config.artifacts)


def process(config: Config, agents: Sequence[Agent]) -> Process:
    """Put together one process of these agents; `start` starts it."""
    return Process(
        connect(config, client_id="mesh-agent"),
        config.mesh,
        agents,
        settings=config.core(),
        artifacts=artifacts(config),
    )


def processor(config: Config, *, skips_newer: bool = False) -> Processor:
    """Put together one worker of the processor; `start` starts it."""
    # Faust is read when somebody runs it, not for every command
    from mesh.processor.app import Processor  # noqa: PLC0415 - a quarter of a second

    own = config.security
    brokers = Brokers(
        bootstrap=config.bootstrap,
        embedded=config.embedded,
        protocol=own.protocol,
        mechanism=own.mechanism,
        username=own.username,
        password=own.password.get_secret_value(),
        ca_location=own.ca_location,
        certificate_location=own.certificate_location,
        key_location=own.key_location,
    )
    log = connect(config, client_id="mesh-processor")
    return Processor(log, config.mesh, brokers, skips_newer=skips_newer)


def dashboard(config: Config, plan: DashboardPlan) -> Dashboard:
    """Put together one dashboard; `start` starts it.

    Raises:
        UsageError: Nobody would have to say who they are.
    """
    # the web server is read when somebody runs it, not for every command
    from mesh.dashboard.server import Dashboard  # noqa: PLC0415 - a fifth of a second

    return Dashboard(connect(config, client_id="mesh-dashboard"), plan)


def _security(config: Config) -> Security:
    own = config.security
    return Security(
        protocol=own.protocol,
        mechanism=own.mechanism,
        username=own.username,
        password=own.password.get_secret_value(),
        ca_location=own.ca_location,
        certificate_location=own.certificate_location,
        key_location=own.key_location,
    )


# --- topics -------------------------------------------------------------------------------------


def topic_plans(
    config: Config,
    capabilities: Iterable[str],
    pools: Iterable[str],
    reply_names: Iterable[str] = (),
) -> tuple[TopicPlan, ...]:
    """Return how the topics of a mesh with these capabilities and inbox pools should be."""
    return topics.plans(
        config.mesh,
        capabilities=sorted(set(capabilities)),
        pools=sorted(set(pools)),
        reply_names=sorted(set(reply_names)),
        partitions=config.counts(),
        settings=config.core(),
    )


async def compare_topics(admin: TopicAdmin, wanted: Sequence[TopicPlan]) -> Sequence[TopicChange]:
    """Return what would have to be done; changes nothing.

    Raises:
        Unreachable, NotPermitted: The broker cannot be asked.
    """
    return await plan_topics(admin, wanted)


async def ensure_topics(
    admin: TopicAdmin,
    wanted: Sequence[TopicPlan],
    progress: Callable[[TopicChange], None] | None = None,
) -> Sequence[TopicChange]:
    """Create what is missing and correct what differs; return what was found beforehand.

    Raises:
        WrongTopic: One of them cannot be had as it should be; nothing was done.
        NotPermitted: The broker refuses us.
    """
    changes = await plan_topics(admin, wanted)
    await apply_topics(admin, changes, progress=progress)
    created = [change.plan.name for change in changes if change.verdict is Verdict.CREATE]
    # the controller has them; the brokers hear of them a moment later
    for _ in range(VISIBLE_ATTEMPTS):
        if len(await admin.describe(created)) == len(created):
            break
        await asyncio.sleep(VISIBLE_PAUSE_S)
    return changes


# --- brokers on this machine --------------------------------------------------------------------


def embedded_broker() -> tuple[EmbeddedBroker, EmbeddedAdmin]:
    """Start the embedded broker in this process; close it at the end."""
    started = EmbeddedBroker()
    return started, EmbeddedAdmin(started)


def start_broker(
    directory: Path, *, port: int = 0, scram: bool = False, progress: Progress | None = None
) -> broker.BrokerStatus:
    """Start a real Kafka in `directory`, or return the one that runs there."""
    settings = broker.BrokerSettings(port=port, scram=scram) if port or scram else None
    return broker.start(directory, settings, environ=environment(), progress=progress)


def stop_broker(directory: Path, *, progress: Progress | None = None) -> broker.BrokerStatus | None:
    """Stop it; None where there is none."""
    return broker.stop(directory, progress=progress)


def broker_status(directory: Path) -> broker.BrokerStatus | None:
    """Return what stands in `directory`; None where there is nothing."""
    return broker.status(directory)


# --- agents -------------------------------------------------------------------------------------


def load_agents(targets: Sequence[str]) -> list[Agent]:
    """Import agents, each given as `module:attribute`; the current folder is looked in first.

    Raises:
        UsageError: A target is malformed, missing, or no agent.
        DefinitionError: An agent is declared wrongly.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    agents = [_load(target) for target in targets]
    names = [agent.name for agent in agents]
    twice = sorted({name for name in names if names.count(name) > 1})
    for name in twice:
        owners = sorted({agent.owner for agent in agents if agent.name == name})
        if len(owners) > 1:
            raise DefinitionError(
                f"agent {name} is declared by {len(owners)} owners, {' and '.join(owners)}; a name "
                "belongs to one: rename the other"
            )
    if twice:
        raise UsageError(f"agent {twice[0]} is given twice; name each agent once")
    return agents


def _load(target: str) -> Agent:
    module_name, colon, attribute = target.partition(":")
    if not module_name or module_name.endswith(".py") or "/" in module_name:
        raise UsageError(f"{target!r} names no agent; write module:attribute, like hello:agent")
    module = _import(module_name, target)
    if not colon:
        return _only_agent(module, target)
    found = getattr(module, attribute, None)
    if found is None:
        others = [f"{module_name}:{name}" for name in _agents_in(module)]
        hint = f"; there is {', '.join(others)}" if others else ""
        raise UsageError(f"{target}: module {module_name} has no {attribute!r}{hint}")
    if not isinstance(found, Agent):
        raise UsageError(f"{target} is a {type(found).__name__}, not a mesh.Agent")
    return found


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            text = f"{target}: there is no module {missing} here or installed"
        else:
            text = f"{target}: it imports {missing}, which is not installed"
        raise UsageError(text) from error
    except MeshError as error:
        raise DefinitionError(f"{target}: {error}") from error
    # the author's module: whatever it raises is the author's to read, as one line
    except Exception as error:
        raise UsageError(f"{target}: its import raised {type(error).__name__}: {error}") from error


def _only_agent(module: ModuleType, target: str) -> Agent:
    names = _agents_in(module)
    if len(names) != 1:
        there = ", ".join(f"{target}:{name}" for name in names) or "none"
        raise UsageError(f"{target}: say which agent; there is {there}")
    found: Agent = getattr(module, names[0])
    return found


def _agents_in(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Agent)]
