"""Waiting for something that happens in other processes, so that nothing here can set an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(there: Callable[[], bool], every_s: float = 0.05) -> None:
    """Return when `there` says so."""
    while True:
        if there():
            return
        await asyncio.sleep(every_s)
