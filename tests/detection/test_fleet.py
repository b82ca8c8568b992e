"""What real nodes write is what the detectors read: a loop and a fan-out, by nodes of the core."""

from __future__ import annotations

from mesh.core.detectors.frame import Finding
from mesh.core.detectors.watch import Watch
from mesh.core.ledger import Ledger
from mesh.core.values import Amount
from tests.unit.core.fleet import Fleet, Peer, body, boss_and


def found(fleet: Fleet) -> list[Finding]:
    """Return what is found in the fleet's log."""
    ledger, watch = Ledger(), Watch()
    return [
        finding
        for record in fleet.logs[0].records
        for finding in watch.see(record, ledger, ledger.add(record))
    ]


def worker_of(peers: list[Peer], task: str) -> Peer:
    return next(peer for peer in peers if task in peer.works)


def test_nodes_that_delegate_the_same_in_other_words() -> None:
    fleet, peers = boss_and("ann", "bob")
    boss = peers[0]
    task = boss.submit()
    for turn in range(3):
        assert found(fleet) == []
        task = worker_of(peers, task).delegate(task, input=body(f"Do it (attempt {turn})"))
    (finding,) = found(fleet)
    assert finding.kind == "loop"
    assert finding.task == task
    assert [own.capability for own in finding.chain] == ["demo.root", *["demo.part"] * 3]
    assert [fleet.logs[0].counts(offset) for offset in finding.evidence] == [True] * 3


def test_a_node_that_delegates_without_end() -> None:
    budget = Amount(*5 * [10_000])
    fleet, (boss, *_) = boss_and("ann", "bob", budget=budget, slots=1_000)
    task = boss.submit()
    for turn in range(105):
        boss.delegate(task, str(turn), grant=Amount(1, 1, 1, 1, 1))
    (finding,) = found(fleet)
    assert (finding.kind, finding.task, finding.seen) == ("fan-out", task, 101)
