"""Which appends have no report yet: how many, how large, whether one more may come."""

from __future__ import annotations

import asyncio

from mesh.errors import TransportError
from mesh.transport.kafka_settings import APPEND_BYTES_MAX, APPENDS_MAX, RECORD_BYTES_MAX


class Pending:
    """A count of appends and of their bytes, on the loop."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self, topic: str, size: int) -> None:
        """Count one more, of so many bytes.

        Raises:
            TransportError: It is too large, or one too many.
        """
        if size > RECORD_BYTES_MAX:
            raise TransportError(
                f"append to {topic}: the record has {size} bytes, at most {RECORD_BYTES_MAX} are "
                "taken; put large bodies into the artifact store"
            )
        if self.count >= APPENDS_MAX or self.size + size > APPEND_BYTES_MAX:
            raise TransportError(
                f"append to {topic}: {self.count} appends of {self.size} bytes wait for the broker "
                "already; slow down, or look at why it does not answer"
            )
        self.count += 1
        self.size += size

    def end(self, size: int) -> None:
        """Count one less."""
        self.count -= 1
        self.size -= size
        if not self.count and self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until there is none; False if `timeout_s` passed first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.count:
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            return False
        return True
