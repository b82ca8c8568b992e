from __future__ import annotations

import asyncio
import gc

import pytest

from mesh.core.keys import Rules
from mesh.core.shared import RulesEntry
from mesh.runtime.replica import ABSENT, Row
from mesh.wire.state import RULES_KEY, encode_kept
from tests.unit.runtime.entries import ENTRY, RIVAL, entry, record, replica


async def soon(work: asyncio.Task[object]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return work.done()


def test_an_entry_is_known_as_it_was_written() -> None:
    held = replica(entry(value=b'{"x":1}', candidates=(RIVAL,)))
    assert held.row("a/b") == Row(1, b'{"x":1}', "other", "0-t", contested=True)
    assert held.row("a/c") == ABSENT
    assert len(held) == 1
    assert repr(held) == "Replica(a: 1 entries)"


@pytest.mark.parametrize(
    ("key", "kept"),
    [(b"a/b", True), (b"a", True), (b"ab", False), (b"b/a", False), (RULES_KEY, False),
     (None, False), (b"a/\xff", True)],
)  # fmt: skip
def test_keys_outside_the_prefixes_are_dropped_undecoded(key: bytes | None, kept: bool) -> None:
    assert replica().keeps(key) is kept


def test_who_reads_everything_reads_no_rules() -> None:
    everything = replica(prefixes=("*",))
    assert everything.keeps(b"a")
    assert not everything.keeps(RULES_KEY)


def test_the_highest_version_is_kept_whatever_comes_after_it() -> None:
    held = replica(entry(version=3, value=b"3"), entry(version=2, value=b"2"))
    assert held.row("a/b").value == b"3"
    held.take(record(entry(version=4, value=None)))
    assert held.row("a/b") == Row(4, None, "other", "0-t", contested=False)


@pytest.mark.parametrize("value", [None, b"garbage"])
def test_what_is_no_entry_changes_nothing(value: bytes | None) -> None:
    held = replica(ENTRY)
    held.take(record(entry(version=2))._replace(value=value))
    assert held.row("a/b").version == 1
    assert held.refused == 1


def test_an_entry_under_another_s_key_is_refused() -> None:
    """Or a reader would be shown what its scope does not reach."""
    held = replica()
    held.take(record(entry("secret/x"))._replace(key=b"a/b"))
    rules = RulesEntry(rules=Rules(1), person="", because="", source=0)
    held.take(record(ENTRY)._replace(value=encode_kept(rules)))
    assert (len(held), held.refused) == (0, 2)


async def test_a_version_is_waited_for() -> None:
    held = replica(ENTRY)
    assert (await held.at_least("a/b", 1)).version == 1
    waiting = [asyncio.ensure_future(held.at_least("a/b", version)) for version in (2, 3)]
    gone = asyncio.ensure_future(held.at_least("a/b", 2))
    assert not await soon(waiting[0])
    gone.cancel()
    await soon(gone)
    held.take(record(entry("a/c", version=9)))
    assert not await soon(waiting[0])
    held.take(record(entry(version=2)))
    assert (await waiting[0]).version == 2
    assert not await soon(waiting[1])
    held.take(record(entry(version=5)))
    assert (await waiting[1]).version == 5


async def test_a_watch_sees_what_is_there_and_then_what_changes() -> None:
    held = replica(ENTRY, entry("a/c"), entry("b/x"), prefixes=("*",))
    watching = held.watch("a")
    seen: dict[str, int] = {}
    for key in ("a/b", "a/c"):
        found, row = await watching.next(seen)
        assert found == key
        seen[found] = row.version
    next_one = asyncio.ensure_future(watching.next(seen))
    assert not await soon(next_one)
    held.take(record(entry("b/x", version=2)))
    held.take(record(entry("a/c", version=1)))
    assert not await soon(next_one)
    held.take(record(entry("a/c", version=2)))
    assert (await next_one)[0] == "a/c"


async def test_what_changes_often_is_seen_once_and_what_was_not_seen_is_not_lost() -> None:
    held = replica()
    watching = held.watch("a")
    for version in (1, 2, 3):
        held.take(record(entry(version=version)))
    held.take(record(entry("a/c")))
    assert (await watching.next({}))[1].version == 3
    assert (await watching.next({}))[1].version == 3  # the step that would have told of it was lost
    assert (await watching.next({"a/b": 3}))[0] == "a/c"


async def test_who_watches_no_more_is_told_nothing() -> None:
    held = replica()
    held.watch("a")
    gc.collect()
    assert len(held._watching) == 0
