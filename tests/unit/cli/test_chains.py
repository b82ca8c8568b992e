from __future__ import annotations

from mesh.cli.chains import HASH, REPEAT, Chains
from mesh.core.facts import Fact
from mesh.wire.facts import FIRST, Decoded, decode_fact, encode_chained
from tests.simulation.scribe import Scribe


def chain(facts: list[Fact], previous: bytes = FIRST, first: int = 0) -> list[Decoded]:
    """Return facts of one emitter, chained as a scribe chains them."""
    decoded = []
    for sequence, fact in enumerate(facts, first):
        encoded = encode_chained(fact, sequence, previous)
        previous = encoded.chain_hash
        decoded.append(decode_fact(encoded.value))
    return decoded


def facts() -> list[Fact]:
    log = Scribe()
    log.begin()
    work = [log.decided(str(step), choice=f"choice {step}") for step in range(4)]
    return list(work)


def broken(chains: Chains, decoded: list[Decoded]) -> list[str]:
    return [
        found.invariant for offset, one in enumerate(decoded) for found in chains.add(offset, one)
    ]


def test_an_unbroken_chain() -> None:
    assert broken(Chains(0, whole=True), chain(facts())) == []


def test_a_fact_that_was_changed_is_noticed_at_the_next() -> None:
    made = facts()
    decoded = chain(made)
    decoded[1] = chain([made[2]], decoded[1].previous, 1)[0]
    assert broken(Chains(0, whole=True), decoded) == [HASH]


def test_a_chain_that_does_not_begin_at_the_beginning() -> None:
    decoded = chain(facts(), b"x" * 32)
    assert broken(Chains(0, whole=True), decoded) == [HASH]
    assert broken(Chains(0, whole=False), decoded) == []


def test_a_repeat_is_the_same_fact() -> None:
    made = facts()
    decoded = chain(made)
    assert broken(Chains(0, whole=True), [*decoded, decoded[-1], decoded[0]]) == []
    other = chain([made[0]], decoded[-1].previous, 3)[0]
    assert broken(Chains(0, whole=True), [*decoded, other]) == [REPEAT]


def test_a_violation_names_its_coordinates() -> None:
    found = Chains(5, whole=True).add(7, chain(facts(), b"x" * 32)[0])
    assert found[0].where == "5/7"
    assert found[0].text.startswith("ann-1/1: number 0 carries")
