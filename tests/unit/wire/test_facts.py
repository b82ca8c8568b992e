from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mesh.core.facts import Fact, LeaseRenewed, TaskOpened
from mesh.errors import WireError
from mesh.wire.facts import (
    FIRST,
    chain_hash,
    decode_fact,
    encode_chained,
    encode_fact,
    prefixes_of,
)
from mesh.wire.schemas import PREFIX
from tests.unit.wire.samples import AWARDED, FINISHED, LEASES, OPENED, RENEWED

PREVIOUS = bytes(range(32))
SAMPLES = {type(fact).__name__: fact for fact in (OPENED, AWARDED, FINISHED, RENEWED, LEASES)}
GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_bytes(name: str, rewrite: bool) -> None:
    """What stands in logs: it changes with the schema, and only then."""
    written = encode_fact(SAMPLES[name], 7, PREVIOUS).hex("\n", -32) + "\n"
    golden = GOLDEN / f"{name}.hex"
    if rewrite:
        golden.write_text(written)
    assert written == golden.read_text()


@pytest.mark.parametrize("fact", SAMPLES.values(), ids=SAMPLES)
def test_a_fact_is_read_with_its_place(fact: Fact) -> None:
    value = encode_fact(fact, 7, PREVIOUS)
    decoded = decode_fact(value)
    assert (decoded.fact, decoded.sequence, decoded.previous) == (fact, 7, PREVIOUS)
    assert chain_hash(value) == decoded.chain_hash == encode_chained(fact, 7, PREVIOUS).chain_hash
    assert value == encode_chained(fact, 7, PREVIOUS).value


def test_without_contents_the_whole_value_is_chained() -> None:
    value = encode_fact(RENEWED, 0, FIRST)
    assert chain_hash(value) == sha256(value).digest()


def test_erased_contents_leave_the_chain_as_it_was() -> None:
    body = FINISHED.result
    assert body.content is not None
    whole = encode_fact(FINISHED, 0, FIRST)
    erased = encode_fact(replace(FINISHED, result=body._replace(content=None)), 0, FIRST)
    other = encode_fact(replace(FINISHED, result=body._replace(content=b"x" * 99)), 0, FIRST)

    tail = b"\x02" + bytes([2 * len(body.content)]) + body.content
    assert whole.endswith(tail)
    assert chain_hash(whole) == sha256(whole.removesuffix(tail)).digest()
    assert chain_hash(whole) == chain_hash(erased) == chain_hash(other)


@pytest.mark.parametrize("change", [{"error": "x"}, {"authority": 1}, {"result": OPENED.input}])
def test_everything_else_is_chained(change: dict[str, object]) -> None:
    changed = replace(FINISHED, **change)  # type: ignore[arg-type]  # one of its fields
    assert encode_chained(changed, 0, FIRST).chain_hash != (
        encode_chained(FINISHED, 0, FIRST).chain_hash
    )


def test_the_place_is_chained() -> None:
    first = encode_chained(FINISHED, 0, FIRST).chain_hash
    assert first != encode_chained(FINISHED, 1, FIRST).chain_hash
    assert first != encode_chained(FINISHED, 0, PREVIOUS).chain_hash


def test_a_chain_needs_a_whole_hash() -> None:
    with pytest.raises(WireError, match=r"RENEWED|SupervisionRenewed.previous: 3 bytes where 32"):
        encode_fact(RENEWED, 0, b"abc")


def test_null_is_no_fact() -> None:
    with pytest.raises(WireError, match="null"):
        decode_fact(None)


def test_kinds_are_told_apart_by_how_they_begin() -> None:
    opened, renewed = prefixes_of(TaskOpened), prefixes_of(LeaseRenewed)
    assert encode_fact(OPENED, 0, FIRST)[:PREFIX] in opened
    assert encode_fact(OPENED, 0, FIRST)[:PREFIX] not in renewed
    assert prefixes_of(TaskOpened, LeaseRenewed) == opened | renewed
    assert prefixes_of() == frozenset()
