"""Workflows under every fault that the simulator knows are no runaways, and break no detector."""

from __future__ import annotations

import pytest

from mesh.core.detectors.watch import Watch
from mesh.core.ledger import Ledger
from mesh.testing.sim_run import Simulation


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_found_in_a_simulated_run(seed: int) -> None:
    simulation = Simulation(seed)
    assert not simulation.run().violations
    seen = 0
    for partition in simulation.partitions:
        ledger, watch = Ledger(), Watch()
        for record in partition.records:
            assert watch.see(record, ledger, ledger.add(record)) == []
            seen += 1
    assert seen > 0
