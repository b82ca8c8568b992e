"""The keys of the shared-state runs, by what is tried on them, and the policy that governs them.

`plain` keys reject conflicts: each is a versioned register, and what clients were told of it must
be linearizable. The others are counted: `merged` ones add up what everybody found, `weighed` ones
are arbitrated, `together` are pairs that are only ever written in one change. `wide` ones are many,
each written by one client alone, so that very many writes can wait at once.
"""

from __future__ import annotations

from typing import Final

OBJECTIVES: Final = ("risk", "cost", "speed")
POLICY: Final = """
version = 1
objectives = ["risk", "cost", "speed"]

[[state]]
prefix = "plain/"
resolution = "reject"

[[state]]
prefix = "together/"
resolution = "reject"

[[state]]
prefix = "wide/"
resolution = "reject"

[[state]]
prefix = "merged/"
resolution = "merge"
merge = "max-by-field"

[[state]]
prefix = "weighed/"
resolution = "arbitrate"
"""
SCOPE: Final = ("plain/", "together/", "merged/", "weighed/", "wide/")
PLAIN_SHARE, PAIRED_SHARE, MERGED_SHARE = 0.88, 0.04, 0.04
GROUP = 20
"""Keys of one group: enough groups that every partition has some."""
WIDE = 20_000
"""For each client: more than it can have waiting."""

Choice = tuple[str, ...]
"""The keys of one change."""


def mixed(count: int) -> tuple[Choice, ...]:
    """Return so many keys of all kinds but `wide`."""
    plain, merged = round(count * PLAIN_SHARE), round(count * MERGED_SHARE)
    pairs = round(count * PAIRED_SHARE) // 2
    weighed = count - plain - merged - 2 * pairs
    return (
        *((_named("plain", number),) for number in range(plain)),
        *((_named("merged", number),) for number in range(merged)),
        *((_named("weighed", number),) for number in range(weighed)),
        *((f"together/g{number}/a", f"together/g{number}/b") for number in range(pairs)),
    )


def wide(client: str) -> tuple[Choice, ...]:
    """Return the keys of one client alone."""
    return tuple((_named(f"wide/w{client}", number),) for number in range(WIDE))


def kind_of(key: str) -> str:
    """Return what is tried on a key."""
    return key.partition("/")[0]


def _named(kind: str, number: int) -> str:
    return f"{kind}/g{number // GROUP}/k{number % GROUP}"
