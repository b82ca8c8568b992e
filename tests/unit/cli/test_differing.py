from __future__ import annotations

from typing import Any

import pytest

from mesh.cli.differing import Changed, Gone, Member, between, parse_moment
from mesh.cli.keeping import StateReader
from mesh.errors import UsageError
from tests.unit.cli.shared_world import ACME, BEGAN_MS, STATE, SharedWorld, contested
from tests.unit.cli.test_keeping import reading


def differing(
    world: SharedWorld, since_s: int, until_s: int | None = None, target: str = ""
) -> tuple[list[Changed], list[Gone]]:
    until_ms = None if until_s is None else BEGAN_MS + until_s * 1_000

    async def work(reader: StateReader) -> Any:
        return await between(reader, target, BEGAN_MS + since_s * 1_000, until_ms)

    found: tuple[list[Changed], list[Gone]] = reading(world.broker, work)
    return found


def world() -> SharedWorld:
    """Return a world of six seconds: rules at 1 and 2, then changes at 3 to 6."""
    made = contested()
    made.write("ann", 0, b"1", key="suppliers/eu/x", objective="risk")
    made.settle(2, b'{"risk":"none","by":{"a/b":1,"c":[]}}')
    made.process()
    return made


def test_between_two_times() -> None:
    found, gone = differing(world(), 3)
    assert gone == []
    assert [own.key for own in found] == [ACME, "suppliers/eu/x"]
    acme, other = found
    assert acme.before is not None
    assert (acme.before.version, acme.after.version, acme.versions, acme.known) == (1, 3, 2, True)
    assert acme.members == (
        Member("/by", None, {"a/b": 1, "c": []}),
        Member("/risk", "low", "none"),
    )
    assert (other.before, other.versions) == (None, 1)
    assert other.members == (Member("", None, 1),)


def test_a_prefix_a_second_time_and_nothing() -> None:
    found, _ = differing(world(), 2, 4, "suppliers")
    assert [(own.key, own.versions) for own in found] == [(ACME, 2)]
    assert differing(world(), 3, target="suppliers/eu")[0][0].key == "suppliers/eu/x"
    assert differing(world(), 6) == ([], [])
    assert differing(world(), 0, 2) == ([], [])


def test_members_are_named_by_pointers() -> None:
    made = world()
    made.write("bob", 3, b'{"risk":"none","by":{"a/b":2,"c":[]}}')
    made.process()
    (own,) = differing(made, 6)[0]
    assert own.members == (Member("/by/a~1b", 1, 2),)
    made.write("bob", 4, b"true")
    made.process()
    assert differing(made, 7)[0][0].members[0].after is True
    made.write("bob", 5, b"no JSON")
    made.write("bob", 6, None)
    made.process()
    assert differing(made, 8, 9)[0][0].members == (Member("", True, "no JSON"),)
    assert differing(made, 9)[0][0].members == (Member("", "no JSON", None),)


def test_where_retention_took_the_first_of_the_times() -> None:
    made = world()
    made.trim(2)
    found, gone = differing(made, 0)
    assert gone == [Gone(made.home(), 2, BEGAN_MS + 4_000)]
    assert (found[0].key, found[0].before and found[0].before.version) == (ACME, 1)
    made.broker.compact(STATE)
    found, gone = differing(made, 0)
    assert (found[0].before, found[0].known, found[1].known) == (None, False, True)


def test_moments() -> None:
    assert parse_moment("10m", 1_000_000, "--since") == 400_000
    assert parse_moment("1970-01-01T00:00:01.5Z", 9, "--since") == 1_500
    assert parse_moment("1970-01-01T01:00:00+01:00", 9, "--since") == 0
    with pytest.raises(UsageError, match="--since: 'soon' is no duration"):
        parse_moment("soon", 9, "--since")
    with pytest.raises(UsageError, match="names no time zone; write 1970-01-01T00:00:00Z"):
        parse_moment("1970-01-01T00:00:00", 9, "--since")
