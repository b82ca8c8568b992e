"""A sampling profiler for one process: which function of the loop's thread the CPU time went to.

`SIGPROF` comes after each interval of the process's CPU time, and its handler runs on the main
thread, where the event loop is. A sample weighs what that *thread* used since the last one, so
librdkafka's own threads are not blamed on whatever Python function was interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.002
"""Five hundred samples a second of CPU: a run of ten seconds has a tenth of a per mille."""
DEPTH = 60


class Sampler:
    """Mutable: the samples of the main thread, in seconds of its CPU time."""

    def __init__(self) -> None:
        self.own: defaultdict[str, float] = defaultdict(float)
        self.whole: defaultdict[str, float] = defaultdict(float)
        self._last = 0.0
        self._started = (0.0, 0.0, 0.0)
        self._threads: dict[str, float] = {}

    def start(self) -> None:
        """Begin to sample; on the main thread."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)
        self._last = time.thread_time()
        self._started = (time.perf_counter(), time.process_time(), self._last)
        self._threads = threads_cpu_s()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> dict[str, object]:
        """End, and return what was seen."""
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        wall, process, thread = self._started
        before = self._threads
        used = {name: used - before.get(name, 0.0) for name, used in threads_cpu_s().items()}
        return {
            "wall_s": time.perf_counter() - wall,
            "process_cpu_s": time.process_time() - process,
            "loop_cpu_s": time.thread_time() - thread,
            "threads_s": _sorted(used),
            "own_s": _sorted(self.own),
            "whole_s": _sorted(self.whole),
        }

    def write(self, path: Path) -> None:
        """End, and write what was seen as JSON."""
        path.write_text(json.dumps(self.stop(), indent=1), "utf-8")

    def _sample(self, _: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        weight, self._last = now - self._last, now
        seen: set[str] = set()
        depth = 0
        while frame is not None and depth < DEPTH:
            name = _name(frame)
            if depth == 0:
                self.own[name] += weight
            if name not in seen:
                seen.add(name)
                self.whole[name] += weight
            frame = frame.f_back
            depth += 1


def threads_cpu_s() -> dict[str, float]:
    """Return the CPU time of each thread of this process so far, by its name."""
    named = {thread.native_id: thread.name for thread in threading.enumerate()}
    ticks = os.sysconf("SC_CLK_TCK")
    used: defaultdict[str, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        name, _, rest = (task / "stat").read_text("utf-8").partition("(")[2].rpartition(")")
        fields = rest.split()
        used[named.get(int(task.name)) or name] += (int(fields[11]) + int(fields[12])) / ticks
    return dict(used)


def _sorted(seconds: dict[str, float]) -> dict[str, float]:
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = Path(code.co_filename)
    parts = path.with_suffix("").parts
    for root in ("mesh", "bench", "agents"):
        if root in parts:
            parts = parts[parts.index(root) :]
            break
    else:
        parts = parts[-2:]
    return f"{'.'.join(parts)}:{code.co_qualname}"
