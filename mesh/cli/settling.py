"""Settles a contested entry: a person's word, proposed like any change, and what becomes of it.

A settlement holds for the version that the person saw. If the entry has another one by the time the
processor judges it, it is refused, and the person looks again.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from mesh.cli.failures import CommandError, Exit, not_found, timed_out
from mesh.cli.keeping import StateReader
from mesh.core.shared import MAX_VALUE_BYTES, Entry, Settlement
from mesh.errors import UsageError, WireError
from mesh.ports import Place
from mesh.runtime.orders import append
from mesh.telling import words
from mesh.wire.canonical import canonical_json
from mesh.wire.state import encode_proposal, proposal_key

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Word:
    """What a person says of a contested entry: the number of a value there, or a new one."""

    key: str
    take: int | None
    value: bytes | None
    person: str
    because: str


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A settlement that holds: its place in `M.changes`, and the entry that it made."""

    where: str
    entry: Entry


def json_value(value: object) -> bytes:
    """Return a value as an entry holds it.

    Raises:
        UsageError: It is too large, or has a number that JSON does not keep.
    """
    try:
        content = canonical_json(value)
    except WireError as error:
        raise UsageError(f"--value: {error}") from error
    if len(content) > MAX_VALUE_BYTES:
        raise UsageError(f"--value: {len(content):,} bytes, {MAX_VALUE_BYTES:,} are allowed")
    return content


def settlement(entry: Entry, word: Word) -> Settlement:
    """Return what is to be proposed; said again of the same version, it is the same proposal.

    Raises:
        UsageError: The entry is not contested, or has no value of that number.
    """
    if not entry.contested:
        whose = entry.agent or entry.writer
        raise UsageError(
            f"{entry.key} is not contested: version {entry.version} is by {whose}; only a "
            "contested entry is settled"
        )
    value = word.value
    if word.take is not None:
        values = (entry.value, *(own.value for own in entry.candidates))
        if not 0 <= word.take < len(values):
            raise UsageError(
                f"--take: {entry.key} has the values 0 to {len(values) - 1}, not {word.take}; "
                f"`mesh state get {entry.key}` shows them"
            )
        value = values[word.take]
    said = b"" if value is None else b"=" + value
    cause = f"{entry.key}\n{entry.version}\n{word.person}\n{word.because}\n".encode()
    return Settlement(
        change=sha256(cause + said).hexdigest(),
        key=entry.key,
        expected=entry.version,
        value=value,
        person=word.person,
        because=word.because,
    )


async def settle(
    reader: StateReader, word: Word, timeout_s: float, told: Callable[[str], None]
) -> Settled:
    """Propose a settlement, and wait until the view shows what became of it.

    `told` is called with its place in `M.changes`, once it is durable.

    Raises:
        CommandError: There is no such key; the entry got another version first; or no processor
            answered within `timeout_s`.
        UsageError: The entry is not contested, or has no value of that number.
    """
    partition = await reader.home(word.key)
    start = (await reader.ends(reader.state))[partition][1]
    entry = (await reader.replica(word.key)).entries.get(word.key)
    if entry is None:
        raise not_found(f"there is no {word.key} in {reader.state}; `mesh state get` lists it all")
    proposal = settlement(entry, word)
    place = Place(reader.changes, partition)
    value = encode_proposal(proposal)
    report = await append(reader.log, place, proposal_key(proposal), value, timeout_s=timeout_s)
    where = f"{partition}/{report.offset}"
    told(where)
    try:
        async with asyncio.timeout(timeout_s):
            after = await _next(reader, entry, partition, start)
    except TimeoutError:
        raise timed_out(
            f"no processor answered within {timeout_s:g} s: the settlement stands at {where} of "
            f"{reader.changes} and is judged when one runs (`mesh processor`); "
            f"`mesh state history {word.key}` shows it"
        ) from None
    if after.change != proposal.change:
        raise _overtaken(after)
    return Settled(where=where, entry=after)


async def _next(reader: StateReader, entry: Entry, partition: int, start: int) -> Entry:
    """Return the entry of the version after `entry`, once the view has it."""
    async with aclosing(reader.follow({partition: start}, entry.key)) as rows:
        async for row in rows:
            kept = row.kept
            if isinstance(kept, Entry) and kept.key == entry.key and kept.version > entry.version:
                return kept
    raise AssertionError("a reader that follows has no end")


def _overtaken(after: Entry) -> CommandError:
    who = after.agent or after.writer
    what = "was contested once more" if after.contested else f"was settled by {who}"
    return CommandError(
        f"{after.key} {what} before that: it has version {after.version} "
        f"({words.clip(after.because) or 'no reason given'}); look at it by "
        f"`mesh state get {after.key}` and settle it again if it is still contested",
        Exit.FAILED,
    )
