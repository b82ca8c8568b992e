from __future__ import annotations

from mesh.dashboard.ring import Ring, Seen


def seen(partition: int, offset: int, size: int = 1) -> Seen:
    return Seen(partition, offset, 0, b"x" * size, "", "TaskOpened", "0-a", "0-a", "ann.1")


def test_the_oldest_go_and_it_is_known_up_to_where() -> None:
    ring = Ring(most=3)
    ring.begin(0, 7)
    ring.begin(1, 0)
    for partition, offset in ((0, 7), (1, 0), (0, 8), (0, 9)):
        ring.add(seen(partition, offset))
    assert (ring.first, ring.next) == (1, 4)
    assert [own.offset for own in ring.since(2)] == [8, 9]
    assert [own.offset for own in ring.since(0)] == [0, 8, 9]
    assert [own.offset for own in ring.latest()] == [9, 8, 0]
    assert ring.forgotten == {0: 8, 1: 0}


def test_large_records_push_others_out() -> None:
    ring = Ring(most=100, most_bytes=1_000)
    for offset in range(10):
        ring.add(seen(0, offset, 300))
    assert len(ring) == 3
    ring.add(seen(0, 10, 2_000))
    assert len(ring) == 0
    assert ring.forgotten == {0: 11}
