"""Appends of the keeper that fail, or land late: nothing passes them, and the newest stays last.

And what it says of a log that is another one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.core.shared import Verdict
from mesh.errors import TransportError
from mesh.ports import Place
from mesh.processor.keeper import Keeper
from mesh.transport.memory import Fate
from tests.unit.processor.proposing import RULES, change
from tests.unit.processor.test_keeper import (
    CHANGES,
    HOME,
    LETTERS,
    STATE,
    Site,
    judge,
    quiet,
    write,
)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    for log in site.logs:
        await log.close(0.0)


@pytest.fixture
async def keeper(site: Site) -> Keeper:
    keeper = await site.keeper()
    await keeper.take(HOME, 0)
    await judge(keeper, site.propose(RULES))
    return keeper


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.UNKNOWN, Fate.LATE])
async def test_an_append_of_unknown_outcome_is_made_again(
    site: Site, keeper: Keeper, fate: Fate
) -> None:
    site.only(STATE, fate)
    await judge(keeper, site.propose(change("c1", write(0))))
    site.lands()
    await judge(keeper, site.propose(change("c2", write(1)), change("c3", write(0, "a/y"))))
    assert keeper.settled() == {HOME: 1}, "never past what is not acknowledged"
    assert site.told() == []
    await keeper.look()
    await quiet()
    assert keeper.repeated == 1
    await keeper.look()
    await quiet()
    assert keeper.settled() == {HOME: 4}
    assert [name for name, _ in site.told()] == ["c1", "c2", "c3"]
    site.broker.release()
    await keeper.look()
    await quiet()
    site.assert_folded()


async def test_nothing_passes_an_append_that_failed(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.LOST)
    await judge(keeper, site.propose(change("c1", write(0)), change("c2", write(0, "a/y"))))
    site.lands()
    await judge(keeper, site.propose(change("c3", write(0, "a/z"))))
    assert site.rows() == [], "who comes next would take what is missing before c3 for written"
    site.logs[0].fail(TransportError("killed"))
    await quiet()
    successor = await site.keeper()
    await successor.take(HOME, 1)
    await judge(successor, list(site.broker.records(CHANGES))[1:])
    assert site.rows() == [("a/x", 1), ("a/y", 1), ("a/z", 1)]
    site.assert_folded()


async def test_what_failed_is_appended_in_its_order(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.LOST)
    await judge(keeper, site.propose(change("c1", write(0)), change("c2", write(1))))
    await keeper.look()
    await quiet()
    assert (keeper.repeated, site.rows()) == (1, [])
    site.lands()
    await keeper.look()
    await quiet()
    assert keeper.repeated == 3, "the second follows the first at once"
    assert site.rows() == [("a/x", 1), ("a/x", 2)]
    assert keeper.settled() == {HOME: 3}
    assert site.told() == [("c1", Verdict.ACCEPTED), ("c2", Verdict.ACCEPTED)]


async def test_a_dead_letter_of_unknown_outcome_is_made_again(site: Site, keeper: Keeper) -> None:
    site.only(LETTERS, Fate.LOST)
    await judge(keeper, [site.put(b"bad", b"a/x")])
    site.lands()
    assert keeper.settled() == {HOME: 1}
    await keeper.look()
    await quiet()
    assert keeper.settled() == {HOME: 2}
    assert len(site.broker.records(LETTERS)) == 1


async def test_an_entry_of_ours_that_lands_behind_a_newer_one_is_followed_by_it(
    site: Site, keeper: Keeper
) -> None:
    site.broker.cut(site.logs[0])
    records = site.propose(change("c1", write(0)), change("c2", write(1)))
    await judge(keeper, records[:1])
    other = await site.keeper()
    await other.take(HOME, 1)
    await judge(other, records)
    site.broker.heal(site.logs[0])
    await quiet()
    assert site.rows() == [("a/x", 1), ("a/x", 2), ("a/x", 1)]
    await keeper.look()
    await quiet()
    assert site.rows()[3:] == [("a/x", 2)]
    site.assert_folded()


async def test_changes_that_were_deleted_and_created_again_are_refused(site: Site) -> None:
    before = Site()
    first = await before.keeper()
    await first.take(HOME, 0)
    await judge(first, before.propose(RULES, change("c1", write(0)), change("c2", write(5))))
    for row in before.broker.records(STATE):
        site.broker.partition(Place(STATE, HOME)).append(1, row.key, row.value, ())
    site.propose(RULES)
    for committed in (0, 3):
        keeper = await site.keeper()
        await keeper.take(HOME, committed)
        assert not keeper.parts
        assert "deleted and created again" in str(site.failures.pop())
    site.propose(RULES, RULES)
    keeper = await site.keeper()
    await keeper.take(HOME, 3)
    assert (list(keeper.parts), site.failures) == ([HOME], [])
