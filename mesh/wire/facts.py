"""Facts as they stand on the audit stream, and the hash that chains each to the one before.

A value is a fact with its place in its emitter's chain: `sequence` counts from 0, `previous` is
the chain hash of the fact before it, by the same instance and incarnation in the same partition.
The *chain hash* is SHA-256 over the value without the encoding of its last field, `content`: it
covers the content's hash, so contents can be sealed or erased and the chain still verifies.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import NamedTuple, get_args

from mesh.core.facts import Fact
from mesh.wire.codec import Codecs, present
from mesh.wire.nested import NESTED
from mesh.wire.source import Target

FIRST = bytes(32)
"""What the first fact of a chain has for `previous`."""


class Encoded(NamedTuple):
    """A fact's value, and the chain hash that its emitter's next fact carries."""

    value: bytes
    chain_hash: bytes


class Decoded(NamedTuple):
    """A fact with its place in its emitter's chain; `head` is the part that is chained."""

    fact: Fact
    sequence: int
    previous: bytes
    head: bytes

    @property
    def chain_hash(self) -> bytes:
        """What the emitter's next fact must have for `previous`."""
        return sha256(self.head).digest()


def encode_fact(fact: Fact, sequence: int, previous: bytes) -> bytes:
    """Return the value of a fact.

    Raises:
        WireError: A field has the wrong type or range, or the value is too large.
    """
    head, tail = codecs().writer(type(fact)).encode(fact, sequence, previous)
    return head + tail


def encode_chained(fact: Fact, sequence: int, previous: bytes) -> Encoded:
    """Return the value of a fact with its chain hash, as the producer of a chain needs both.

    Raises:
        WireError: As `encode_fact`.
    """
    head, tail = codecs().writer(type(fact)).encode(fact, sequence, previous)
    return Encoded(head + tail, sha256(head).digest())


def decode_fact(value: bytes | None) -> Decoded:
    """Return the fact that a value of the audit stream holds.

    Raises:
        WireError: It holds none; the message says what is wrong at which field.
    """
    data = present(value)
    fact, (sequence, previous), end = codecs().reader(data).decode(data)
    return Decoded(fact, sequence, previous, data[:end])


def chain_hash(value: bytes) -> bytes:
    """Return the chain hash of a fact's value.

    Raises:
        WireError: As `decode_fact`.
    """
    return decode_fact(value).chain_hash


def prefixes_of(*kinds: type) -> frozenset[bytes]:
    """Return how the values of these kinds of facts begin: what is told apart without decoding."""
    return codecs().prefixes(kinds)


@cache
def codecs() -> Codecs:
    """Return the codecs of these kinds; nothing outside the wire and its tests needs them."""
    outer = ("sequence", "previous")
    kinds: tuple[type, ...] = get_args(Fact)
    targets = {cls.__name__: Target(cls=cls, outer=outer, nested=NESTED) for cls in kinds}
    return Codecs("fact", targets)
