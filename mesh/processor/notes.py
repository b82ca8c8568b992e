"""Where to begin again: what a watchman notes in `M.open` for whoever comes next.

The entry is of the kind by which supervisors tell where a workflow begins, under a key that none of
theirs can have. Why it is there and not in a commit is said in `mesh.processor.watchman`.
"""

from __future__ import annotations

import logging
from contextlib import aclosing

from mesh.core.tasks import Header
from mesh.core.values import TaskPartition
from mesh.errors import WireError
from mesh.ports import Incoming, Log, Place
from mesh.wire.entries import OpenWorkflow, decode_open, encode_entry

PREFIX = b"watchman/"
"""Of the keys; a workflow's begins with its capability, which has a dot."""
SURVEY = b"survey/"
"""Of those of who reads all partitions together: see `mesh.processor.rounds`."""
BEGINNING = Header(0, 0, ())

_log = logging.getLogger(__name__)


def note_key(partition: int, prefix: bytes = PREFIX) -> bytes:
    """Return the key of an audit partition's note."""
    return b"%b%d" % (prefix, partition)


def encode_note(partition: int, header: Header) -> bytes:
    """Return the value of a note.

    Raises:
        WireError: It is too large: so many supervisions do not fit.
    """
    return encode_entry(OpenWorkflow(TaskPartition("", partition), "", header))


async def read_note(log: Log, place: Place, *prefixes: bytes) -> Header:
    """Return what was noted last in a partition of `M.open`; else the beginning of the log.

    `prefixes` say whose note is wanted, and whose if there is none; a watchman's if none is given.

    Raises:
        TransportError: The log cannot be read.
    """
    for prefix in prefixes or (PREFIX,):
        found = await _latest(log, place, note_key(place.partition, prefix))
        if found is not None:
            return found
    return BEGINNING


async def _latest(log: Log, place: Place, key: bytes) -> Header | None:
    latest = None
    async with aclosing(log.scan(place, 0, keep=lambda own: own == key)) as batches:
        async for batch in batches:
            for record in batch:
                latest = record
    return _header(latest)


def within(header: Header, low: int, high: int, where: str) -> Header:
    """Return where to begin in a log that has the offsets from `low` up to `high`."""
    if header.offset > high:
        _log.warning("%s ends before %d: it is another log", where, high)
        header = BEGINNING
    if header.offset < low:
        _log.warning(
            "%s: the records from %d to %d are gone (retention): what is supervised since before "
            "then is watched once its supervision is taken anew",
            *(where, header.offset, low),
        )
        header = header._replace(offset=low)
    return header


def _header(found: Incoming | None) -> Header | None:
    if found is None or found.value is None:
        return None
    try:
        return decode_open(found.value).header
    except WireError as error:
        _log.warning("%s[%d]@%d: %s", found.topic, found.partition, found.offset, error)
        return None
