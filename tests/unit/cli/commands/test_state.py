from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mesh.ports import Place
from mesh.transport.memory import MemoryBroker
from tests.unit.cli.conftest import Cli
from tests.unit.cli.shared_world import (
    ACME,
    CHANGES,
    REJECT,
    STATE,
    SharedWorld,
    contested,
)

SINCE = "2025-11-21T04:40:03Z"


def test_get(cli: Cli) -> None:
    world = contested()
    world.write("ann", 0, b"1", key="suppliers/gone", objective="risk")
    world.write("ann", 1, None, key="suppliers/gone", objective="risk")
    world.process()
    ran = cli("state", "get", broker=world.broker)
    assert ran.code == 0
    assert ACME in ran.out
    assert "suppliers/gone" not in ran.out
    assert "suppliers/gone" in cli("state", "get", "--deleted", broker=world.broker).out
    assert "take 1" in cli("state", "get", ACME, broker=world.broker).out
    (shape,) = json.loads(cli("state", "get", ACME, "-o", "json", broker=world.broker).out)
    assert (shape["key"], shape["contested"], len(shape["candidates"])) == (ACME, True, 1)
    assert shape["where"] == f"{world.home()}/2"
    gone = json.loads(cli("state", "get", "suppliers/gone", "-o", "json", broker=world.broker).out)
    assert gone[0]["deleted"]
    assert "3-ann" in cli("state", "get", "suppliers", "-o", "wide", broker=world.broker).out


def test_what_is_not_there_names_near_misses(cli: Cli) -> None:
    broker = contested().broker
    for command in ("get", "history", "diff"):
        ran = cli("state", command, "supplier/acme", broker=broker)
        assert (ran.code, f"did you mean {ACME}?" in ran.err) == (4, True), command
    assert "`mesh state get` lists what" in cli("state", "get", "zzz", broker=broker).err
    empty = SharedWorld().broker
    ran = cli("state", "get", "-o", "json", broker=empty)
    assert (ran.code, json.loads(ran.out)) == (0, [])
    assert "shared state of test is empty" in ran.err
    none = MemoryBroker(lambda: 0)
    for command in ("get", "verify"):
        ran = cli("state", command, broker=none)
        assert (ran.code, "`mesh topics apply`" in ran.err) == (4, True), command


def test_history_tells_a_conflict_from_both_sides(cli: Cli) -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    winner = world.write("ann", 0, b"1")
    loser = world.write("bob", 0, b"2")
    world.process()
    ran = cli("state", "history", ACME, broker=world.broker)
    assert ran.code == 0
    assert f"won against {loser}, bob in task 3-bob: {ACME}: version 0 was expected" in ran.out
    assert f"lost to {winner}, ann in task 3-ann" in ran.out
    shape = json.loads(cli("state", "history", ACME, "-o", "json", broker=world.broker).out)
    rules, first, second = shape["events"]
    assert (shape["version"], shape["kept"], shape["incomplete"]) == (1, 1, False)
    assert (rules["kind"], rules["rule"]) == ("rules", "reject (under suppliers/)")
    assert (first["verdict"], first["beat"]) == ("accepted", [loser])
    assert (second["verdict"], second["lost_to"], second["value"]) == ("conflict", [winner], 2)
    assert "under suppliers/ conflicts are rejected" in second["reason"]


def test_watch(cli: Cli) -> None:
    world = contested()
    world.put(replace(world.entry(), version=1, value=b"old"), world.home())
    given = ("state", "watch", "--from-start", "-n", "2")
    ran = cli(*given, broker=world.broker)
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert f'{ACME}  version 1  {{"risk": "low"}}  by ann' in first
    assert 'version 2, contested by 1  {"risk": "low"} → {"risk": "low"}' in second
    assert "2 partitions; Ctrl-C ends it" in ran.err
    shapes = [
        json.loads(own) for own in cli(*given, "-o", "json", broker=world.broker).out.splitlines()
    ]
    assert [own["version"] for own in shapes] == [1, 2]


def test_watch_begins_with_what_comes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    world = contested()
    from mesh.cli.keeping import StateReader

    follow = StateReader.follow

    def late(self: StateReader, start: dict[int, int], target: str = "") -> object:
        world.put(replace(world.entry(), version=1), world.home())  # by one that was replaced
        world.settle(2, b"3")
        world.process()
        return follow(self, start, target)

    monkeypatch.setattr(StateReader, "follow", late)
    ran = cli("state", "watch", "suppliers", "-n", "1", broker=world.broker)
    assert 'version 3  {"risk": "low"} → 3  by eve (a person): I asked' in ran.out


def test_diff_of_versions(cli: Cli) -> None:
    world = contested()
    world.settle(2, b'{"risk":"none"}')
    world.process()
    ran = cli("state", "diff", ACME, broker=world.broker)
    assert ran.code == 0
    assert '/risk: "low" → "none"' in ran.out
    given = ("state", "diff", ACME, "--from", "0", "--to", "1", "-o", "json")
    (shape,) = json.loads(cli(*given, broker=world.broker).out)
    assert (shape["before"], shape["after"]["version"], shape["versions"]) == (None, 1, 1)
    assert cli("state", "diff", ACME, "--from", "3", broker=world.broker).code == 2
    ran = cli("state", "diff", ACME, "--to", "9", broker=world.broker)
    assert (ran.code, "has no version 8 in the log; there are 1 to 3" in ran.err) == (4, True)
    ran = cli("state", "diff", "suppliers", broker=world.broker)
    assert (ran.code, "is a prefix, which has no versions; give --since 10m" in ran.err) == (
        2,
        True,
    )


def test_diff_of_times(cli: Cli) -> None:
    world = contested()
    ran = cli("state", "diff", "--since", SINCE, broker=world.broker)
    assert ran.code == 0
    assert f"{ACME}  version 1 → version 2\n" in ran.out
    shapes = json.loads(
        cli("state", "diff", "--since", SINCE, "-o", "json", broker=world.broker).out
    )
    assert [own["key"] for own in shapes] == [ACME]
    ran = cli("state", "diff", ACME, "--since", "1h", broker=world.broker)
    assert (ran.code, f"nothing changed under {ACME}" in ran.err) == (0, True)
    world.trim(2)
    ran = cli("state", "diff", "--since", "2025-01-01T00:00:00Z", broker=world.broker)
    assert "there the comparison begins at 2025-11-21T04:40:04.000Z" in ran.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "name a key, or say from when"),
        (("--until", "1h"), "give --since, too"),
        (("--since", "1h", "--until", "2h"), "--until: 2h lies before --since 1h"),
        ((ACME, "--since", "1h", "--from", "1"), "two times (--since, --until) or two versions"),
        (("--since", "soon"), "is no duration"),
    ],
)
def test_what_diff_cannot_compare(cli: Cli, given: tuple[str, ...], said: str) -> None:
    ran = cli("state", "diff", *given, broker=contested().broker)
    assert (ran.code, said in ran.err) == (2, True)


def test_settle(cli: Cli) -> None:
    world = contested()
    world.attend()
    given = ("state", "settle", ACME, "--take", "1", "--because", "newer", "-o", "json")
    ran = cli(*given, broker=world.broker)
    assert ran.code == 0
    shape = json.loads(ran.out)
    assert (shape["version"], shape["value"], shape["because"]) == (3, {"risk": "high"}, "newer")
    assert shape["person"]
    assert f"proposed at {world.home()}/3" in ran.err
    ran = cli(*given, broker=world.broker)
    assert (ran.code, "is not contested: version 3" in ran.err) == (2, True)
    ran = cli("state", "verify", broker=world.broker)
    assert ran.code == 0, ran.out


def test_settle_by_another_value(cli: Cli) -> None:
    world = contested()
    world.attend()
    given = ("state", "settle", ACME, "--value", "-", "--because", "neither")
    ran = cli(*given, broker=world.broker, stdin=b'{"risk": "none"}')
    assert (ran.code, world.entry().value) == (0, b'{"risk":"none"}')


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--because", "x"), 2, "say which value holds: --take N, or --value JSON"),
        (("--because", "x", "--take", "1", "--value", "1"), 2, "say which value holds"),
        (("--because", " ", "--take", "1"), 2, "say why"),
        (("--because", "x", "--take", "7"), 2, "has the values 0 to 1, not 7"),
        (("--because", "x", "--value", "{"), 2, "is no JSON"),
        (("--because", "x", "--take", "1", "--timeout", "0.1"), 3, "no processor answered"),
    ],
)
def test_what_cannot_be_settled(cli: Cli, given: tuple[str, ...], code: int, said: str) -> None:
    ran = cli("state", "settle", ACME, *given, broker=contested().broker)
    assert (ran.code, said in ran.err) == (code, True), ran.err


def test_verify_holds(cli: Cli) -> None:
    world = contested()
    ran = cli("state", "verify", broker=world.broker)
    assert ran.code == 0
    assert "test.state: 1 entry equal what 4 records of test.changes make, 0 differ" in ran.out
    shape = json.loads(cli("state", "verify", "-o", "json", broker=world.broker).out)
    assert (shape["holds"], shape["view"], shape["log"]) == (True, STATE, CHANGES)
    world.broker.trim(Place(CHANGES, world.home()), 1)
    ran = cli("state", "verify", broker=world.broker)
    assert (ran.code, "are gone (retention)" in ran.out) == (0, True)


def test_verify_finds_a_row_that_was_tampered_with(cli: Cli) -> None:
    world = contested()
    world.put(replace(world.entry(), value=b'{"risk":"none"}'), world.home())
    world.broker.compact(STATE)
    ran = cli("state", "verify", broker=world.broker)
    assert ran.code == 5
    assert "1 differences between test.state and what test.changes makes" in ran.err
    assert ACME in ran.out
    ran = cli("state", "verify", "-o", "json", broker=world.broker)
    shape = json.loads(ran.out)
    assert (ran.code, shape["holds"], shape["entries"]) == (5, False, 0)
    (difference,) = shape["differences"]
    assert (difference["source"], difference["version"]) == (f"{world.home()}/2", 2)
    assert difference["where"] == f"{world.home()}/3"
    assert 'value {"risk":"low"}, not {"risk":"none"}' in difference["text"]


def test_what_a_newer_release_wrote_is_not_left_out(cli: Cli) -> None:
    world = contested()
    strange = b"\xc3\x01" + bytes(8) + b"x"
    place = Place(CHANGES, world.home())
    world.broker.partition(place).append(1, ACME.encode(), strange, ())
    for command in (("verify",), ("history", ACME)):
        ran = cli("state", *command, broker=world.broker)
        assert (ran.code, "has a schema that this release does not know" in ran.err) == (1, True)
