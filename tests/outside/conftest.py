"""The same brokers and meshes as the integration tests have."""

from __future__ import annotations

from tests.integration.conftest import (
    embedded_site,
    embedded_world,
    kafka_world,
    site,
    world,
)

__all__ = ["embedded_site", "embedded_world", "kafka_world", "site", "world"]
