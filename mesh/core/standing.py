"""Standing: what an agent has done, in figures, and what an auction makes of them.

The figures are folded from the facts that count (`mesh.core.accounts`), each audit partition by
itself: a `Standing` is what one partition tells of one agent. Whoever wants to know all adds the
partitions up, as `Standings` does.

**What counts as good or bad.** A result that was accepted is good. Bad are an attempt that failed,
a result that was refused, and a lease that lapsed. A request that could not be served, a declined
award, a cancelled one and a conflict over shared state are neither: they are counted and shown. Nor
is an award that an agent gave to itself: nobody else has seen what it was worth.

**What is trusted.** `permille` is the mean of a beta distribution over the good and the bad
(Jøsang, Ismail: The Beta Reputation System, 2002), with one good and one bad result before the
first: who is unknown stands at 500. Both fade as results come (its forgetting factor): of those
before, each new one leaves 15 in 16, so that an old sin weighs ever less. Time does not matter: an
idle agent keeps its standing, and no clock can take it away. It is told in tenths, rounded up: with
so few results as are remembered a smaller difference is chance (the deviation of the mean of 16 is
some 6 in 100 where 9 in 10 are good), and agents that are as good as each other are to share the
work, instead of the one with the longer record taking all of it.

**A newcomer is not starved, and who has mended is found out.** By that alone an unknown agent would
lose every auction among equal bids, and never become known. So now and then an agent is *on trial*:
it is taken to stand as well as the best of those who were asked. Whether it is, follows from the
seed in the call for bids and its name: for an agent with few results in one auction of
`TRIAL_NEW`, for any other in one of `TRIAL`. (Exploring at random, as in the ε-greedy rule of
Sutton, Barto: Reinforcement Learning, 2.2.) Doubt has its benefit, and its bound: who comes back
under a new name gets so many auctions and no more.

The weights are integers, `UNIT` for one result, so that everyone comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from mesh.core.values import Version

PERMILLE = 1_000
UNIT = 1 << 16
"""The weight of one result. A power of two, so that fading loses next to nothing by rounding."""
MEMORY = 16
"""Results that an audit partition remembers of an agent, so to speak: each takes a 16th off those
before. Fewer, and one bad day were all; more, and who has mended waits for ever."""
PROVEN = 9 * UNIT
"""Weight from which an agent is known, 9 to 13 results: all of them good, it stands at the top."""
TRIAL_NEW = 4
"""An agent that is not known yet is on trial in one auction of so many: soon enough to wait for."""
TRIAL = 16
"""Any other in one of so many: what is wrong with a bad one costs that much, shared by all."""


class Tally(NamedTuple):
    """What one audit partition tells of one agent and capability.

    Attributes:
        capability: What was done.
        version: The audit offset behind the last fact that changed a figure.
        offered: Bids in auctions that came to an award.
        won: Awards; going on after a suspension is none.
        own: Those of them that the agent gave to itself.
        finished: Results that were accepted.
        failed: Attempts that failed.
        rejected: Results that were refused.
        lapsed: Awards whose lease ran out: the worker died or was too late.
        refused: Requests that it said cannot be served.
        declined: Awards that it gave back before it began.
        conflicts: Its writes to shared state that met another's.
        work_ms: Time from award to result of what was finished, waits while suspended aside.
        bid_micro_usd: What it had bid for what it finished by auction.
        spent_micro_usd: What that then cost.
        good: Weight of what was good.
        bad: Weight of what was bad.
    """

    capability: str
    version: int = 0
    offered: int = 0
    won: int = 0
    own: int = 0
    finished: int = 0
    failed: int = 0
    rejected: int = 0
    lapsed: int = 0
    refused: int = 0
    declined: int = 0
    conflicts: int = 0
    work_ms: int = 0
    bid_micro_usd: int = 0
    spent_micro_usd: int = 0
    good: int = 0
    bad: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """An entry of `M.standing`: what an audit partition tells of an agent.

    `since` is the offset from which it was folded: 0, unless the log had lost its beginning.
    """

    agent: str
    partition: int
    since: int
    tallies: tuple[Tally, ...]

    @property
    def version(self) -> int:
        """The audit offset behind the last fact that changed any figure."""
        return max((own.version for own in self.tallies), default=0)


class Known(NamedTuple):
    """What is known of one agent and capability: the weights, and the versions they are from."""

    good: int = 0
    bad: int = 0
    versions: tuple[Version, ...] = ()


UNKNOWN = Known()


# --- what is trusted ----------------------------------------------------------------------------


def fade(weight: int) -> int:
    """Return what is left of a weight when another result comes."""
    return weight - weight // MEMORY


def permille(good: int, bad: int) -> int:
    """Return how far weights are trusted, 100 to 1,000 in steps of 100; 500 for none."""
    tenths = -(-(good + UNIT) * 10 // (good + bad + 2 * UNIT))
    return tenths * PERMILLE // 10


def is_known(good: int, bad: int) -> bool:
    """Tell whether so much was seen of an agent that it needs no benefit of the doubt."""
    return good + bad >= PROVEN


def on_trial(seed: int, agent: str, good: int, bad: int) -> bool:
    """Tell whether an agent is on trial in the auction with this seed."""
    drawn = int.from_bytes(sha256(f"trial {seed} {agent}".encode()).digest()[:8], "big")
    return drawn % (TRIAL if is_known(good, bad) else TRIAL_NEW) == 0


def standings_for(seed: int, known: Iterable[tuple[str, int, int]]) -> list[int]:
    """Return the standing of each who was asked: (agent, good, bad), in per mille."""
    asked = list(known)
    best = max((permille(good, bad) for _, good, bad in asked), default=0)
    return [
        best if on_trial(seed, agent, good, bad) else permille(good, bad)
        for agent, good, bad in asked
    ]


# --- who adds up --------------------------------------------------------------------------------


def total(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Add tallies up by capability, in the order of their names; `version` is the largest."""
    found: dict[str, Tally] = {}
    for own in tallies:
        known = found.get(own.capability)
        found[own.capability] = own if known is None else _sum(known, own)
    return tuple(found[name] for name in sorted(found))


def _sum(one: Tally, other: Tally) -> Tally:
    figures = [a + b for a, b in zip(one[2:], other[2:], strict=True)]
    return Tally(one.capability, max(one.version, other.version), *figures)


class Standings:
    """Mutable: what a supervisor has seen of `M.standing`, as far as it may need it.

    A processor that was replaced may write an old entry after a newer one: the highest version of
    each partition is kept.

    Args:
        keeps: Tells whether a capability may be auctioned here.
    """

    def __init__(self, keeps: Callable[[str], bool]) -> None:
        self._keeps = keeps
        self._known: dict[tuple[str, str], dict[int, Tally]] = {}

    def __repr__(self) -> str:
        return f"Standings({len(self._known)} of agents and capabilities)"

    def see(self, standing: Standing) -> None:
        """Take an entry; one that is older than what is known changes nothing."""
        for own in standing.tallies:
            if self._keeps(own.capability):
                parts = self._known.setdefault((standing.agent, own.capability), {})
                before = parts.get(standing.partition)
                if before is None or own.version > before.version:
                    parts[standing.partition] = own

    def of(self, agent: str, capability: str) -> Known:
        """Return what is known of an agent at a capability."""
        parts = self._known.get((agent, capability))
        if not parts:
            return UNKNOWN
        return Known(
            sum(own.good for own in parts.values()),
            sum(own.bad for own in parts.values()),
            tuple(Version(number, parts[number].version) for number in sorted(parts)),
        )


class Latest:
    """Mutable: `M.standing` as it was read: the highest version of each agent and partition."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Standing] = {}

    def __repr__(self) -> str:
        return f"Latest({len(self._known)} entries)"

    @property
    def entries(self) -> Collection[Standing]:
        """One entry of each agent and partition."""
        return self._known.values()

    def see(self, standing: Standing) -> None:
        """Take an entry; one that is older than what is known changes nothing."""
        name = (standing.agent, standing.partition)
        known = self._known.get(name)
        if known is None or standing.version > known.version:
            self._known[name] = standing

    def of(self, agent: str) -> tuple[Tally, ...]:
        """Return what an agent has done, added up by capability."""
        own = [known for known in self.entries if known.agent == agent]
        return total(tally for known in own for tally in known.tallies)
