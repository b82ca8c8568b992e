"""The endpoints of a process for whoever runs it: `/healthz`, `/readyz`, `/metrics`.

A handful of lines of HTTP/1.1: GET and HEAD, one request a connection, nothing kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from mesh.errors import UsageError

REQUEST_S = 5.0
"""A request that is not complete by then is dropped."""
MAX_LINES = 100
"""Lines of a request's head: more is no probe."""
TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What one path answers."""

    status: HTTPStatus
    text: str
    media_type: str = TEXT


Page = Callable[[], Answer]


class HealthServer:
    """Mutable: serves pages by path, on one address."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self.address = ""

    async def start(self, address: str) -> None:
        """Listen on `host:port`; port 0 takes a free one, `address` then says which.

        Raises:
            UsageError: The address is malformed or taken.
        """
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit():
            raise UsageError(f"--health: {address!r} is no HOST:PORT")
        try:
            self._server = await asyncio.start_server(self._serve, host.strip("[]"), int(port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--health: cannot listen on {address}: {why}; choose another, or --health off"
            ) from error
        taken = self._server.sockets[0].getsockname()
        self.address = f"{host}:{taken[1]}"

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                method, path = await _request(reader)
                writer.write(self._answer(method, path))
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            return  # whoever asked is gone, or is no client of this
        finally:
            writer.close()

    def _answer(self, method: str, path: str) -> bytes:
        page = self._pages.get(path.partition("?")[0])
        if method not in ("GET", "HEAD"):
            answer = Answer(HTTPStatus.METHOD_NOT_ALLOWED, "only GET\n")
        elif page is None:
            there = ", ".join(self._pages)
            answer = Answer(HTTPStatus.NOT_FOUND, f"there is {there}\n")
        else:
            answer = page()
        body = answer.text.encode()
        head = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
            f"Content-Type: {answer.media_type}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == "HEAD" else body)


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Read a request's head; return its method and path."""
    words = (await reader.readline()).decode("latin-1").split()
    for _ in range(MAX_LINES):
        if (await reader.readline()) in (b"\r\n", b"\n", b""):
            break
    if len(words) < 2:
        raise ValueError("no request")
    return words[0], words[1]
