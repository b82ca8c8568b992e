"""The two brokers on which the integration tests run, and a mesh on one of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from mesh.ports import TopicPlan
from mesh.transport.embedded import EmbeddedAdmin, EmbeddedBroker
from mesh.transport.kafka_admin import KafkaAdmin
from tests.integration.world import WITHIN_S, Site, World


@pytest.fixture
def embedded_site() -> Iterator[Site]:
    with EmbeddedBroker() as broker:
        create = EmbeddedAdmin(broker).create
        yield Site(bootstrap=broker.bootstrap, embedded=True, create=create)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.broker)])
def site(request: pytest.FixtureRequest) -> Site:
    """A broker of each kind."""
    if request.param == "embedded":
        found = request.getfixturevalue("embedded_site")
        assert isinstance(found, Site)
        return found
    return real_site(request.getfixturevalue("kafka"))


def real_site(bootstrap: str) -> Site:
    async def create(plans: Sequence[TopicPlan]) -> None:
        """Create topics, and return when the broker tells of them: that is a moment later."""
        admin = KafkaAdmin(bootstrap)
        await admin.create(plans)
        names = [plan.name for plan in plans]
        until = time.monotonic() + WITHIN_S
        while len(await admin.describe(names)) < len(names):
            assert time.monotonic() < until, "topics were created and are not there"

    return Site(bootstrap=bootstrap, embedded=False, create=create)


@pytest.fixture
async def world(site: Site, unique: str) -> AsyncIterator[World]:
    """A mesh on each kind of broker; its log must break no invariant in the end."""
    async for made in _world(site, unique):
        yield made


@pytest.fixture
async def kafka_world(kafka: str, unique: str) -> AsyncIterator[World]:
    """A mesh on real Kafka."""
    async for made in _world(real_site(kafka), unique):
        yield made


@pytest.fixture
async def embedded_world(embedded_site: Site, unique: str) -> AsyncIterator[World]:
    """A mesh on the embedded broker."""
    async for made in _world(embedded_site, unique):
        yield made


async def _world(site: Site, name: str) -> AsyncIterator[World]:
    made = World(site, name.replace("--", "-"))  # a name that was cut at a hyphen has two
    yield made
    await made.close()
    made.story.check(all_ended=not made.may_stay_open)
