"""The floor: request and reply over two topics with bare confluent-kafka, two processes, no mesh.

Both sides are written the fast way (see `KAFKA.md`, section 3): poll for the first record, consume
what else is there, produce without waiting, no linger. As `python -m bench.echo SERVE ...` the
module is the other process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its hints forget to export
    AdminClient,
    NewTopic,
)

from bench.ground import Ground
from bench.spawn import ROOT

POLL_S = 0.15
BATCH = 500
PAYLOAD = b"x" * 200
"""About what a small JSON input with its ids takes."""


class Wire:
    """Mutable: one side: reads one topic, writes the other."""

    def __init__(self, bootstrap: str, reads: str, writes: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "log_level": 3,
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bare",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 1_000,
                "log_level": 3,
            }
        )
        self._consumer.list_topics(reads)
        self._consumer.assign([TopicPartition(reads, 0, OFFSET_BEGINNING)])
        self._writes = writes

    def send(self, value: bytes) -> None:
        """Produce one record."""
        self._producer.produce(self._writes, value)
        self._producer.poll(0)

    def take(self) -> list[Message]:
        """Return what came: at least one record, unless nothing came for a while."""
        first = self._consumer.poll(POLL_S)
        if first is None:
            return []
        return [first, *self._consumer.consume(BATCH, 0)]

    def close(self) -> None:
        self._producer.flush(5)
        self._consumer.close()


@contextmanager
def echo(ground: Ground) -> Iterator[Wire]:
    """Have the other process for the time of a block."""
    names = [f"bare-{time.time_ns()}-{way}" for way in ("out", "back")]
    admin = AdminClient({"bootstrap.servers": ground.bootstrap})
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result()
    out, back = names
    other = subprocess.Popen(
        [sys.executable, "-m", "bench.echo", ground.bootstrap, out, back],
        stdin=subprocess.PIPE,
        cwd=ROOT,
    )
    wire = Wire(ground.bootstrap, back, out)
    try:
        wire.send(b"warm")
        while not wire.take():
            pass
        yield wire
    finally:
        wire.close()
        other.terminate()
        other.wait(10)


def rate(wire: Wire, in_flight: int, seconds: float) -> tuple[float, list[int]]:
    """Return round trips a second, and how long each took in nanoseconds if one at a time."""
    begun = last = time.perf_counter_ns()
    limit = begun + int(seconds * 1e9)
    done, each = 0, []
    for _ in range(in_flight):
        wire.send(PAYLOAD)
    under_way = in_flight
    while under_way:
        got = len(wire.take())
        now = time.perf_counter_ns()
        if in_flight == 1 and got:
            each.append(now - last)
        last = now
        done += got
        under_way -= got
        if now < limit:
            for _ in range(got):
                wire.send(PAYLOAD)
            under_way += got
    return done / ((time.perf_counter_ns() - begun) / 1e9), each


def serve(bootstrap: str, reads: str, writes: str) -> None:
    """Send back whatever comes, until the parent ends this process."""
    wire = Wire(bootstrap, reads, writes)
    while True:
        for message in wire.take():
            wire.send(message.value() or b"")


if __name__ == "__main__":
    serve(*sys.argv[1:4])
