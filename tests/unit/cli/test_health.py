from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from mesh.cli.health import Answer, HealthServer
from mesh.errors import UsageError


async def ask(address: str, request: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_pages_are_served_and_others_are_not() -> None:
    server = HealthServer({"/healthz": lambda: Answer(HTTPStatus.OK, "alive\n")})
    await server.start("127.0.0.1:0")
    try:
        found = await ask(server.address, b"GET /healthz?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 200 OK\r\n")
        assert found.endswith(b"\r\n\r\nalive\n")
        head = await ask(server.address, b"HEAD /healthz HTTP/1.1\r\n\r\n")
        assert head.endswith(b"\r\n\r\n")
        missing = await ask(server.address, b"GET /nix HTTP/1.1\r\n\r\n")
        assert missing.startswith(b"HTTP/1.1 404")
        assert b"there is /healthz" in missing
        assert b"405" in await ask(server.address, b"POST /healthz HTTP/1.1\r\n\r\n")
        assert await ask(server.address, b"\r\n\r\n") == b""
    finally:
        await server.close()


async def test_an_address_that_cannot_be_had_is_refused() -> None:
    first = HealthServer({})
    await first.start("127.0.0.1:0")
    try:
        with pytest.raises(UsageError, match=r"cannot listen on .*; choose another"):
            await HealthServer({}).start(first.address)
    finally:
        await first.close()
    with pytest.raises(UsageError, match="no HOST:PORT"):
        await HealthServer({}).start("nowhere")
    with pytest.raises(UsageError, match="cannot listen"):
        await HealthServer({}).start("127.0.0.1:99999")
    await HealthServer({}).close()
