"""The limits of the detectors, each with its reason, and which of them holds where.

A limit is the most that is allowed: what is above it is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from mesh.errors import DefinitionError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of each measure is allowed. Times in milliseconds of the log.

    Raises:
        DefinitionError: One of them is below 1.
    """

    loop_returns: int = 1
    """An input that comes back once below itself may be handed down to somebody who can; twice is
    a circle, for nothing tells the third from the second."""
    loop_returns_opaque: int = 5
    """The same, where inputs differ in identifiers or times alone: those may be the subject, as in
    a walk down a tree of folders, so there is more patience, and still less than 12 turns."""
    ping_pong_returns: int = 2
    """How often somebody gets back what it had handed on: once for a question, once more for the
    answer; a third time with nothing new is a game."""
    retries_alike: int = 7
    """Failures of the same thing in a row: a task may fail 3 times, its caller may ask once more
    (6), and one more is granted. Retries within retries multiply, and that shows here. A task that
    may have more attempts than 3 has a limit that grows with them, at most to twice this."""
    retries: int = 15
    """Failures in a row of one tool, or one capability, under one task, whatever the input:
    somebody who looks for the right input has had as many tries as a person would give."""
    retry_window_ms: int = 60_000
    """Failures in a row that took longer than this are no storm, though they may be no progress."""
    fan_out_children: int = 100
    """Tasks of one task, begun while others of it were open, that no list foresaw: nobody writes so
    many calls by hand, and what comes from data comes from a list that the task was given."""
    fan_out_open: int = 150
    """The same over a whole workflow, for a tree in which each task has few children."""
    depth: int = 20
    """Delegations in one chain that did not make the input smaller: organisations are not as deep,
    and a division in halves of a million parts is."""
    velocity_times: int = 20
    """How much faster than planned a budget may go over the window: a short burst is normal, for
    deadlines are generous; with the window below this is 40 % of all in 2 % of the time."""
    velocity_window_permille: int = 20
    """The window, of the time from the root task's opening to its deadline."""
    velocity_payments: int = 30
    """With fewer payments than this in the window nothing is found: a few large ones were meant."""
    stale_results: int = 20
    """Results in a row that were all known: twice what a poll without a pause would need to be
    seen as one, and cheap."""
    stale_paid_results: int = 8
    """The same, of answers that cost money or tokens again: found before the 12th turn."""
    pace_ms: int = 1_000
    """A sleep at least so long is a pause: what is asked after it is a poll and no stall."""
    lost_updates: int = 30
    """Writes of one key in one workflow that came too late: eight writers at once, each of which
    comes through in the end, conflict at most 28 times."""
    fruitless_calls: int = 20
    """Calls for bids without a bid, and awards that were declined, in a row. They come a second
    apart, up to 6 s where nobody answers, and at once whenever the fleet changes."""
    fruitless_ms: int = 60_000
    """A row that took less is no starvation, nor is a task that ended so soon without a worker: an
    agent that is started anew is back by then."""
    unawarded_ms: int = 300_000
    """A task that was opened and never awarded while its partition moved: half of the time that a
    task has by default, so what is left may still do. Overload waits, and seldom so long."""

    stale_read_ms: int = 1_000
    """How long ago a version may have been replaced that a result rests on: a result takes a moment
    to be written, and brokers' clocks differ."""
    duplicates: int = 1
    """Workflows that may be at one capability with equal input at once: two pay twice for the same.
    Who asks several for the same thing on purpose, and compares, says so for the capability."""
    duplicate_ms: int = 5_000
    """For how long together: nobody could step in sooner, and a look-up that several need at once
    is cheaper than a look at the incident."""
    starved_ms: int = 60_000
    """How long a submitted task may wait while nobody is there for it: an instance that is silent
    counts as gone after 45 s, and a restart takes less than a minute."""

    def __post_init__(self) -> None:
        for own in fields(self):
            if getattr(self, own.name) < 1:
                raise DefinitionError(f"limit {own.name} must be at least 1")


NAMES = frozenset(own.name for own in fields(Limits))


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitTable:
    """Which limits hold where: the most specific that names a limit wins, limit by limit.

    From general to specific: `mesh`, the agent at work, the capability, the workflow by the
    capability of its root task, the workflow by its id.

    Raises:
        DefinitionError: A name is no limit, or a limit is below 1.
    """

    mesh: Limits = field(default_factory=Limits)
    agents: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    capabilities: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    workflows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in (self.agents, self.capabilities, self.workflows):
            for target, own in table.items():
                if unknown := sorted(set(own) - NAMES):
                    raise DefinitionError(f"{target}: there is no limit {unknown[0]}")
                replace(self.mesh, **own)

    def of(self, *, agent: str, capability: str, root: str, workflow: str) -> Limits:
        """Return what holds for a task: its agent and capability, its root's capability, its id."""
        if not (self.agents or self.capabilities or self.workflows):
            return self.mesh
        own: dict[str, int] = {}
        own.update(self.agents.get(agent, {}))
        own.update(self.capabilities.get(capability, {}))
        own.update(self.workflows.get(root, {}))
        own.update(self.workflows.get(workflow, {}))
        return replace(self.mesh, **own) if own else self.mesh
