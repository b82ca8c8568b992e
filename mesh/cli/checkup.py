"""What `mesh doctor` looks at: each finding says what, why it matters, and what to do.

`definitions` needs no broker. `Broker` asks one; all that it writes are tombstones under a key that
nobody has, on presence and `M.open`, to see whether writing is allowed and what the brokers' clocks
say. It stops where the next question would only repeat the last answer.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from mesh.cli.output import Out
from mesh.cli.reading import read_directory
from mesh.core.detectors.starvation import lacking
from mesh.core.policy import Policy
from mesh.core.registry import CapabilityCard
from mesh.core.settings import Settings
from mesh.core.values import Effect, Mode
from mesh.errors import MeshError, NotPermitted, TransportError, Unreachable
from mesh.ports import Place, Report
from mesh.telling import words
from mesh.wire import topics

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.core.registry import Directory
    from mesh.ports import Log
    from mesh.runtime.agent import Agent

NOBODY = b"mesh-doctor"
"""The key of what the doctor appends: no instance and no workflow is called so."""
PATIENCE_S = 5.0


DEFAULTS = Settings()


class Health(StrEnum):
    """How a finding stands; shown beside its sign."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One line of the doctor: what was found; if it is not well, why it matters and the fix."""

    health: Health
    what: str
    why: str = ""
    fix: str = ""


def machine() -> Iterator[Finding]:
    """Look at the installation."""
    from mesh.transport.kafka_settings import client_version

    client = f"librdkafka {client_version()}"
    yield Finding(Health.OK, f"Python {platform.python_version()}, {client}")


def definitions(agents: Sequence[Agent], settings: Settings = DEFAULTS) -> Iterator[Finding]:
    """Look at agents as they are declared; what is wrong with them was refused at their import."""
    offered = {name for agent in agents for name in agent.capabilities}
    for agent in agents:
        yield from _agent(agent, offered)
        for capability in agent.card().capabilities:
            yield from _limits(agent.owner, capability, settings)


def _agent(agent: Agent, offered: set[str]) -> Iterator[Finding]:
    card = agent.card()
    names = words.listed(agent.capabilities) or "nothing"
    yield Finding(Health.OK, f"agent {agent.name} {card.version} of {card.owner} offers {names}")
    if not card.capabilities and not card.calls:
        yield Finding(
            Health.WARN,
            f"agent {agent.name} offers nothing and may call nobody",
            "it would only wait",
            "declare a capability with @agent.capability",
        )
    if not card.purpose:
        yield Finding(
            Health.WARN,
            f"agent {agent.name} has no purpose",
            "its card is what others choose it by, and what a person reads",
            f'Agent("{agent.name}", purpose="...")',
        )
    if "*" in card.calls:
        yield Finding(
            Health.WARN,
            f"agent {agent.name} may call everything (*)",
            "a scope that allows everything bounds nothing",
            "list the capabilities that it needs",
        )
    for capability in card.capabilities:
        if capability.mode is Mode.AUCTION and not capability.has_bid:
            yield Finding(
                Health.WARN,
                f"{capability.name} is auctioned, and has no bid function",
                "its bid is then neutral: free, by the time limit, half sure",
                f"@{capability.name.rpartition('.')[2]}.bid",
            )
        if capability.effect in (Effect.COMPENSABLE, Effect.IRREVERSIBLE):
            yield Finding(
                Health.OK,
                f"{capability.name} is {capability.effect}: an interrupted step of it is parked "
                "for a person unless a probe can tell what happened",
            )
    missing = [p for p in card.calls if "*" not in p and p not in offered]
    if missing:
        yield Finding(
            Health.OK, f"agent {agent.name} calls {words.listed(missing)}, offered elsewhere"
        )


def _limits(owner: str, offered: CapabilityCard, settings: Settings) -> Iterator[Finding]:
    """Find what a capability's own budget or timeout would have refused."""
    objection = Policy(mesh=settings.ceiling).refusal(
        offered.budget or settings.budget, offered.timeout_ms, offered.name, owner, settings
    )
    if objection is not None:
        argument = objection.field.removesuffix("_ms").partition(".")[0]
        yield Finding(
            Health.FAIL,
            f"{offered.name} refuses every task that names no {argument}: {objection.reason}",
            f"what the card says is taken where a submitter names no {argument}",
            f"another {argument}= in @agent.capability",
        )


class Broker:
    """Mutable: the questions to a broker; `reached` once it has answered."""

    def __init__(self, config: Config, agents: Sequence[Agent], out: Out) -> None:
        self.config = config
        self.agents = agents
        self.out = out
        self.reached = False

    async def examine(self) -> AsyncIterator[Finding]:
        """Yield findings, most basic first."""
        from mesh.bootstrap import connect

        config = self.config
        log = connect(config, client_id="mesh-doctor")
        try:
            async with self.out.waiting(f"connecting to {config.bootstrap}"):
                await log.open()
        except TransportError as error:
            yield _unreached(error, config)
            return
        self.reached = True
        try:
            yield Finding(Health.OK, f"{config.bootstrap} answers ({config.origin})")
            async for finding in self._topics():
                yield finding
            if not await log.ends(topics.audit(config.mesh)):
                return
            yield await self._may_write(log)
            yield await self._skew(log)
            async for finding in self._fleet(log):
                yield finding
        finally:
            await log.close(2.0)

    async def _topics(self) -> AsyncIterator[Finding]:
        from mesh.bootstrap import administer, compare_topics, topic_plans

        config = self.config
        if config.embedded:
            yield Finding(
                Health.WARN,
                "this is the embedded broker",
                "it keeps nothing after exit and has no permissions or compaction",
                "`mesh broker start` runs a real one",
            )
            return
        plans = topic_plans(
            config,
            [name for agent in self.agents for name in agent.capabilities],
            [agent.name for agent in self.agents],
        )
        try:
            changes = await compare_topics(administer(config), plans)
        except NotPermitted as error:
            yield Finding(
                Health.WARN,
                f"topics cannot be described: {error}",
                "whether their settings fit is not known",
                "grant DESCRIBE and DESCRIBE_CONFIGS, or ask who may",
            )
            return
        wrong = [change for change in changes if change.verdict.value != "ok"]
        if not wrong:
            count = words.plural(len(changes), "topic")
            yield Finding(Health.OK, f"{count} of mesh {config.mesh} are as they should be")
        for change in wrong:
            yield Finding(
                Health.FAIL,
                f"topic to {change}",
                "agents do not start without it, or it loses what it should keep",
                "`mesh topics apply`, with the same agents",
            )

    async def _may_write(self, log: Log) -> Finding:
        topic = topics.presence(self.config.mesh)
        report, _ = await _touch(log, Place(topic, -1))
        if report.error is None:
            return Finding(Health.OK, f"this user may write to {topic}")
        return Finding(
            Health.FAIL,
            f"nothing can be written to {topic}: {report.error}",
            "an agent that cannot say that it is there gets no work",
            "grant this user WRITE on the mesh's topics",
        )

    async def _skew(self, log: Log) -> Finding:
        """Compare the append times that the partitions' leaders give with this machine's clock."""
        topic = topics.open_workflows(self.config.mesh)
        leads = []
        for partition in sorted(await log.ends(topic)):
            report, between_ms = await _touch(log, Place(topic, partition))
            if report.error is None:
                leads.append(report.append_ms - between_ms)
        limit_ms = self.config.core().clock_skew_ms
        if self.config.embedded or len(leads) < 2:
            return Finding(Health.OK, "clock skew: one clock, or no append times to compare")
        skew_ms = round(max(leads) - min(leads))
        text = f"brokers' clocks differ by {skew_ms} ms, by append times (limit {limit_ms} ms)"
        if skew_ms <= limit_ms:
            return Finding(Health.OK, text)
        return Finding(
            Health.FAIL,
            text,
            "a holder might act on a lease that the log says is over",
            "synchronise the brokers' clocks (NTP), or raise MESH_SET_CLOCK_SKEW_MS everywhere",
        )

    async def _fleet(self, log: Log) -> AsyncIterator[Finding]:
        directory = await read_directory(log, self.config, self.out)
        directory.expire(int(time.time() * 1_000))
        alive = len(directory.present())
        counts = (
            f"{words.plural(len(directory.agents), 'agent')}, {words.plural(alive, 'instance')}"
        )
        yield Finding(Health.OK, f"{counts} alive")
        for name in sorted(_offered(directory)):
            lack = lacking(directory, name)
            if lack is not None:
                yield Finding(
                    Health.WARN,
                    f"nobody alive offers {name}",
                    f"{lack}: its tasks wait until they expire",
                    f"`mesh run` an agent of {words.listed(directory.agents_offering(name))}",
                )
        for agent in self.agents:
            reason = _refusal(directory, agent)
            if reason:
                yield Finding(
                    Health.FAIL,
                    reason,
                    "the registry keeps the first owner and the newest version",
                    "choose another name, or raise the version",
                )


def _refusal(directory: Directory, agent: Agent) -> str:
    """Return why the registry would refuse an agent; the directory is not used afterwards."""
    return directory.see_card(agent.name, agent.card())


def _offered(directory: Directory) -> set[str]:
    cards = [directory.card(name) for name in directory.agents]
    return {own.name for card in cards if card is not None for own in card.capabilities}


def _unreached(error: MeshError, config: Config) -> Finding:
    where = f"{config.bootstrap} ({config.origin})"
    said = str(error).partition("; ")[0]
    if isinstance(error, NotPermitted):
        fix = "check user, password and mechanism: `mesh context add`, or MESH_SASL_*"
        return Finding(Health.FAIL, f"{where} refuses us: {said}", "nothing works without", fix)
    fix = "start one with `mesh broker start` or `mesh dev`, or name another with --bootstrap"
    what = "does not answer" if isinstance(error, Unreachable) else "cannot be used"
    return Finding(Health.FAIL, f"{where} {what}: {said}", "nothing works without", fix)


async def _touch(log: Log, place: Place) -> tuple[Report, float]:
    """Append a tombstone of nobody, which changes nothing; return also the time in between."""
    reported: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

    def report(given: Report) -> None:
        if not reported.done():
            reported.set_result(given)

    sent = time.time()
    log.append(place, NOBODY, None, (), report)
    try:
        answer = await asyncio.wait_for(reported, PATIENCE_S)
    except TimeoutError:
        why = f"no acknowledgement within {PATIENCE_S:g} s"
        answer = Report(place.topic, place.partition, -1, 0, why)
    return answer, (sent + time.time()) / 2 * 1_000
