"""The watchman: detectors as pure folds over the facts of one audit partition.

Some find runaway chains, the others agents that work side by side and not together. `frame` is what
all share, `limits` the thresholds with their reasons, `likeness` what it means that two contents
are alike, `recorded` what a step of shared state tells; one file each for a detector; `watch` runs
them all.
"""
