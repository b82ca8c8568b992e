"""Garbage collection, and memory, of a process that serves for days.

What is there when a process is ready (modules, schemas, models) stays for its life, and is most of
what a full collection would look at. And what a task leaves behind holds few cycles: to look for
them after every 700 objects costs some 30 µs a task, after every 10,000 a third of that.

What was freed the C library keeps for later, and after a large recovery that is several megabytes.
"""

from __future__ import annotations

import ctypes
import gc
import sys

YOUNG = 10_000
"""New objects between two collections: under a millisecond each."""


def settle() -> None:
    """Leave all that is there now out of later collections, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def give_back() -> None:
    """Give what the C library keeps of freed memory back to the system, where it can (glibc)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
