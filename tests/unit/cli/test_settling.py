from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.cli.failures import CommandError
from mesh.cli.keeping import StateReader
from mesh.cli.settling import Settled, Word, json_value, settle, settlement
from mesh.core.shared import MAX_VALUE_BYTES, Settlement, Verdict
from mesh.errors import UsageError
from mesh.wire.state import decode_proposal
from tests.unit.cli.shared_world import ACME, CHANGES, SharedWorld, contested
from tests.unit.cli.test_keeping import reading

WORD = Word(key=ACME, take=1, value=None, person="eve", because="I asked")


def settled(world: SharedWorld, word: Word = WORD, timeout_s: float = 5.0) -> Settled:
    async def work(reader: StateReader) -> Any:
        return await settle(reader, word, timeout_s, lambda _: None)

    found: Settled = reading(world.broker, work)
    return found


def test_a_value_is_written_in_its_canonical_form() -> None:
    assert json_value({"b": 1.0, "a": []}) == b'{"a":[],"b":1}'
    with pytest.raises(UsageError, match="--value: an integer whose digits"):
        json_value(2**60 + 1)
    with pytest.raises(UsageError, match="bytes, 61,440 are allowed"):
        json_value("x" * MAX_VALUE_BYTES)


def test_what_is_said_of_one_version_twice_is_one_proposal() -> None:
    entry = contested().entry()
    first = settlement(entry, WORD)
    assert first == Settlement(
        change=first.change,
        key=ACME,
        expected=2,
        value=b'{"risk":"high"}',
        person="eve",
        because="I asked",
    )
    assert settlement(entry, WORD) == first
    others = [
        settlement(entry, replace(WORD, take=0)),
        settlement(entry, replace(WORD, take=None)),
        settlement(entry, replace(WORD, take=None, value=b"")),
        settlement(entry, replace(WORD, because="I know")),
        settlement(replace(entry, version=3), WORD),
    ]
    assert len({own.change for own in [first, *others]}) == 6
    assert others[0].value == b'{"risk":"low"}'


def test_only_what_is_contested_is_settled_by_a_value_that_is_there() -> None:
    entry = contested().entry()
    with pytest.raises(UsageError, match="has the values 0 to 1, not 2; `mesh state get"):
        settlement(entry, replace(WORD, take=2))
    with pytest.raises(UsageError, match="is not contested: version 2 is by ann"):
        settlement(replace(entry, candidates=()), WORD)


def test_the_view_shows_what_became_of_it() -> None:
    world = contested()
    world.attend()
    done = settled(world)
    assert done.where == f"{world.home()}/3"
    assert (done.entry.value, done.entry.version) == (b'{"risk":"high"}', 3)
    assert (done.entry.verdict, done.entry.writer) == (Verdict.SETTLED, "eve")


def test_somebody_was_quicker() -> None:
    world = contested()
    world.settle(2, b"1")
    world.attend()
    with pytest.raises(CommandError, match="was settled by eve before that: it has version 3") as e:
        settled(world)
    assert e.value.code == 6
    world = contested()
    world.write("carl", 0, b"1", objective="risk")
    world.attend()
    with pytest.raises(CommandError, match="was contested once more before that"):
        settled(world)


def test_nobody_answers_and_the_same_word_again() -> None:
    world = contested()
    for _ in range(2):
        with pytest.raises(CommandError, match=r"no processor answered within 0\.05 s") as e:
            settled(world, timeout_s=0.05)
        assert e.value.code == 3
    first, second = (decode_proposal(own.value) for own in world.broker.records(CHANGES)[-2:])
    if world.home() == 0:
        first, second = (decode_proposal(own.value) for own in world.broker.records(CHANGES)[3:5])
    assert first == second
    world.process()
    assert (world.entry().version, world.entry().value) == (3, b'{"risk":"high"}')


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(CommandError, match=r"there is no suppliers/x in test\.state") as e:
        settled(contested(), replace(WORD, key="suppliers/x"))
    assert e.value.code == 4
