"""What goes wrong in a simulated run, drawn from its seed.

Each run enables some kinds of fault only, at rates of its own: bugs hide where one kind of fault
is frequent and the others are absent (swarm testing, Groce et al. 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

NEMESES = (
    "crash", "pause", "cut", "leader", "outage", "suspect", "rebalance", "drain", "unread",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The rates of one run. Probabilities are per event, times in milliseconds."""

    calm_ms: int
    """Faults stop at this time."""
    every_ms: int
    """Mean time between two faults that befall a node, a partition or the group."""
    kinds: tuple[str, ...]
    """Which of `NEMESES` befall this run."""
    drop: float
    """A message is lost."""
    duplicate: float
    """A message arrives twice."""
    late: float
    """A message, an append or a report takes up to `late_ms`."""
    late_ms: int
    unreported: float
    """The report of an append never comes."""
    repeated: float
    """An append is in the log twice, under one number."""
    crash_between: float
    """A node dies between two effects of one step."""
    pause_between: float
    """A node is stopped between two effects of one step, and goes on later."""
    unfenced: float
    """A commit of a member that lost the partition is accepted."""
    broker_skew_ms: int
    """The largest difference between the clocks of two brokers."""
    node_skew_ms: int
    """The largest error of a node's clock."""
    session_ms: int
    """The group takes partitions away from a member that is silent for so long."""


QUIET = Profile(
    calm_ms=0,
    every_ms=10**9,
    kinds=(),
    drop=0.0,
    duplicate=0.0,
    late=0.0,
    late_ms=0,
    unreported=0.0,
    repeated=0.0,
    crash_between=0.0,
    pause_between=0.0,
    unfenced=0.0,
    broker_skew_ms=0,
    node_skew_ms=0,
    session_ms=2_000,
)
"""Nothing goes wrong."""


def draw(random: Random) -> Profile:
    """Draw the faults of one run."""

    def sometimes(*rates: float) -> float:
        return random.choice((0.0, 0.0, *rates))

    return Profile(
        calm_ms=random.choice((6_000, 10_000, 15_000)),
        every_ms=random.choice((400, 800, 1_500, 4_000)),
        kinds=tuple(kind for kind in NEMESES if random.random() < 0.4),
        drop=sometimes(0.02, 0.1, 0.3),
        duplicate=sometimes(0.02, 0.2),
        late=sometimes(0.02, 0.1),
        late_ms=random.choice((300, 1_500, 5_000)),
        unreported=sometimes(0.005, 0.03),
        repeated=sometimes(0.01, 0.05),
        crash_between=sometimes(0.001, 0.005),
        pause_between=sometimes(0.001, 0.005),
        unfenced=sometimes(0.5),
        broker_skew_ms=random.choice((0, 100, 400)),
        node_skew_ms=random.choice((0, 200, 2_000)),
        session_ms=random.choice((1_500, 2_500)),
    )
