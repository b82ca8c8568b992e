"""A process that writes shared state: `python -m bench.chaos_state_writer '{"mesh": ..., ...}'`.

It proposes by the code that is below `ctx.shared`, on a connection of its own, and knows the
entries by a replica, as an instance does. Several writes are on their way at a time, one to a key.
What is asked and told is on disk before it counts, so a SIGKILL loses none of it: writes to `plain`
keys as a history, the others as one line for each verdict.

A writer that comes after a killed one sends some of its open writes again under their ids, as a
worker does that goes on from a journal. Writes `ready` to stdout when it is, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench import chaos_state_keys as keys
from bench.chaos_state_keys import OBJECTIVES, SCOPE, kind_of
from mesh.core.messages import Judged
from mesh.core.shared import ACCEPTING, Change, Settlement, Verdict, Write
from mesh.core.values import Holder, Inbox
from mesh.ports import Place
from mesh.runtime.clock import SystemClock
from mesh.runtime.process import load_schemas
from mesh.runtime.proposals import Proposals
from mesh.runtime.replica import Replica
from mesh.transport.kafka import KafkaLog
from mesh.wire import topics
from mesh.wire.canonical import canonical_json
from mesh.wire.messages import decode_envelope
from mesh.wire.state import encode_proposal, proposal_key, state_partition
from tests.histories import operations as h
from tests.histories.reading import read_recordings
from tests.histories.recording import SUFFIX, Recorder

POOL = "writers"
AGENT = "writer"
PACE_S = 0.05
"""What is due is begun so often, together: to wake for each write alone takes from the processor,
which shares its cores, what it has to itself where writers run elsewhere."""
ROWS_S = 0.02
"""Entries are looked for so often: eight writers on two cores need not wake for each of them."""
LOST = 3
SENT_AGAIN = 4
"""Of a predecessor's open writes one in so many is left alone: unknown for ever."""
RECORDED, TOLD = "recorded", "told"
"""Directories of the histories, and of the verdicts on other keys."""


@dataclass(frozen=True, kw_only=True)
class WriterOrders:
    """What one writer is to do.

    `flying` writes at a time, or `per_s` begun in a second, whatever became of those before.
    `wide` names keys that are its own. `after` is the process id of its predecessor.
    """

    bootstrap: str
    mesh: str
    number: int
    records: str
    seed: int
    keys: int
    flying: int = 24
    per_s: float = 0.0
    wide: str = ""
    after: int = 0

    @property
    def name(self) -> str:
        """Return the writer's name."""
        return f"writer{self.number}"

    def text(self) -> str:
        """Return them as the command line takes them."""
        return json.dumps(asdict(self))


class Verdicts:
    """Appends what was told to a file of this process, by one write to the kernel for each."""

    def __init__(self, directory: Path) -> None:
        path = directory / f"{os.getpid()}-{time.monotonic_ns()}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)

    def add(self, change: Change, judged: Judged, *, again: bool = False) -> None:
        """Note the verdict on a change."""
        line = {
            "change": change.change,
            "keys": [write.key for write in change.writes],
            "expected": [write.expected for write in change.writes],
            "verdict": judged.verdict.value,
            "versions": list(judged.versions),
            "now": [entry.version for entry in judged.entries],
            "reason": judged.reason,
            "forgotten": judged.forgotten,
            "again": again,
        }
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


class Writer:
    """Mutable: one writer."""

    def __init__(self, orders: WriterOrders, log: KafkaLog) -> None:
        self.orders = orders
        now_ms = time.time_ns() // 1_000_000
        self.me = Holder(orders.name, now_ms)
        self._log = log
        self._client = f"{orders.name}.{now_ms:x}"
        self._inbox = Inbox(topics.inbox(orders.mesh, POOL), orders.number)
        self._random = Random(f"{orders.seed} {orders.number} {orders.after}")
        records = Path(orders.records)
        self._recorder = Recorder(records / RECORDED)
        self._told = Verdicts(records / TOLD)
        self._replica = Replica(SCOPE)
        own = keys.wide(orders.wide) if orders.wide else keys.mixed(orders.keys)
        self._free = list(own)
        self._known: dict[str, int] = {}
        self._made = 0
        self._count = now_ms * 1_000
        self._settled: set[tuple[str, int]] = set()
        self._proposals: Proposals | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.failed: asyncio.Future[BaseException] = asyncio.Future()

    async def start(self) -> None:
        """Connect, read the entries to their end, and begin to write."""
        mesh = self.orders.mesh
        await self._log.open()
        await asyncio.to_thread(load_schemas)
        self._partitions = len(await self._log.ends(topics.changes(mesh)))
        self._proposals = Proposals(
            self.me,
            self._inbox,
            log=self._log,
            mesh=mesh,
            partitions=self._partitions,
            clock=SystemClock(),
        )
        reader = await self._log.tail(self._inbox.topic, {self._inbox.partition: None})
        self._spawn(self._listen(reader))
        if not self.orders.wide:
            ends = await self._log.ends(topics.state(mesh))
            rows = await self._log.tail(
                topics.state(mesh), dict.fromkeys(ends, 0), keep=self._replica.keeps, every_s=ROWS_S
            )
            self._spawn(self._follow(rows))
            await rows.caught_up()
        for change in self._open_before():
            self._spawn(self._again(change))
        if self.orders.per_s:
            self._spawn(self._keep_pace())
        else:
            for _ in range(self.orders.flying):
                self._spawn(self._lane())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """End the process with the first part of it that fails: nothing may go missing quietly."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_result(error)

    async def _listen(self, reader: Any) -> None:  # a `ports.Reader`
        assert self._proposals is not None
        while True:
            for incoming in await reader.take():
                envelope = decode_envelope(incoming.value)
                if isinstance(envelope.content, Judged):
                    self._proposals.heard(envelope, envelope.content)

    async def _follow(self, reader: Any) -> None:  # a `ports.Reader`
        while True:
            for incoming in await reader.take():
                self._replica.take(incoming)

    # --- how much -------------------------------------------------------------------------------

    async def _lane(self) -> None:
        while not self.stopping:
            await self._one(self._take())

    async def _keep_pace(self) -> None:
        """Begin so many writes a second, whatever became of those before."""
        begun, count = time.monotonic(), 0
        while not self.stopping:
            due = int((time.monotonic() - begun) * self.orders.per_s)
            for _ in range(due - count):
                self._spawn(self._one(self._take()))
            count = due
            await asyncio.sleep(PACE_S)

    def _take(self) -> tuple[str, ...]:
        """Take keys to which nothing is on its way from here."""
        if not self._free:
            raise RuntimeError("every key has a write on its way: the run needs more keys")
        place = self._random.randrange(len(self._free))
        self._free[place], self._free[-1] = self._free[-1], self._free[place]
        return self._free.pop()

    async def _one(self, chosen: tuple[str, ...]) -> None:
        if kind_of(chosen[0]) == "plain":
            await self._plain(chosen[0])
        else:
            await self._other(chosen)
        self._free.append(chosen)

    # --- one write ------------------------------------------------------------------------------

    async def _plain(self, key: str) -> None:
        """Write a register; recorded before it leaves and once the answer is there."""
        name = self._next()
        expected = self._latest(key)
        change = self._change(name, [Write(key, expected, canonical_json(name))])
        number = self._recorder.invoked(
            self._client, key, h.Write(value=name, expected_version=expected)
        )
        judged = await self._propose(change)
        answer = answer_of(judged)
        if answer is not None:
            self._recorder.answered(number, answer)
        elif judged.verdict is Verdict.REFUSED:
            self._recorder.failed(number)
            self._told.add(change, judged)
        else:
            self._recorder.unknown(number)

    async def _other(self, chosen: Sequence[str]) -> None:
        expected = max(map(self._latest, chosen))
        name, objective = self._next(), ""
        value: object = name
        row = self._replica.row(chosen[0])
        if kind_of(chosen[0]) == "merged":
            self._count += 1
            expected = row.version
            value = {**_fields(row.value), self.orders.name: self._count}
        elif kind_of(chosen[0]) == "weighed":
            objective = self._random.choice(OBJECTIVES)
            if row.contested:
                self._settle(chosen[0], row.version)
        data = canonical_json(value)
        change = self._change(name, [Write(key, expected, data) for key in chosen], objective)
        self._told.add(change, await self._propose(change))

    async def _again(self, change: Change) -> None:
        """Send a predecessor's write again: what it made, it made once."""
        self._told.add(change, await self._propose(change, again=True), again=True)

    @property
    def waiting(self) -> int:
        """Return how many writes have no verdict yet."""
        return len(self._proposals or ())

    async def _propose(self, change: Change, *, again: bool = False) -> Judged:
        assert self._proposals is not None
        judged = await self._proposals.propose(change, again=again)
        for entry in judged.entries:
            self._known[entry.key] = max(entry.version, self._known.get(entry.key, 0))
        return judged

    def _settle(self, key: str, version: int) -> None:
        """Choose between contested values, as a person would: once for each version."""
        if (key, version) in self._settled:
            return
        self._settled.add((key, version))
        settlement = Settlement(
            change=self._next(),
            key=key,
            expected=version,
            value=canonical_json(f"settled {version}"),
            person=self.orders.name,
            because="somebody has to",
        )
        place = Place(topics.changes(self.orders.mesh), state_partition(key, self._partitions))
        self._log.append(place, proposal_key(settlement), encode_proposal(settlement))

    def _latest(self, key: str) -> int:
        return max(self._replica.row(key).version, self._known.get(key, 0))

    def _next(self) -> str:
        self._made += 1
        return f"{self._client}-{self._made}"

    def _change(self, name: str, writes: Sequence[Write], objective: str = "") -> Change:
        return Change(
            change=name,
            by=self.me,
            agent=AGENT,
            scope=SCOPE,
            workflow="",
            task="",
            step="",
            writes=tuple(writes),
            objective=objective,
            because="",
            inbox=self._inbox,
        )

    def _open_before(self) -> list[Change]:
        """Return what a predecessor left open and is sent again."""
        paths = (Path(self.orders.records) / RECORDED).glob(f"{self.orders.after}-*{SUFFIX}")
        found = read_recordings(paths) if self.orders.after else []
        left = [one for one in found if one.outcome is h.Outcome.UNKNOWN and not one.answered]
        changes = []
        for one in left[: len(left) - len(left) // SENT_AGAIN]:
            assert isinstance(one.call, h.Write)
            name = json.loads(one.call.value)
            write = Write(one.key, one.call.expected_version or 0, canonical_json(name))
            changes.append(self._change(name, [write]))
        return changes


def answer_of(judged: Judged) -> h.Answer | None:
    """Return what a verdict says about a register; None where it says nothing."""
    if judged.verdict in ACCEPTING:
        return h.Accepted(version=judged.versions[0] or None)
    if judged.forgotten or judged.verdict is not Verdict.CONFLICT:
        return None
    [entry] = judged.entries
    return h.Refused(version=entry.version, value=json.loads(entry.value or b"null"))


def _fields(value: bytes | None) -> Mapping[str, int]:
    fields: Mapping[str, int] = json.loads(value or b"{}")
    return fields


async def run(orders: WriterOrders) -> int:
    """Write until SIGTERM, then wait for the verdicts on what is on its way."""
    writer = Writer(orders, KafkaLog(orders.bootstrap, client_id=orders.name))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, writer, "stopping", True)
    await writer.start()
    parent = os.getppid()
    print("ready", flush=True)
    while not (writer.failed.done() or (writer.stopping and not writer.waiting)):
        await asyncio.wait([writer.failed], timeout=0.2)
        if os.getppid() != parent:
            return LOST
    if writer.failed.done():
        error = writer.failed.result()
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return LOST
    return 0


def main() -> None:
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    code = asyncio.run(run(WriterOrders(**json.loads(sys.argv[1]))))
    sys.stderr.flush()
    os._exit(code)  # the log's threads have nothing more to do


if __name__ == "__main__":
    main()
