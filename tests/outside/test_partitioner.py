"""Keys land where Kafka's Java client puts them: asked of that client itself."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from mesh.ports import Place, TopicPlan
from mesh.transport.broker_jars import find_installation
from mesh.wire.partitioner import murmur2, partition_of
from tests.integration.conftest import real_site
from tests.outside.clients import run

pytestmark = pytest.mark.broker
PROGRAM = Path(__file__).with_name("Murmur.java")
PARTITIONS = (1, 3, 8, 50, 1_000)
FIXED = [
    b"",
    b"a",
    b"ab",
    b"abc",
    b"abcd",
    b"21",
    b"foobar",
    b"a-little-bit-long-string",
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
    bytes(range(256)),
    b"\xff" * 7,
    "Straße".encode(),
]


def random_keys(count: int) -> list[bytes]:
    chance = random.Random("keys")
    return [chance.randbytes(chance.randrange(1, 64)) for _ in range(count)]


async def java(keys: list[bytes], partitions: int) -> list[tuple[int, int]]:
    """Ask the Java client for hash and partition of each key."""
    installation = await asyncio.to_thread(find_installation, os.environ)
    given = "".join(f"{partitions} {key.hex()}\n" for key in keys)
    # The launcher of single source files: nothing is compiled into the tree.
    command = [str(installation.java), "-cp", installation.classpath, str(PROGRAM)]
    lines = (await run(command, given.encode())).decode().splitlines()
    pairs = [line.split() for line in lines]
    return [(int(digest), int(partition)) for digest, partition in pairs]


async def test_our_hash_is_that_of_the_java_client(kafka: str) -> None:
    keys = FIXED + random_keys(2_000)
    for partitions in PARTITIONS[1:3]:
        told = await java(keys, partitions)
        ours = [(murmur2(key), partition_of(key, partitions)) for key in keys]
        assert ours == told


async def test_our_records_land_where_the_java_client_puts_them(kafka: str, unique: str) -> None:
    keys = [key for key in FIXED if key] + random_keys(200)
    site = real_site(kafka)
    await site.create([TopicPlan(name=unique, partitions=7)])
    log = site.log("partitioner")
    await log.open()
    landed: list[int] = []
    for key in keys:
        log.append(
            Place(unique, -1), key, b"", report=lambda report: landed.append(report.partition)
        )
        assert await log.flush(10)
    await log.close()
    told = [partition for _, partition in await java(keys, 7)]
    assert landed == told
    assert len(set(landed)) == 7
