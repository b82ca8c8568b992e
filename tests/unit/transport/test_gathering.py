from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from mesh.ports import Place
from mesh.transport.gathering import FORGET_S, HOLD_S, Gathering

A, B = Place("t", 0), Place("t", 1)


class Record(NamedTuple):
    place: Place
    number: int


def hold(gathering: Gathering[Record], place: Place, *numbers: int) -> None:
    for number in numbers:
        gathering.hold(Record(place, number))


def numbers(records: list[Record]) -> list[int]:
    return [record.number for record in records]


def test_the_first_to_a_partition_leaves_alone() -> None:
    gathering: Gathering[Record] = Gathering()
    hold(gathering, A, 1, 2, 3)
    hold(gathering, B, 4, 5)
    assert numbers(gathering.leave(0)) == [1, 4]
    hold(gathering, A, 6)
    assert numbers(gathering.leave(0)) == []
    gathering.back(A, 1, acknowledged=True)
    assert numbers(gathering.leave(1)) == [2, 3, 6]
    assert (gathering.flying, gathering.waiting()) == (4, True)


def test_of_a_partition_one_batch_is_on_its_way() -> None:
    gathering: Gathering[Record] = Gathering()
    assert gathering.hold(Record(A, 1))
    gathering.leave(0)
    assert not gathering.back(A, 0, acknowledged=True)
    hold(gathering, A, 2, 3)
    assert numbers(gathering.leave(0)) == [2, 3]
    assert not gathering.hold(Record(A, 4))
    assert not gathering.hold(Record(A, 5))
    assert gathering.hold(Record(B, 6))
    assert numbers(gathering.leave(0)) == [6]
    assert not gathering.back(A, 0, acknowledged=True)
    assert numbers(gathering.leave(0)) == []
    assert gathering.back(A, 0, acknowledged=True)
    assert numbers(gathering.leave(0)) == [4, 5]
    assert (gathering.flying, gathering.waiting()) == (3, False)


def test_the_more_is_on_its_way_the_longer_may_a_record_wait() -> None:
    gathering: Gathering[Record] = Gathering()
    waits = []
    for number in range(60):
        place = Place("t", number)
        hold(gathering, place, number)
        gathering.leave(0)
        waits.append(gathering.hold_s())
    assert 0 < waits[0] < HOLD_S
    assert waits == sorted(waits)
    assert waits[-1] == HOLD_S


def test_a_failed_introduction_is_repeated() -> None:
    gathering: Gathering[Record] = Gathering()
    hold(gathering, A, 1, 2, 3)
    assert numbers(gathering.leave(0)) == [1]
    gathering.back(A, 0, acknowledged=False)
    assert numbers(gathering.leave(0)) == [2]
    gathering.back(A, 0, acknowledged=True)
    assert numbers(gathering.leave(0)) == [3]


def test_who_was_idle_is_introduced_again() -> None:
    gathering: Gathering[Record] = Gathering()
    hold(gathering, A, 1)
    gathering.leave(0)
    gathering.back(A, 0, acknowledged=True)
    hold(gathering, A, 2, 3)
    assert numbers(gathering.leave(FORGET_S)) == [2]


def test_abandon() -> None:
    gathering: Gathering[Record] = Gathering()
    hold(gathering, A, 1, 2)
    gathering.leave(0)
    assert numbers(gathering.abandon()) == [2]
    assert (gathering.flying, gathering.waiting()) == (2, False)
    gathering.back(A, 0, acknowledged=False)
    gathering.back(A, 0, acknowledged=False)
    assert gathering.flying == 0


@given(st.lists(st.one_of(st.sampled_from("AB"), st.just("leave"), st.just("back")), max_size=60))
def test_the_order_of_a_partition_is_kept_and_nothing_is_lost(moves: list[str]) -> None:
    gathering: Gathering[Record] = Gathering()
    flying: list[Record] = []
    left: list[Record] = []
    held = 0

    def leave() -> None:
        leaving = gathering.leave(0)
        flying.extend(leaving)
        left.extend(leaving)

    def back() -> None:
        gathering.back(flying.pop(0).place, 0, acknowledged=True)

    for move in moves:
        if move == "leave":
            leave()
        elif move == "back":
            if flying:
                back()
        else:
            held += 1
            hold(gathering, A if move == "A" else B, held)
    while flying or gathering.waiting():
        leave()
        while flying:
            back()
    for place in (A, B):
        mine = [record.number for record in left if record.place == place]
        assert mine == sorted(mine)
    assert len(left) == held
    assert gathering.flying == 0
