"""The simulator: seeds without a violation, runs that replay, planted bugs that are found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mesh.testing.sim_run import Simulation
from tests.simulation.mutants import MUTANTS, find

SEEDS = 500
A_TEST = 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, A_TEST))
def test_seeds_keep_every_invariant(first: int) -> None:
    for seed in range(first, first + A_TEST):
        result = Simulation(seed).run()
        again = f"python -m mesh.testing.sim --first {seed} --seeds 1"
        assert not result.violations, f"{again}: {result.violations[0]}"


@pytest.mark.slow
def test_a_run_replays_byte_for_byte_in_another_process() -> None:
    script = (
        "from mesh.testing.sim_run import Simulation\n"
        "print(*(Simulation(seed, tracing=True).run().transcript for seed in (3, 4, 5)))"
    )
    told = {
        subprocess.run(  # our own interpreter, a fixed script
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1
    assert len(told.pop().split()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["an-offset-committed-past-an-open-task", "performed-before-it-is-reserved"]
)
def test_a_planted_bug_is_found(name: str) -> None:
    seed, text = find(name, within=100)
    assert seed >= 0, name
    assert text


def test_there_are_mutants_enough() -> None:
    assert len(MUTANTS) >= 12
