"""The protocol's settings, each with its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.core.values import Amount

MAX_EVENT_BYTES = 256 * 1024
"""One record on any topic: small enough to batch, well under Kafka's default of 1 MiB."""
MAX_BODY_BYTES = 128 * 1024
"""A body above this goes to the artifact store, so that an event with its other fields fits."""
EVENT_WINDOW_MS = 3_600_000
"""A record with the `ce-id` of a task that ended at most so long ago, in log time, is answered from
what was done. No setting: what counts must not depend on one."""
MIN_LEASE_MS = 1_500
"""Of a capability: a holder acts only while its lease's end is further off than two brokers' clocks
may differ (`clock_skew_ms`), so that less than three such differences cannot be held."""
MAX_STEPS = 10_000
"""Steps of one task: a replay stays under a second, and an endless loop ends."""
MAX_ANCESTORS = 64
"""Depth of a chain of delegations: the ancestors travel with every task."""
MAX_NAME = 200
"""Characters of an agent's, a capability's or an instance's name: topics end at 249."""
MAX_REASON = 2_000
"""Characters of a reason or an error's summary: room for a traceback's last lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How long things take and how many there may be. Times in milliseconds."""

    work_lease_ms: int = 10_000
    """A dead worker is noticed after this; shorter costs renewals."""
    supervision_lease_ms: int = 6_000
    """Not above the group's session timeout, so that it is over when Kafka names a successor."""
    clock_skew_ms: int = 500
    """The largest difference between two brokers' clocks; `mesh doctor` measures it."""
    suspend_after_ms: int = 30_000
    """A handler that waits longer than this gives its slot up."""
    max_attempts: int = 3
    """Awards of one task that may end in failure, rejection or death."""
    hop_fee: int = 1
    """Hops that a delegation itself costs; bounds the number of tasks of a workflow."""
    smallest_grant: int = 1
    """The least of each dimension that a child is given; bounds fan-out."""
    candidates: int = 4
    """Agents asked in an auction: more buys little and costs two messages each."""
    bids_wait_ms: int = 50
    """A call for bids is answered from memory, so this is generous on one site."""
    bids_wait_max_ms: int = 5_000
    """Each round in which nobody could be chosen doubles the time, up to this: a busy fleet
    answers late, and an auction that never waits for it would never end."""
    open_tasks: int = 1_000
    """Root tasks one instance supervises at a time; above it load waits in Kafka."""
    slots: int = 64
    """Handlers that one instance runs at a time."""
    timeout_ms: int = 600_000
    """A task's deadline unless one is given."""
    retry_pause_ms: int = 200
    """Before the second attempt; doubles with each further one, so that no storm arises."""
    repeat_ms: int = 2_000
    """A cancellation or an adoption that was not answered is sent again after this."""
    open_after_ms: int = 5_000
    """A root task older than this goes to `M.open`, and no longer holds the offset back."""
    budget: Amount = Amount(
        micro_usd=10_000_000, tokens=1_000_000, tool_calls=10_000, hops=1_000, attempts=100
    )
    """What a submitted task may cost if neither it nor its capability says so."""
    ceiling: Amount = Amount(
        micro_usd=1_000_000_000,
        tokens=1_000_000_000,
        tool_calls=1_000_000,
        hops=100_000,
        attempts=10_000,
    )
    """The most that a submitted task may ask for."""
    retention_ms: int = 7 * 24 * 3_600_000
    """How long the audit stream is kept; a deadline beyond it is refused."""
