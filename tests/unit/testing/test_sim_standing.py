"""Auctions of a simulated mesh go by standing, and its awards name what they went by."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.core.standing import Known, Standings
from mesh.testing.sim_run import Simulation
from mesh.testing.sim_standing import INVARIANT

SEEDS = range(20)


def test_awards_go_by_what_was_told() -> None:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        result = Simulation(seed, standing=True).run()
        assert not result.violations, f"seed {seed}: {result.violations[0]}"
        counts += result.counts
    assert counts["bids by standing"] > 50
    assert counts["crashes"] > 10


def test_a_run_replays() -> None:
    runs = [Simulation(3, standing=True, tracing=True).run() for _ in range(2)]
    assert runs[0].transcript == runs[1].transcript
    assert runs[0].transcript != Simulation(3, tracing=True).run().transcript


def test_who_makes_weights_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Standings.of

    def false(self: Standings, agent: str, capability: str) -> Known:
        known = honest(self, agent, capability)
        return known._replace(good=known.good + 1) if known.versions else known

    monkeypatch.setattr(Standings, "of", false)
    found = (Simulation(seed, standing=True).run().violations for seed in SEEDS)
    violation = next(own[0] for own in found if own)
    assert violation.invariant == INVARIANT
