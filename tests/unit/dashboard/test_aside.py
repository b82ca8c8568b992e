from __future__ import annotations

from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder
from mesh.core.keys import NO_RULES
from mesh.core.shared import Entry, Past, RulesEntry, Verdict
from mesh.dashboard.aside import Incidents, Letters, Orders, StateIndex
from mesh.ports import Incoming
from mesh.wire.entries import DeadLetter, encode_entry
from mesh.wire.state import encode_kept


def incoming(value: bytes, offset: int = 0, key: bytes = b"0-a") -> Incoming:
    return Incoming("t", 0, offset, 1_000 + offset, key, value, ())


def incident(name: str) -> bytes:
    return encode_entry(Incident("loop", "0-a", "0-a", "again and again", id=name))


def test_an_incident_that_is_written_again_is_the_same() -> None:
    incidents = Incidents(most=2)
    for offset, name in enumerate(("a", "b", "a", "c")):
        incidents.add(incoming(incident(name), offset))
    incidents.add(incoming(b"garbage"))
    assert [own.incident.id for own in incidents.latest()] == ["c", "b"]
    assert (incidents.count, incidents.unreadable) == (3, 1)


def test_what_has_no_id_is_told_each_time() -> None:
    incidents = Incidents()
    for offset in range(2):
        incidents.add(incoming(incident(""), offset))
    assert [own.where for own in incidents.latest()] == ["0/1", "0/0"]


def test_a_dead_letter_is_kept_without_its_contents() -> None:
    letters = Letters(most=1)
    letter = DeadLetter("no JSON", "ann", "t.tasks.a.b", 1, 2, 3, b"k", (), 9, b"h" * 32, b"secret")
    for offset in range(2):
        letters.add(incoming(encode_entry(letter), offset))
    letters.add(incoming(b"garbage"))
    assert [own.where for own in letters.letters] == ["0/1"]
    assert letters.letters[0].letter.value is None
    assert (letters.count, letters.unreadable) == (2, 1)


def order(number: int, *, halted: bool, target: str = "agent/ann") -> bytes:
    return encode_entry(
        HaltOrder(
            target=target,
            halted=halted,
            number=number,
            person="eve",
            detector="",
            because="why not",
            incident="i",
        )
    )


def test_of_two_orders_the_first_of_a_number_holds() -> None:
    orders = Orders()
    orders.add(incoming(order(1, halted=True), 0))
    orders.add(incoming(order(1, halted=False), 1))
    orders.add(incoming(b"garbage"))
    [(standing, since_ms)] = orders.in_force()
    assert (standing.halted, since_ms, orders.unreadable) == (True, 1_000, 1)
    orders.add(incoming(order(2, halted=False), 2))
    assert orders.in_force() == []


def entry(key: str, version: int, *, value: bytes | None = b"1") -> bytes:
    return encode_kept(
        Entry(
            key=key,
            version=version,
            value=value,
            agent="ann",
            writer="ann.1",
            workflow="0-a",
            task="0-a",
            step="0",
            objective="",
            because="",
            source=version,
            append_ms=5,
            candidates=(),
            recent=(Past(version, "c", Verdict.ACCEPTED, ""),),
        )
    )


def test_of_a_key_the_highest_version_is_known_and_what_is_too_much_is_counted() -> None:
    index = StateIndex(most=2)
    rules = RulesEntry(rules=NO_RULES, person="eve", because="", source=7)
    for value in (
        entry("a/1", 2), entry("a/1", 1), entry("a/2", 1, value=None), entry("a/3", 1),
        encode_kept(rules), b"garbage",
    ):  # fmt: skip
        index.add(incoming(value))
    assert {key: own.version for key, own in index.keys.items()} == {"a/1": 2, "a/2": 1}
    assert index.keys["a/2"].deleted
    assert (index.left_out, index.unreadable, index.through) == (1, 1, {0: 7})
    assert index.rules == {0: rules}
