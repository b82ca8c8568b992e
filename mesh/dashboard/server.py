"""One dashboard: a connection, the read model that it feeds, and the web server over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mesh.dashboard.access import EVERY_ROLE, People, Person, is_loopback
from mesh.dashboard.api import Api, now_ms
from mesh.dashboard.files import Files
from mesh.dashboard.follower import Follower
from mesh.dashboard.model import Model
from mesh.dashboard.web import MAX_CONNECTIONS, Doors, Web
from mesh.errors import UsageError
from mesh.ports import Log

DRAIN_S = 2.0
"""An answer takes less; pages that follow the events come back by themselves."""

NOBODY = People(())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a dashboard is run.

    Args:
        mesh: The mesh's name.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        any_port: Whether another will do where that is taken.
        since_ms: From when on workflows are told, in milliseconds since 1970; 0 for all.
        person: Who started it: that is who asks on loopback, where there are no tokens.
        people: Whose tokens are known.
    """

    mesh: str
    host: str = "127.0.0.1"
    port: int = 0
    any_port: bool = False
    since_ms: int = 0
    person: str = "local"
    people: People = NOBODY

    def doors(self) -> Doors:
        """Return who is let in.

        Raises:
            UsageError: Others than this machine can ask, and nobody would have to say who they are.
        """
        if self.people:
            return Doors(local=None, people=self.people)
        if not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host}: others could reach it there, and nobody would have to say "
                "who they are; give --tokens FILE, or listen on 127.0.0.1"
            )
        return Doors(local=Person(self.person, EVERY_ROLE), people=self.people)


class Dashboard:
    """Mutable: one incarnation; `log` is opened by `start`, and closed at the end."""

    def __init__(self, log: Log, plan: Plan, clock: Callable[[], int] = now_ms) -> None:
        self.ready = False
        self._closed = False
        self.address = ""
        self._log = log
        self._plan = plan
        self._clock = clock
        self._doors = plan.doors()
        self.api: Api | None = None
        self._follower: Follower | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._telling: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Dashboard({self._plan.mesh}, {self.address or 'not started'})"

    @property
    def failed(self) -> asyncio.Future[Any] | None:
        """Why it cannot go on, once it was started."""
        return None if self._follower is None else self._follower.failed

    async def start(self) -> None:
        """Connect, begin to read, and listen; returns before everything was read.

        Raises:
            WrongTopic: There is no such mesh.
            TransportError: The log cannot be read.
            UsageError: The address cannot be listened on.
        """
        await self._log.open()
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        self.ready = True

    async def _start(self) -> None:
        model, plan = Model(), self._plan
        self._follower = Follower(self._log, plan.mesh, model, plan.since_ms)
        await self._follower.start()
        self.api = Api(model, self._log, plan.mesh, self._follower, self._clock)
        self._telling = asyncio.get_running_loop().create_task(self.api.hub.run())
        files = await asyncio.to_thread(Files)
        await self._listen(Web(self.api, files, self._doors))

    async def _listen(self, served: Web) -> None:
        self._runner = web.AppRunner(
            served.application(), access_log=None, keepalive_timeout=30.0, shutdown_timeout=DRAIN_S
        )
        await self._runner.setup()
        host, port = self._plan.host, self._plan.port
        try:
            self._server = await self._bound(host.strip("[]"), port)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--port: cannot listen on {host}:{port}: {why}; choose another port"
            ) from error
        self.address = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def _bound(self, host: str, port: int) -> asyncio.Server:
        """Listen at a port, or where that is taken and any will do, at a free one."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(self._connected, host, port)
        except OSError:
            if not self._plan.any_port:
                raise
            return await loop.create_server(self._connected, host, 0)

    def _connected(self) -> asyncio.Protocol:
        """Return what serves a new connection; one too many is closed."""
        assert self._runner is not None, "it was set up"
        server = self._runner.server
        assert server is not None, "it was set up"
        if len(server.connections) >= MAX_CONNECTIONS:
            return _Refusing()
        return server()

    async def drain(self, _limit_s: float) -> bool:
        """End in order: nothing is left undone, for nothing is done here."""
        self.ready = False
        await self.close()
        return True

    async def close(self) -> None:
        """End at once; pages that follow come back."""
        self.ready = False
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        if self._follower is not None:
            await self._follower.close()
        await self._log.close()


class _Refusing(asyncio.Protocol):
    """Closes a connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def since_ms(seconds: float, clock: Callable[[], float] = time.time) -> int:
    """Return the time that lies so many seconds back; 0 for the beginning of the log."""
    return int((clock() - seconds) * 1_000) if seconds > 0 else 0
