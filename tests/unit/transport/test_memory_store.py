from __future__ import annotations

from mesh.ports import Incoming, Place
from mesh.transport.memory_store import Partition, Topic


def filled(*entries: tuple[bytes, bytes | None]) -> Partition:
    partition = Partition(Place("t", 0))
    for at, (key, value) in enumerate(entries):
        partition.append(1_000 + at, key, value, ())
    return partition


def read(partition: Partition, position: int, limit: int = 100) -> tuple[list[int], int]:
    records, after = partition.read(position, limit)
    return [record.offset for record in records], after


def test_offsets_and_times() -> None:
    partition = filled((b"a", b"1"))
    record = partition.append(7, b"b", None, (("h", b"x"),))
    assert record == Incoming("t", 0, 1, 7, b"b", None, (("h", b"x"),))
    assert (partition.low, partition.high) == (0, 2)


def test_reading_in_pieces() -> None:
    partition = filled(*[(b"k", b"v")] * 5)
    assert read(partition, 0, 2) == ([0, 1], 2)
    assert read(partition, 2, 100) == ([2, 3, 4], 5)
    assert read(partition, 5) == ([], 5)


def test_trimming() -> None:
    partition = filled(*[(b"k", b"v")] * 5)
    partition.trim(3)
    assert (partition.low, read(partition, 0)) == (3, ([3, 4], 5))
    partition.trim(99)
    assert (partition.low, partition.high, read(partition, 3)) == (5, 5, ([], 5))


def test_compaction_leaves_holes_and_the_end() -> None:
    partition = filled((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"1"))
    partition.compact()
    assert read(partition, 0) == ([2, 4], 5)
    assert read(partition, 0, 1) == ([2], 3)
    ends_in_tombstone = filled((b"a", b"1"), (b"a", None))
    ends_in_tombstone.compact()
    assert read(ends_in_tombstone, 0) == ([1], 2)


def test_watchers() -> None:
    partition, seen = filled(), []

    def watcher() -> None:
        seen.append(partition.high)

    partition.watch(watcher)
    partition.append(0, None, None, ())
    partition.unwatch(watcher)
    partition.append(0, None, None, ())
    assert seen == [1]


def test_a_topic_has_its_partitions() -> None:
    topic = Topic("t", 3, {"a": "b"})
    assert [partition.place for partition in topic.partitions] == [Place("t", n) for n in range(3)]
    assert topic.config == {"a": "b"}
