"""The faults: a plan that follows from the seed, and the hand that carries it out.

A victim is chosen among processes that have something in hand at that moment; what it had, and what
came of it, is kept with the fault, so that each can be shown to have hit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

from bench.agentproc import LOST, Orders
from bench.chaos_watch import Held, Watch
from bench.spawn import AgentProcess
from bench.waiting import until
from mesh.core.values import Holder
from mesh.transport import broker

STOPPED_S = 10.0
"""Longer than every lease (2 and 3 s), the group's session (6 s), and their margins together."""
DOWN_S = (0.3, 5.0)
BETWEEN_S = (2.0, 6.0)
BROKER_DOWN_S = (0.5, 4.0)
DOWN_AT_ONCE = 3
SPARE = 20
"""One fault more for so many: between choosing a victim and its end it may finish what it had."""
VICTIM_LIMIT_S = 20.0
KINDS = ("leaves", "nested", "roots")


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many faults of each kind."""

    kills: int = 60
    stops: int = 15
    brokers: int = 5
    rolls: int = 5


@dataclass
class Fault:
    """Mutable: one fault that was done. `hit` is filled when the run is over.

    `down_ms` is from when to when no broker ran; `before` is what had happened to the holder until
    then, `died`, `taken` and `late` what happened to it since.
    """

    kind: str
    at_ms: int
    victim: str = ""
    aim: str = ""
    holder: Holder | None = None
    held: Held | None = None
    open_tasks: int = 0
    down_ms: tuple[int, int] = (0, 0)
    before: tuple[int, int, int] = (0, 0, 0)
    died: int = 0
    taken: int = 0
    late: int = 0
    note: str = ""
    hit: bool = False


def plan(seed: int, amounts: Amounts) -> list[str]:
    """Return the faults in their order: some more than asked for, as one may come too late."""
    kinds = [f"kill {KINDS[n % 3]}" for n in range(_with_spares(amounts.kills))]
    kinds += [f"stop {KINDS[n % 3]}" for n in range(_with_spares(amounts.stops))]
    kinds += [("broker stop", "broker kill")[n % 2] for n in range(amounts.brokers)]
    kinds += ["roll"] * amounts.rolls
    Random(seed).shuffle(kinds)
    return kinds


def wanted(amounts: Amounts) -> dict[str, int]:
    """Return how many of each kind must be shown to have hit."""
    return {
        "kill": amounts.kills,
        "stop": amounts.stops,
        "broker stop": amounts.brokers - amounts.brokers // 2,
        "broker kill": amounts.brokers // 2,
        "roll": amounts.rolls,
    }


def _with_spares(count: int) -> int:
    return count + -(-count // SPARE)


class Fleet:
    """Mutable: the agent processes, kept running."""

    def __init__(self, orders: Sequence[Orders], logs: Path) -> None:
        self._orders = {one.name: one for one in orders}
        self._logs = logs
        self.processes: dict[str, AgentProcess] = {}
        self.down: set[str] = set()
        self.lost = 0
        self.unready = 0
        self.starts = 0

    async def start(self) -> None:
        """Start all of them at once."""
        await asyncio.gather(*(self.up(name) for name in self._orders))

    async def up(self, name: str) -> None:
        """Start a process and wait until it is ready; one that ends before is started again."""
        while True:
            self.starts += 1
            process = AgentProcess(self._orders[name], self._logs / f"{name}.log")
            self.processes[name] = process
            if await asyncio.to_thread(process.is_ready, 60.0):
                self.down.discard(name)
                return
            self.unready += 1
            process.kill()
            await asyncio.sleep(1.0)

    async def keep(self) -> None:
        """Start again whatever ended by itself, for ever."""
        while True:
            await asyncio.sleep(0.5)
            for name in self._orders:
                process = self.processes[name]
                if name not in self.down and not process.running:
                    self.down.add(name)
                    self.lost += process.returncode == LOST
                    await self.up(name)

    def running(self) -> list[str]:
        """Return the names of those that are up and not meant to be down."""
        return [n for n, p in self.processes.items() if n not in self.down and p.running]

    def is_up(self, name: str) -> bool:
        """Tell whether nobody has it down."""
        return name not in self.down

    def stop_all(self) -> None:
        """End everything, whatever state it is in."""
        for process in self.processes.values():
            process.send(signal.SIGCONT)
            process.send(signal.SIGTERM)
        for process in self.processes.values():
            process.stop()


@dataclass
class Storm:
    """Mutable: carries a plan out. `done` has what was done."""

    fleet: Fleet
    watch: Watch
    broker_directory: Path
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
            await self._do(kind)
            self.say(f"{number + 1}/{len(kinds)} {_line(self.done[-1])}")
        while self._later:
            await asyncio.gather(*self._later)

    async def _do(self, kind: str) -> None:
        what, _, aim = kind.partition(" ")
        if what == "kill":
            await self._kill(aim)
        elif what == "stop":
            await self._freeze(aim)
        elif what == "broker":
            await self._broker(aim)
        else:
            await self._roll()

    async def _kill(self, aim: str) -> None:
        victim, fault = await self._choose("kill", aim)
        self.fleet.down.add(victim)
        self.fleet.processes[victim].kill()
        self.done.append(fault)
        pause_s = self._random.uniform(*DOWN_S)

        async def again() -> None:
            await asyncio.sleep(pause_s)
            await self.fleet.up(victim)

        self._start(again())

    async def _freeze(self, aim: str) -> None:
        victim, fault = await self._choose("stop", aim)
        process = self.fleet.processes[victim]
        self.fleet.down.add(victim)
        process.send(signal.SIGSTOP)
        self.done.append(fault)

        async def wake() -> None:
            await asyncio.sleep(STOPPED_S)
            process.send(signal.SIGCONT)
            self.fleet.down.discard(victim)

        self._start(wake())

    async def _broker(self, how: str) -> None:
        fault = Fault(f"broker {how}", _now_ms(), open_tasks=len(self.watch.tasks))
        end = broker.stop if how == "stop" else broker.kill
        await asyncio.to_thread(end, self.broker_directory)
        down_ms = _now_ms()
        await asyncio.sleep(self._random.uniform(*BROKER_DOWN_S))
        fault.down_ms = (down_ms, _now_ms())
        await asyncio.to_thread(broker.start, self.broker_directory, environ=os.environ)
        fault.note = f"down for {(_now_ms() - fault.at_ms) / 1_000:.1f} s"
        self.done.append(fault)

    async def _roll(self) -> None:
        """Restart every process in turn; those that are down or stopped are waited for."""
        fault = Fault("roll", _now_ms(), open_tasks=len(self.watch.tasks))
        clean, names = 0, list(self.fleet.processes)
        for name in names:
            await until(partial(self.fleet.is_up, name))
            self.fleet.down.add(name)
            code = await asyncio.to_thread(self.fleet.processes[name].stop)
            clean += code == 0
            await self.fleet.up(name)
        fault.note = f"{clean} of {len(names)} drained, {(_now_ms() - fault.at_ms) / 1_000:.0f} s"
        self.done.append(fault)

    async def _choose(self, kind: str, aim: str) -> tuple[str, Fault]:
        """Return a process that has what is aimed at; after a while, any that has anything."""
        begun = time.monotonic()
        while True:
            waited = time.monotonic() - begun
            up = self.fleet.running()
            fits = []
            if len(self.fleet.down) < DOWN_AT_ONCE:
                held = {name: self.watch.held(name) for name in up}
                fits = [n for n in up if getattr(held[n], aim)]
                if waited > VICTIM_LIMIT_S / 2:
                    fits = fits or [n for n in up if held[n].anything]
                if waited > VICTIM_LIMIT_S:
                    fits = fits or up
            if fits:
                victim = self._random.choice(fits)
                fault = Fault(kind, _now_ms(), victim, aim, self.watch.holder(victim))
                before = self.watch.fate(fault.holder)
                return victim, replace(fault, held=self.watch.held(victim), before=before)
            await asyncio.sleep(0.05)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def judge(faults: Sequence[Fault], watch: Watch) -> None:
    """Say of each fault whether it hit, from what the log shows afterwards."""
    for fault in faults:
        if fault.holder is not None:
            since = zip(watch.fate(fault.holder), fault.before, strict=True)
            fault.died, fault.taken, fault.late = (now - then for now, then in since)
            fault.hit = bool(fault.held and fault.held.anything) and bool(
                fault.died or fault.taken or fault.late
            )
        else:
            fault.hit = fault.open_tasks > 0 and watch.was_silent(*fault.down_ms)


def _line(fault: Fault) -> str:
    held = fault.held
    has = f" with {held.leaves} leaves, {held.nested} nested, {held.roots} roots" if held else ""
    return f"{fault.kind} {fault.victim}{has} {fault.note}".rstrip()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
