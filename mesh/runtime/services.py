"""What the contexts of one runner share: threads, the artifact store, its part in shared state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mesh.core.calls import Work
from mesh.core.settings import MAX_BODY_BYTES
from mesh.core.values import Body
from mesh.errors import UsageError
from mesh.runtime.artifacts import Artifacts
from mesh.runtime.proposals import Proposals
from mesh.runtime.replica import Replica
from mesh.runtime.threads import Threads


class Part(NamedTuple):
    """What an instance has of shared state: None for what its agent does not declare."""

    proposals: Proposals | None = None
    replica: Replica | None = None


NO_PART = Part()


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What contexts of one runner share."""

    agent: str
    tools: frozenset[str]
    threads: Threads
    artifacts: Artifacts | None
    progress: Callable[[Work, str], None]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    part: Part = NO_PART

    async def keep(self, contents: Body) -> Body:
        """Return a body that fits into an event: a large one goes to the artifact store."""
        content = contents.content
        if content is None or len(content) <= MAX_BODY_BYTES:
            return contents
        store = self.store()
        await self.threads.run(lambda: store.put(content))
        return contents._replace(content=None)

    async def load(self, contents: Body) -> bytes:
        """Return a body's content, from the artifact store if it is not in the event."""
        if contents.content is not None:
            return contents.content
        store = self.store()
        return await self.threads.run(lambda: store.get(contents.hash))

    def store(self) -> Artifacts:
        """Return the artifact store.

        Raises:
            UsageError: This mesh has none.
        """
        if self.artifacts is None:
            raise UsageError(
                f"artifacts, and bodies above {MAX_BODY_BYTES} bytes, need an artifact store: this "
                "mesh has none"
            )
        return self.artifacts
