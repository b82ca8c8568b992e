"""Measurements and fault runs on real Kafka; see `docs/performance.md`.

`python -m bench` (make bench) measures, `python -m bench.chaos` (make chaos) kills everything,
`python -m bench.suspended` lets thousands of workflows wait. Each starts its own broker in a
temporary directory and its own agent processes, and ends both.
"""
