"""A partition in a watchman's hands: how far it is done."""

from __future__ import annotations

import itertools

import pytest

from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.tasks import Header
from mesh.ports import Place
from mesh.processor.post import Due, Post
from mesh.processor.responder import Responder
from mesh.processor.standing import Register
from mesh.transport.memory import MemoryBroker, MemoryLog
from tests.simulation.scribe import Scribe


@pytest.fixture
def post() -> Post:
    ticks = itertools.count()
    log = MemoryLog(MemoryBroker(lambda: next(ticks)))
    responder = Responder(log, "test", failed=lambda _: None, limits=None)
    return Post(3, responder, Register(log, Place("test.standing", 3), lambda _: None))


def fold(post: Post) -> list[Record]:
    log = Scribe()
    log.begin()
    for record in log.records:
        post.beat.add(record)
    return log.records


def test_it_is_settled_up_to_what_is_not_told(post: Post) -> None:
    records = fold(post)
    assert post.settled == len(records)
    post.dues += [Due(1), Due(2)]
    post.dues[1].left = 1
    assert post.settled == 1
    post.pop_settled()
    assert post.settled == 2
    post.dues[0].left = 0
    post.pop_settled()
    assert post.settled == len(records)


def test_it_is_done_up_to_the_standing_that_is_not_written(post: Post) -> None:
    records, ledger = fold(post), Ledger()
    assert post.done == len(records)
    for record in records:
        post.register.see(record, ledger, ledger.add(record))
    assert post.done == 1
    post.dues.append(Due(0))
    assert post.done == 0


def test_it_says_how_far_it_is_restored(post: Post) -> None:
    post.noted, post.first = 10, 30
    post.beat = type(post.beat)(Header(15, 0, ()))
    assert (post.until, post.restored()) == (30, 0.25)
    assert "restoring" in repr(post)
    post.given = 50
    assert post.until == 50
    post.first = post.given = 10
    assert post.restored() == 0.0
    post.ready.set()
    assert post.restored() == 1.0
    assert "ready" in repr(post)
    post.gone = True
    assert "gone" in repr(post)


def test_it_knows_what_is_open(post: Post) -> None:
    fold(post)
    assert post.is_open("0-root")
    assert not post.is_open("0-other")
