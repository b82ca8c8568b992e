"""A hundred thousand damaged records: each is decoded or refused, and nothing is left behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest

from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire.entries import decode_card, decode_dead_letter, decode_open, decode_presence
from mesh.wire.facts import decode_fact
from mesh.wire.messages import decode_envelope
from mesh.wire.requests import decode_request
from tests.unit.wire.mutations import mutated
from tests.unit.wire.samples import encoded

RECORDS = 100_000
TRACED = 10_000
KEPT_BYTES = 256 * 1024
"""What may still be there after many records more: caches move, nothing grows."""
PEAK_BYTES = 8 * 1024 * 1024
"""At no time may a small record make us take much memory."""

JSON = (b'{"item": "bolts", "quantity": [1, 2.5e3, {"deep": [[[]]]}], "note": "\\u20ac\\n"}',)


def request(value: bytes) -> object:
    headers = (("budget", value[:40]), ("ce-id", value[40:60]), ("timeout-ms", value[60:64]))
    return decode_request(Incoming("demo.tasks.a.b", 0, 0, 1, None, value, headers))


DECODERS: Sequence[Callable[[bytes], object]] = (
    decode_fact,
    decode_envelope,
    decode_open,
    decode_presence,
    decode_card,
    decode_dead_letter,
    request,
)


def fuzz(values: Iterable[bytes], outcomes: Counter[str]) -> None:
    """Give each record to every decoder; what is no `WireError` gets out and fails the test."""
    for value in values:
        for decode in DECODERS:
            refusal = refused(decode, value)
            outcomes["decoded" if refusal is None else "refused"] += 1
            assert refusal is None or 0 < len(refusal) < 500
            assert refusal is None or "\n" not in refusal


def refused(decode: Callable[[bytes], object], value: bytes) -> str | None:
    try:
        decode(value)
    except WireError as error:
        return str(error)
    return None


@pytest.mark.slow
def test_damaged_records_are_refused() -> None:
    outcomes: Counter[str] = Counter()
    fuzz(mutated(encoded() + JSON, RECORDS, seed=1), outcomes)
    print(dict(outcomes))
    assert outcomes["refused"] > RECORDS
    assert outcomes["decoded"] > RECORDS / 100  # else the damage never reaches the fields


@pytest.mark.slow
def test_damaged_records_leave_no_memory_behind() -> None:
    fuzz(mutated(encoded() + JSON, TRACED, seed=2), Counter())  # fills what is cached
    gc.collect()
    tracemalloc.start()
    try:
        fuzz(mutated(encoded() + JSON, TRACED, seed=3), Counter())
        gc.collect()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"kept {kept}, peak {peak}")
    assert kept < KEPT_BYTES
    assert peak < PEAK_BYTES
