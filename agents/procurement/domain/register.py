"""The supplier register: under which key an organisation stands, and what is known of it.

A key must come out the same whoever reads whichever release first, so it follows from one release
alone: the number in a register, or the name without what varies in writing. Two mentions of one
company, of which only one has its number, stand under two keys; to join these is for a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from agents.procurement.domain.names import parse_name
from agents.procurement.domain.parties import UNSPECIFIED
from agents.procurement.domain.resolution import register_numbers
from agents.procurement.domain.wording import words
from agents.procurement.dossier import Party
from agents.procurement.models import Identity, Supplier

MAX_SEGMENT = 60
"""Characters of a name or number in a key; a longer one is cut, and its digest tells it apart."""
DIGEST = 10
MAX_SPELLINGS = 100
"""Names of one supplier that are kept: real ones have a handful, and an entry has its limit."""
_STRANGE = re.compile(r"[^A-Za-z0-9.:@+-]+")


def supplier_key(supplier: Supplier) -> str:
    """Return what a supplier is called in keys: its smallest registered number, else its name.

    Returns:
        A segment of a key; "" for one with neither.
    """
    return _key(supplier.identifiers, supplier.name)


def buyer_key(buyer: Party | None) -> str:
    """Return what a buyer is called in keys, "" where nobody is named."""
    if buyer is None:
        return ""
    return _key([f"{scheme}:{number}" for scheme, number in register_numbers(buyer)], buyer.name)


def keyed(suppliers: Iterable[Supplier]) -> tuple[Supplier, ...]:
    """Return suppliers with what each is called in keys."""
    return tuple(
        supplier.model_copy(update={"key": supplier_key(supplier)}) for supplier in suppliers
    )


def _key(identifiers: Iterable[str], name: str) -> str:
    """Prefer a number in a named register: without its register a number means many companies."""
    numbers = [number for number in identifiers if not number.startswith(f"{UNSPECIFIED}:")]
    if numbers:
        return _segment(min(numbers))
    if not words(name):
        return ""
    known = parse_name(name)
    return _segment(f"name:{known.core} {known.form}".strip())


def _segment(text: str) -> str:
    """Return a text as a segment of a key; where characters are lost, with the digest of it all."""
    plain = _STRANGE.sub("-", text).strip("-")
    if len(plain) <= MAX_SEGMENT and not _STRANGE.search(text.replace(" ", "")):
        return plain
    digest = sha256(text.encode()).hexdigest()[:DIGEST]
    return f"{plain[:MAX_SEGMENT].rstrip('-:')}:{digest}"


def identified(known: Identity | None, supplier: Supplier) -> Identity:
    """Return what is known of a supplier, with what one more release says: the same in any order.

    The name is the longest that was met, for columns cut names; the confidence is the least.
    """
    identity = Identity(
        name=supplier.name, identifiers=supplier.identifiers, confidence=supplier.confidence
    )
    if known is None:
        return identity
    return Identity(
        name=max(known.name, identity.name, key=_rank),
        identifiers=tuple(sorted({*known.identifiers, *identity.identifiers})),
        confidence=min(known.confidence, identity.confidence),
    )


def spelled(known: list[str] | None, supplier: Supplier) -> list[str]:
    """Return every spelling of a supplier that is known, with those of one more release."""
    return sorted({*(known or ()), *supplier.spellings})[:MAX_SPELLINGS]


def _rank(name: str) -> tuple[int, str]:
    return len(name), name
