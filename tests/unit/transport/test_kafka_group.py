from __future__ import annotations

from mesh.ports import Commit, Place
from mesh.transport.kafka_group import Commits

P, Q = Place("t", 0), Place("t", 1)


def commits(*offsets: tuple[Place, int]) -> dict[Place, Commit]:
    return {place: Commit(offset, "") for place, offset in offsets}


def test_the_newest_wins() -> None:
    line = Commits()
    line.ask(commits((P, 1), (Q, 1)))
    line.ask(commits((P, 2)))
    assert line.begin({P, Q}) == commits((P, 2), (Q, 1))
    assert line.begin({P, Q}) == {}


def test_what_is_not_owned_is_dropped() -> None:
    line = Commits()
    line.ask(commits((P, 1), (Q, 1)))
    assert line.begin({Q}) == commits((Q, 1))
    line.end([])
    assert line.begin({P, Q}) == {}


def test_what_failed_is_wanted_again_unless_something_newer_is() -> None:
    line = Commits()
    line.ask(commits((P, 1), (Q, 1)))
    line.begin({P, Q})
    assert line.under_way()
    line.ask(commits((P, 5)))
    line.end([P, Q])
    assert not line.under_way()
    assert line.begin({P, Q}) == commits((P, 5), (Q, 1))


def test_answers_belong_to_the_oldest_question() -> None:
    line = Commits()
    line.ask(commits((P, 1)))
    line.begin({P})
    line.ask(commits((Q, 1)))
    line.begin({Q})
    line.end([])
    line.end([Q])
    assert line.begin({P, Q}) == commits((Q, 1))
    line.end([])
    line.end([P])
    assert not line.under_way()
