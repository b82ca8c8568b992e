"""The watchman: detectors of runaway chains, pure folds over the facts of one audit partition.

`frame` is what all share, `limits` the thresholds with their reasons, `likeness` what it means that
two contents are alike; one file each for a detector; `watch` runs them all.
"""
