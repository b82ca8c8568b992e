"""The broker that `mesh dev` works with: embedded, a real Kafka on this machine, or somebody's."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mesh.cli.output import Out

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.ports import TopicAdmin
    from mesh.transport.broker import BrokerStatus

EMBEDDED = "embedded"
SMALL = {"inbox": 2}
"""Partitions on the embedded broker. It keeps about 5 MiB of each, so that task partitions, and
with them workflows, are spread over all of the audit stream's as elsewhere."""
KAFKA = "kafka"


class Ready(NamedTuple):
    """A broker to work with: the settings for it, who creates topics, and what to say of it."""

    config: Config
    admin: TopicAdmin
    words: str


def broker_folder() -> Path:
    """Return where the real Kafka of this user is kept."""
    from mesh.config import data_folder

    return data_folder() / "broker"


@asynccontextmanager
async def broker(kind: str, config: Config, out: Out) -> AsyncIterator[Ready]:
    """Have a broker for the time of a command; one that was started here is stopped again.

    Raises:
        UsageError: Java or Maven is missing, or the address is no address.
        TransportError: It did not start, or cannot be reached.
    """
    if kind == EMBEDDED:
        with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
            async with _embedded(config, Path(folder)) as ready:
                yield ready
    elif kind == KAFKA:
        async with _kafka(config, out) as ready:
            yield ready
    else:
        from mesh.bootstrap import administer

        theirs = config.model_copy(update={"bootstrap": kind, "embedded": False})
        yield Ready(theirs, administer(theirs), f"Kafka at {kind}")


@asynccontextmanager
async def _embedded(config: Config, folder: Path) -> AsyncIterator[Ready]:
    from mesh.bootstrap import EMBEDDED_LIMITS, embedded_broker

    started, admin = embedded_broker()
    try:
        own = {
            "bootstrap": started.bootstrap,
            "embedded": True,
            "artifacts": folder,
            "partitions": SMALL | config.partitions,
        }
        words = f"{started.bootstrap}, embedded: {EMBEDDED_LIMITS}"
        yield Ready(config.model_copy(update=own), admin, words)
    finally:
        started.close()


@asynccontextmanager
async def _kafka(config: Config, out: Out) -> AsyncIterator[Ready]:
    from mesh.bootstrap import administer, broker_status, start_broker, stop_broker

    folder = broker_folder()
    before = await asyncio.to_thread(broker_status, folder)
    status = await asyncio.to_thread(lambda: start_broker(folder, progress=out.say))
    own = config.model_copy(update=settings_for(status))
    try:
        words = f"{status.bootstrap}, Apache Kafka from {status.origin}"
        yield Ready(own, administer(own), words)
    finally:
        if before is None or not before.running:
            await asyncio.to_thread(lambda: stop_broker(folder, progress=out.say))


def settings_for(status: BrokerStatus) -> dict[str, object]:
    """Return the settings with which a broker of this machine is reached."""
    from mesh.config import Security

    own = status.security
    security = Security(
        protocol=own.protocol,
        mechanism=own.mechanism,
        username=own.username,
        password=own.password,  # type: ignore[arg-type] # pydantic makes it a secret
        ca_location=own.ca_location,
    )
    return {"bootstrap": status.bootstrap, "embedded": False, "security": security}
