"""Proposals against the real judge, on a log and an inbox that lose, delay and repeat.

Whatever the schedule, every change is answered once the faults stop, with what is true of it; and a
copy is sent for a reason alone: a lost or late verdict, a failed append, or a silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

from mesh.core.messages import Judged, judged
from mesh.core.shared import ACCEPTING, Change, Entry, RulesEntry, Verdict, View, Write
from mesh.ports import Headers, Incoming, Place, Report
from mesh.runtime.proposals import AGAIN_MS, Proposals
from mesh.testing.clock import START_MS, ManualClock
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire.state import decode_proposal, encode_kept, kept_key
from tests.unit.core.writers import ADOPTED
from tests.unit.runtime.entries import INBOX, ME, change, envelope

KEYS = ("r/a", "r/b", "m/max")
Reporter = Callable[[Report], None]


@dataclass
class Told:
    """What was said to the proposals under test, and how often somebody had a reason to ask."""

    results: dict[str, Judged]
    lost: int = 0
    late: int = 0
    failed: int = 0


class Story(MemoryLog):
    """Mutable: one partition of both topics, its judge, and the proposals of one instance."""

    def __init__(self, seed: int) -> None:
        super().__init__(MemoryBroker(lambda: 0))
        self.random = Random(seed)
        self.clock = ManualClock()
        self.told = Told({})
        self.flying: list[tuple[Change, Reporter]] = []
        self.changes: list[Change] = []
        self.rows: list[Entry | RulesEntry] = []
        self.delayed: list[Judged] = []
        self.through = self.next = 0
        self.view: View | None = None
        self.tasks: dict[str, asyncio.Task[Judged]] = {}
        self.proposals = Proposals(ME, INBOX, log=self, mesh="demo", partitions=1, clock=self.clock)
        first = View()
        first.judge(ADOPTED, 0, 0)
        self.rows.append(first.rules)
        self.changes.append(change("rules"))  # it was judged
        self.start()

    # --- the log --------------------------------------------------------------------------------

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        report: Reporter | None = None,
    ) -> None:
        sent = decode_proposal(value)
        assert isinstance(sent, Change)
        assert report is not None
        self.flying.append((sent, report))

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        assert topic == "demo.state"
        return {0: (0, len(self.rows))}

    async def scan(
        self,
        place: Place,
        first: int,
        end: int | None = None,
        *,
        keep: Callable[[bytes | None], bool] | None = None,
    ) -> AsyncGenerator[Sequence[Incoming], None]:
        for offset in range(first, end or 0):
            row = self.rows[offset]
            if keep is None or keep(kept_key(row)):
                yield [Incoming(*place, offset, 0, kept_key(row), encode_kept(row), ())]

    def land(self, *, fails: bool = False) -> None:
        """Report what was appended first; one of unknown outcome may be in the log."""
        if not self.flying:
            return
        sent, report = self.flying.pop(0)
        if not fails or self.random.random() < 0.5:
            self.changes.append(sent)
        self.told.failed += fails
        offset = len(self.changes) - 1
        report(Report("demo.changes", 0, offset, 0, "timed out" if fails else None))

    # --- the judge ------------------------------------------------------------------------------

    def start(self) -> None:
        """Judge from what was committed on, by what is kept."""
        self.view = View()
        for row in self.rows:
            self.view.restore(row)
        self.next = max(1, self.through)

    def stop(self) -> None:
        self.view = None

    def judge(self, *, loss: float = 0.0, delay: float = 0.0) -> None:
        """Judge what comes next, and tell it, if that is not lost; also late."""
        if self.view is None or self.next == len(self.changes):
            return
        offset, own = self.next, self.changes[self.next]
        self.next += 1
        judgement = self.view.judge(own, offset, 0)
        if judgement is None:
            self.told.lost += 1
            return
        self.rows += judgement.written
        verdict = judged(own, offset, judgement)
        if self.random.random() < loss:
            self.told.lost += 1
        elif self.random.random() < delay:
            self.told.late += 1
            self.delayed.append(verdict)
        else:
            self.hear(verdict)

    def commit(self) -> None:
        self.through = self.random.randint(self.through, max(self.through, self.next))

    def hear(self, verdict: Judged) -> None:
        assert self.proposals.heard(envelope(verdict), verdict)

    def hear_late(self) -> None:
        if self.delayed:
            self.hear(self.delayed.pop(0))

    # --- who writes -----------------------------------------------------------------------------

    def propose(self) -> None:
        """Write a key, as somebody who may know an older version."""
        key = self.random.choice(KEYS)
        entries = (row for row in self.rows if isinstance(row, Entry) and row.key == key)
        latest = max((row.version for row in entries), default=0)
        expected = max(0, latest - self.random.choice([0, 0, 0, 1, 20]))
        name = f"c{len(self.tasks)}"
        own = replace(change(name), scope=("*",), writes=(Write(key, expected, b"1"),))
        self.tasks[name] = asyncio.ensure_future(self.proposals.propose(own))

    def made(self, name: str) -> list[int]:
        """Return the versions that a change made, by all that was ever kept."""
        return [row.version for row in self.rows if isinstance(row, Entry) and row.change == name]

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def trouble(self, steps: int) -> None:
        """Do whatever the seed says."""
        acts: list[tuple[Callable[[], object], int]] = [
            (self.propose, 6),
            (self.land, 6),
            (lambda: self.land(fails=True), 1),
            (lambda: self.judge(loss=0.2, delay=0.2), 8),
            (self.commit, 2),
            (self.stop, 1),
            (self.start, 2),
            (self.hear_late, 2),
            (lambda: self.clock.move_to(self.clock.now_ms() + self.random.choice((100, 7_000))), 2),
        ]
        weights = [weight for _, weight in acts]
        for act, _ in self.random.choices(acts, weights, k=steps):
            act()
            await asyncio.sleep(0)

    async def peace(self) -> None:
        """Let nothing fail any more, until all is answered."""
        for _ in range(400):
            if self.view is None:
                self.start()
            while self.flying:
                self.land()
            while self.view is not None and self.next < len(self.changes):
                self.judge()
            await self.settle()
            if all(task.done() for task in self.tasks.values()):
                return
            due = self.clock.next_ms()
            assert due is not None, "somebody waits, and nothing is due"
            self.clock.move_to(due)
            await self.settle()
        raise AssertionError(f"{self.proposals} after a long time of peace")


@pytest.mark.parametrize("seed", range(60))
async def test_every_change_is_answered_with_what_is_true_of_it(seed: int) -> None:
    story = Story(seed)
    await story.trouble(400)
    await story.peace()
    for name, task in story.tasks.items():
        verdict, made = task.result(), story.made(name)
        assert not verdict.forgotten
        if verdict.verdict in ACCEPTING:
            assert verdict.versions == tuple(sorted(set(made)))
        else:
            assert (verdict.verdict, made) == (Verdict.CONFLICT, [])
    copies = len(story.changes) + len(story.flying) - 1 - len(story.tasks)
    silences = (story.clock.now_ms() - START_MS) // AGAIN_MS
    assert copies <= story.told.lost + story.told.late + story.told.failed + silences


@pytest.mark.parametrize("away_s", [60, 600])
async def test_a_processor_that_was_away_finds_few_copies(away_s: int) -> None:
    """Hundreds wait; whoever comes back finds each once, and some in which one asked for all."""
    story = Story(1)
    story.stop()
    for _ in range(away_s):
        for _ in range(5):
            story.propose()
        await story.settle()
        while story.flying:
            story.land()
        story.clock.move_to(story.clock.now_ms() + 1_000)
    waiting = len(story.tasks)
    assert len(story.proposals) == waiting == 5 * away_s
    assert len(story.changes) - 1 - waiting <= 3 + away_s // 60
    story.start()
    while story.next < len(story.changes):
        story.judge()
        story.clock.move_to(story.clock.now_ms() + 10)
    await story.settle()
    assert len(story.proposals) == 0
    assert not story.flying


async def test_what_was_lost_of_a_backlog_is_asked_for_once_each() -> None:
    story = Story(2)
    story.stop()
    for _ in range(300):
        story.propose()
    await story.settle()
    while story.flying:
        story.land()
    story.start()
    while story.next < len(story.changes):
        story.judge(loss=0.1)
    await story.settle()
    story.clock.move_to(story.clock.now_ms() + 500)
    assert len(story.flying) == story.told.lost == len(story.proposals)
    await story.peace()
    assert len(story.changes) - 1 == 300 + story.told.lost
