"""Reads a part of the audit stream into a ledger: what the core asks for with `Read`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from mesh.core.effects import Read
from mesh.core.facts import Record, TaskOpened
from mesh.core.ledger import Ledger
from mesh.core.values import TaskPartition
from mesh.errors import Unreachable, WireError
from mesh.ports import Incoming, Log, Place
from mesh.wire.facts import decode_fact

Answer = TypeVar("Answer")

AGAIN_S = 0.5
"""A broker that is away is asked again after this: an outage ends no incarnation."""

_log = logging.getLogger(__name__)


async def patiently(log: Log, read: Callable[[], Awaitable[Answer]]) -> Answer:
    """Read, again and again while no broker answers, until the log itself has failed.

    Raises:
        TransportError: It never will be answered.
    """
    while True:
        try:
            return await read()
        except Unreachable as error:
            if log.failure() is not None:
                raise
            _log.warning("reading waits for the broker: %s", error)
        await asyncio.sleep(AGAIN_S)


async def read_ledger(log: Log, topic: str, read: Read) -> Ledger:
    """Fold what `read` asks for; a record that cannot be decoded only moves the time.

    Raises:
        TransportError: The log cannot be read.
    """
    ledger = Ledger.begin(read.header)
    end = read.through + 1 if read.through >= 0 else None
    wanted = _Wanted(read.workflows, read.source)
    place = Place(topic, read.partition)
    async with aclosing(log.scan(place, read.header.offset, end)) as batches:
        async for batch in batches:
            for incoming in batch:
                wanted.add(ledger, incoming)
    return ledger


class _Wanted:
    """Mutable: which records of a partition a reader keeps, by their keys.

    Facts of supervision, whose key has a slash, and renewals, which have none, are always wanted.
    With a source, all workflows are looked at until their opening says that it is another's.
    """

    def __init__(self, workflows: frozenset[str], source: TaskPartition | None) -> None:
        self._keys = {name.encode() for name in workflows}
        self._source = source
        self._others: set[bytes] = set()

    def add(self, ledger: Ledger, incoming: Incoming) -> None:
        """Fold a record, or let it only move the time."""
        key = incoming.key
        unasked = key is not None and b"/" not in key and key not in self._keys
        if unasked and (self._source is None or key in self._others):
            ledger.observe(incoming.append_ms)
            return
        try:
            decoded = decode_fact(incoming.value)
        except WireError as error:
            ledger.observe(incoming.append_ms)
            _log.warning("the audit record at %d is no fact: %s", incoming.offset, error)
            return
        fact = decoded.fact
        opened = isinstance(fact, TaskOpened) and fact.source != self._source
        if key is not None and opened and key not in self._keys:
            self._others.add(key)
        ledger.add(Record(incoming.offset, incoming.append_ms, decoded.sequence, fact))
