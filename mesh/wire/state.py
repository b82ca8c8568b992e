"""Shared state as it stands on its topics: proposals on `M.changes`, entries on `M.state`."""

from __future__ import annotations

from functools import cache
from typing import Any

from mesh.core.keys import group_of
from mesh.core.shared import Change, Entry, Proposal, RulesAdopted, RulesEntry, Settlement
from mesh.errors import WireError
from mesh.wire.codec import Codecs, present
from mesh.wire.nested import NESTED
from mesh.wire.partitioner import partition_of
from mesh.wire.source import Target

RULES_KEY = b"~rules"
"""Key of the rules on both topics; no key of an entry begins so."""

_PROPOSALS = (Change, Settlement, RulesAdopted)
_KEPT = (Entry, RulesEntry)


def state_partition(key: str, partitions: int) -> int:
    """Return the partition of `M.changes` and `M.state` in which a key lives: that of its group."""
    return partition_of(group_of(key).encode(), partitions)


def proposal_key(proposal: Proposal) -> bytes:
    """Return the key of a proposal's record: its first state key."""
    if isinstance(proposal, Change):
        return proposal.writes[0].key.encode() if proposal.writes else b""
    return proposal.key.encode() if isinstance(proposal, Settlement) else RULES_KEY


def kept_key(kept: Entry | RulesEntry) -> bytes:
    """Return the key of an entry's record."""
    return kept.key.encode() if isinstance(kept, Entry) else RULES_KEY


def encode_proposal(proposal: Proposal) -> bytes:
    """Return the value of a proposal.

    Raises:
        WireError: A field has the wrong type or range, or the value is too large.
    """
    return _encode(proposal)


def decode_proposal(value: bytes | None) -> Proposal:
    """Return the proposal that a value of `M.changes` holds; raises `WireError` for another."""
    decoded: Proposal = _decode(value, _PROPOSALS, "a proposal")
    return decoded


def encode_kept(kept: Entry | RulesEntry) -> bytes:
    """Return the value of an entry.

    Raises:
        WireError: A field has the wrong type or range, or the value is too large.
    """
    return _encode(kept)


def decode_kept(value: bytes | None) -> Entry | RulesEntry:
    """Return the entry that a value of `M.state` holds; raises `WireError` for another."""
    decoded: Entry | RulesEntry = _decode(value, _KEPT, "an entry")
    if isinstance(decoded, Entry) and not decoded.recent:
        raise WireError("Entry.recent: it remembers no change, not even its own")
    return decoded


def _encode(value: object) -> bytes:
    head, _ = codecs().writer(type(value)).encode(value)
    return head


def _decode(value: bytes | None, kinds: tuple[type, ...], due: str) -> Any:  # one of `kinds`
    data = present(value)
    decoded, _, _ = codecs().reader(data).decode(data)
    if not isinstance(decoded, kinds):
        raise WireError(f"{type(decoded).__name__} where {due} is due")
    return decoded


@cache
def codecs() -> Codecs:
    """Return the codecs of these kinds; nothing outside the wire and its tests needs them."""
    targets = {
        cls.__name__: Target(cls=cls, outer=(), nested=NESTED) for cls in (*_PROPOSALS, *_KEPT)
    }
    return Codecs("value", targets)
