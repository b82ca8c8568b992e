from __future__ import annotations

import pytest

from mesh.core.settings import MAX_BODY_BYTES
from mesh.errors import UsageError
from mesh.runtime.artifacts import Artifacts, MemoryArtifacts
from mesh.runtime.bodies import body
from mesh.runtime.services import Services
from mesh.runtime.threads import Threads

LARGE = body(b"x" * (MAX_BODY_BYTES + 1))


def services(artifacts: Artifacts | None) -> Services:
    return Services(
        agent="a",
        tools=frozenset(),
        threads=Threads(1, "test"),
        artifacts=artifacts,
        progress=lambda _, __: None,
    )


async def test_small_bodies_stay_and_large_ones_go() -> None:
    own = services(MemoryArtifacts())
    small = body(b"x" * MAX_BODY_BYTES)
    assert await own.keep(small) is small
    away = await own.keep(LARGE)
    assert away == LARGE._replace(content=None)
    assert await own.load(away) == LARGE.content
    assert await own.load(small) == small.content
    assert await own.keep(away) is away


async def test_without_a_store_large_bodies_are_refused() -> None:
    with pytest.raises(UsageError, match="need an artifact store"):
        await services(None).keep(LARGE)
