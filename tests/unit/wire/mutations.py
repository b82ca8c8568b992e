"""Damage to encoded records, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from mesh.wire.schemas import PREFIX

LENGTHS = (
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # 2^63 - 1
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # -2^63
    b"\xfe\xff\xff\xff\x0f",  # 2^31 - 1
    b"\x80\x80\x20",  # 256 Ki
    b"\x01",  # -1
    b"\xff" * 11,
)


def mutated(values: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` damaged records, most behind the prefix: else nobody reads further."""
    random = Random(seed)
    for _ in range(count):
        value = random.choice(values)
        kept = PREFIX if random.random() < 0.9 else 0
        damage = random.choice(_DAMAGES)
        yield value[:kept] + damage(random, value[kept:], random.choice(values))


def _flip(random: Random, value: bytes, __: bytes) -> bytes:
    flipped = bytearray(value)
    for _ in range(random.randint(1, 4)):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _cut(random: Random, value: bytes, _: bytes) -> bytes:
    return value[: random.randrange(len(value))]


def _append(random: Random, value: bytes, _: bytes) -> bytes:
    return value + random.randbytes(random.randint(1, 9))


def _splice(random: Random, value: bytes, other: bytes) -> bytes:
    return value[: random.randrange(len(value))] + other[random.randrange(len(other)) :]


def _length(random: Random, value: bytes, _: bytes) -> bytes:
    at = random.randrange(len(value))
    return value[:at] + random.choice(LENGTHS) + value[at + random.randint(0, 2) :]


def _drop(random: Random, value: bytes, _: bytes) -> bytes:
    at = random.randrange(len(value))
    return value[:at] + value[at + random.randint(1, 40) :]


def _noise(random: Random, _: bytes, __: bytes) -> bytes:
    return random.randbytes(random.randint(0, 600))


_DAMAGES: Sequence[Callable[[Random, bytes, bytes], bytes]] = (
    _flip,
    _flip,
    _cut,
    _append,
    _splice,
    _length,
    _drop,
    _noise,
)
