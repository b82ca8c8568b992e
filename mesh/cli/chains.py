"""Hash chains: each emitter's facts in one audit partition, each with the hash of the one before.

A chain begins at sequence 0 with `FIRST`. Where the log's beginning is gone (retention), a chain
is taken up at its first fact that is still there.
"""

from __future__ import annotations

from mesh.core.values import Holder
from mesh.testing.invariants import Violation
from mesh.wire.facts import FIRST, Decoded

HASH = "hash chains verify"
REPEAT = "a repeat is the same fact"


class Chains:
    """Mutable: the chains of one audit partition, fed in log order; `whole` if from its start."""

    def __init__(self, partition: int, *, whole: bool) -> None:
        self.partition = partition
        self.whole = whole
        self._heads: dict[Holder, tuple[int, bytes]] = {}

    def add(self, offset: int, decoded: Decoded) -> list[Violation]:
        """Check the next fact; return what it breaks."""
        by, sequence = decoded.fact.by, decoded.sequence
        last, head = self._heads.get(by, (-1, FIRST))
        known = by in self._heads or self.whole
        chain_hash = decoded.chain_hash
        if sequence == last and chain_hash != head:
            return [
                self._broken(REPEAT, offset, by, f"number {sequence} again, with other contents")
            ]
        if sequence <= last:
            return []
        self._heads[by] = (sequence, chain_hash)
        # a gap is an invariant of its own: the hash before it is not there to compare with
        if known and sequence == last + 1 and decoded.previous != head:
            text = f"number {sequence} carries {decoded.previous.hex()[:12]}, not {head.hex()[:12]}"
            return [self._broken(HASH, offset, by, text)]
        return []

    def _broken(self, invariant: str, offset: int, by: Holder, text: str) -> Violation:
        where = f"{self.partition}/{offset}"
        return Violation(invariant, where, f"{by.instance}/{by.incarnation}: {text}")
