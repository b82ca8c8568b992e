"""Run many simulations: `python -m mesh.testing.sim --seeds 500 --first 0`.

A seed that finds a violation is run again with tracing, and its last events are printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from mesh.testing.sim_run import Simulation


def explain(seed: int) -> str:
    """Run a seed again with tracing, and tell what happened."""
    result = Simulation(seed, tracing=True).run()
    told = [f"seed {seed}, step {result.steps}:"]
    told += [f"  {v.invariant}: {v.text} ({v.where})" for v in result.violations[:10]]
    told += [f"last {len(result.lines)} events:", *result.lines]
    told.append(f"again: python -m mesh.testing.sim --first {seed} --seeds 1 --verbose")
    return "\n".join(told)


def main(arguments: list[str] | None = None) -> int:
    """Run many seeds; return 1 if one found a violation."""
    parser = argparse.ArgumentParser(prog="mesh.testing.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a violation")
    parser.add_argument("--verbose", action="store_true", help="show the events of each run")
    given = parser.parse_args(arguments)
    began, total, failed = time.perf_counter(), Counter[str](), 0
    for seed in range(given.first, given.first + given.seeds):
        result = Simulation(seed, tracing=given.verbose).run()
        total.update(result.counts)
        total["steps"] += result.steps
        if given.verbose:
            sys.stdout.write("\n".join(result.lines) + "\n")
        if result.violations:
            failed += 1
            first = result.violations[0]
            sys.stdout.write(f"seed {seed}: {first.invariant}: {first.text}\n")
            if not given.keep_going:
                sys.stdout.write(explain(seed) + "\n")
                break
    seconds = time.perf_counter() - began
    told = ", ".join(f"{name} {count}" for name, count in sorted(total.items()))
    sys.stdout.write(f"{told}\n{given.seeds} seeds, {failed} failed, {seconds:.1f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
