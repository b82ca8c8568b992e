"""The faults of a shared-state run: a plan that follows from the seed, and the hand that does it.

Whether each hit is told by the log: every verdict names its judge, so it is known which partitions
a worker had when it was struck, and who judged there afterwards.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple

from bench.chaos_state_crew import Child, Crew, now_ms
from bench.waiting import until

STOPPED_S = 12.0
"""Longer than the group's session (6 s) and a rebalance that waits for nobody."""
DOWN_S = (0.3, 4.0)
BETWEEN_S = (0.5, 2.5)
HELD_MS = 3_000
"""Who judged within this time before a fault had the partition then: they are busy."""
WAKING_MS = 1_000
"""What a worker tells so soon after it woke it tells as one that was replaced; later it may be in
the group again."""
SPARE = 10
"""One fault more for so many: a victim may just have lost its partitions."""
BUSY_S = 0.2
VICTIM_LIMIT_S = 20.0
WORKERS = ("p0", "p1", "p2")
EXTRA = "extra"


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many faults of each kind."""

    workers: int = 18
    writers: int = 14
    stops: int = 4
    rebalances: int = 10


class Told(NamedTuple):
    """A verdict in the log: when it was appended, for which partition, and who judged."""

    at_ms: int
    partition: int
    incarnation: int


@dataclass
class Fault:
    """Mutable: one fault that was done; what stands after `until_ms` is filled at the end."""

    kind: str
    at_ms: int
    victim: str
    pid: int
    started_ms: tuple[int, int]
    until_ms: int = 0
    owned: list[int] = field(default_factory=list)
    away_ms: int = -1
    late: int = 0
    open_writes: int = 0
    hit: bool = False


def plan(seed: int, amounts: Amounts) -> list[str]:
    """Return the faults in their order: some more than asked for, as one may come too late."""
    kinds = ["kill worker"] * _with_spares(amounts.workers)
    kinds += ["kill writer"] * _with_spares(amounts.writers)
    kinds += ["stop worker"] * _with_spares(amounts.stops)
    kinds += ["rebalance"] * _with_spares(amounts.rebalances)
    Random(seed).shuffle(kinds)
    return kinds


def wanted(amounts: Amounts) -> dict[str, int]:
    """Return how many of each kind must be shown to have hit."""
    return {
        "kill worker": amounts.workers,
        "kill writer": amounts.writers,
        "stop worker": amounts.stops,
        "rebalance": amounts.rebalances,
    }


def _with_spares(count: int) -> int:
    return count + -(-count // SPARE)


@dataclass
class Storm:
    """Mutable: carries a plan out. `done` has what was done."""

    crew: Crew
    seed: int
    say: Callable[[str], None]
    done: list[Fault] = field(default_factory=list)
    _later: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = Random(self.seed + 1)

    async def run(self, kinds: Sequence[str]) -> None:
        """Do all faults, and return when everything is up again."""
        for number, kind in enumerate(kinds):
            await asyncio.sleep(self._random.uniform(*BETWEEN_S))
            match kind:
                case "kill worker":
                    fault = await self._kill_worker()
                case "kill writer":
                    fault = await self._kill_writer()
                case "stop worker":
                    fault = await self._stop_worker()
                case _:
                    fault = await self._rebalance()
            self.done.append(fault)
            self.say(f"{number + 1}/{len(kinds)} {fault.kind} {fault.victim}")
            for task in self._later:
                if task.done():
                    task.result()
        while self._later:
            await asyncio.gather(*self._later)

    async def _kill_worker(self) -> Fault:
        victim = await self._choose()
        fault = _fault("kill worker", victim)
        self.crew.down.add(victim.name)
        victim.child.kill()
        await asyncio.to_thread(victim.end, 10.0)
        self._start(self._again(self.crew.up, victim.name))
        return fault

    async def _kill_writer(self) -> Fault:
        names = self.crew.writers
        await until(lambda: any(name not in self.crew.down for name in names))
        name = self._random.choice([name for name in names if name not in self.crew.down])
        victim = names[name]
        fault = _fault("kill writer", victim)
        self.crew.down.add(name)
        victim.child.kill()
        await asyncio.to_thread(victim.end, 10.0)
        self._start(self._again(self.crew.up_writer, name))
        return fault

    async def _again(self, up: Callable[[str], Coroutine[None, None, Child]], name: str) -> None:
        await asyncio.sleep(self._random.uniform(*DOWN_S))
        await up(name)

    async def _stop_worker(self) -> Fault:
        victim = await self._choose()
        fault = _fault("stop worker", victim)
        self.crew.down.add(victim.name)
        victim.send(signal.SIGSTOP)

        async def wake() -> None:
            await asyncio.sleep(STOPPED_S)
            fault.until_ms = now_ms()
            victim.send(signal.SIGCONT)
            self.crew.down.discard(victim.name)

        self._start(wake())
        return fault

    async def _rebalance(self) -> Fault:
        """Add a worker, or take it away again."""
        extra = self.crew.workers.get(EXTRA)
        if extra is None:
            extra = await self.crew.up(EXTRA)
            return _fault("rebalance", extra)
        await until(partial(self._is_up, EXTRA))
        await self._is_busy(EXTRA)
        extra = self.crew.workers[EXTRA]
        fault = _fault("rebalance", extra)
        fault.until_ms = fault.at_ms
        self.crew.down.add(EXTRA)
        extra.send(signal.SIGTERM)
        await asyncio.to_thread(extra.end, 30.0)
        del self.crew.workers[EXTRA]
        self.crew.down.discard(EXTRA)
        return fault

    async def _is_busy(self, name: str) -> None:
        """Wait until a worker judges, for a while."""
        begun, before = time.monotonic(), await self.crew.judged()
        while time.monotonic() - begun < VICTIM_LIMIT_S:
            now = await self.crew.judged()
            if now.get(name, 0) > before.get(name, 0):
                return
            await asyncio.sleep(BUSY_S)

    def _is_up(self, name: str) -> bool:
        return name not in self.crew.down

    async def _choose(self) -> Child:
        """Return a worker that judges just now, if another runs; after a while, any."""
        begun = time.monotonic()
        while True:
            before = await self.crew.judged()
            await asyncio.sleep(BUSY_S)
            now = await self.crew.judged()
            fits = sorted(name for name in now if now[name] > before.get(name, now[name]))
            if time.monotonic() - begun > VICTIM_LIMIT_S:
                fits = sorted(now)
            if fits and len(now) > 1:
                return self.crew.workers[self._random.choice(fits)]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _fault(kind: str, victim: Child) -> Fault:
    return Fault(kind, now_ms(), victim.name, victim.pid, (victim.start_ms, victim.ready_ms))


def judge(faults: Sequence[Fault], told: Sequence[Told], open_writes: Mapping[int, int]) -> None:
    """Say of each fault whether it hit; `open_writes` are those left by process id."""
    for fault in faults:
        if fault.kind == "kill writer":
            fault.open_writes = open_writes.get(fault.pid, 0)
            fault.hit = fault.open_writes > 0
        else:
            _judge(fault, told)


def _judge(fault: Fault, told: Sequence[Told]) -> None:
    first, last = fault.started_ms
    own = [one for one in told if first <= one.incarnation <= last]
    if fault.kind == "rebalance" and not fault.until_ms:  # it came
        fault.owned = sorted({one.partition for one in own})
        fault.away_ms = min((one.at_ms for one in own), default=-1) - fault.at_ms
        fault.hit = bool(own)
        return
    held = {one.partition for one in own if fault.at_ms - HELD_MS <= one.at_ms <= fault.at_ms}
    after = [
        one
        for one in told
        if one.partition in held
        and one.at_ms > fault.at_ms
        and not first <= one.incarnation <= last
    ]
    fault.owned = sorted(held)
    if after:
        fault.away_ms = min(one.at_ms for one in after) - fault.at_ms
    fault.hit = bool(after)
    if fault.kind == "stop worker":
        fault.hit = any(one.at_ms < fault.until_ms for one in after)
        woken = range(fault.until_ms, fault.until_ms + WAKING_MS)
        fault.late = sum(one.partition in held and one.at_ms in woken for one in own)
