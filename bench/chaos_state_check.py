"""What is the same for every shared-state run: its mesh, how far it is, and its judgement."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench import chaos_state_count as counting
from bench.chaos import commanded
from bench.chaos_state_keys import POLICY, kind_of
from bench.chaos_state_writer import POOL, RECORDED, TOLD
from bench.ground import Ground, MeshPlan
from mesh.wire.topics import Partitions
from tests.histories.checker import check
from tests.histories.models import VersionedEntry
from tests.histories.operations import Accepted, Operation, Refused
from tests.histories.reading import read_directory

WRITERS = 8
PARTITIONS = 8
SHOWN = 20
CHECKERS = 2
ANSWERS = (b'"answer":', b'"verdict":')


def prepare(where: Ground, name: str, **more: Any) -> tuple[str, Path]:
    """Create a mesh with its policy, and a directory for the recordings."""
    plan = {"capabilities": (), "pools": (POOL,)} | more
    mesh = where.mesh(
        MeshPlan(name=name, partitions=Partitions(state=PARTITIONS, inbox=WRITERS), **plan)
    )
    policy = where.scratch / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    applied = commanded(where, mesh, "policy", "apply", str(policy), "--because", "the run begins")
    if applied["code"] != 0:
        raise RuntimeError(f"mesh policy apply: {applied['said']}")
    records = where.scratch / name
    for part in (RECORDED, TOLD):
        (records / part).mkdir(parents=True)
    return mesh, records


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Answered:
    """Mutable: counts the answers on disk, reading only what is new."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._read: dict[Path, int] = {}
        self.count = 0

    def look(self) -> int:
        """Return how many answers there are by now."""
        for path in self._records.glob("*/*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                whole, newline, _ = file.read().rpartition(b"\n")
            self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
            self.count += sum(map(whole.count, ANSWERS))
        return self.count


# --- judging ------------------------------------------------------------------------------------


def unlinearizable(operations: Sequence[Operation]) -> list[str]:
    """Return what is wrong with the histories, key by key; on all cores."""
    by_key: dict[str, list[Operation]] = {}
    for one in operations:
        by_key.setdefault(one.key, []).append(one)
    with ProcessPoolExecutor(CHECKERS) as pool:
        return [text for text in pool.map(_wrong, by_key.values(), chunksize=20) if text]


def _wrong(history: list[Operation]) -> str:
    [verdict] = check(history, VersionedEntry()).values()
    return "" if verdict.linearizable else f"not linearizable: {verdict}"


def _problems(log: counting.Log, operations: Sequence[Operation], records: Path) -> Iterator[str]:
    """Yield every violation that the count finds."""
    lines = counting.read_told(records / TOLD)
    yield from log.state.judge()
    yield from log.changes.judge(log.state, log.partitions)
    yield from counting.histories(operations, log.state)
    yield from counting.verdicts(lines, log.state)
    yield from counting.pairs(log.state)
    yield from counting.merges(lines, log)
    if log.dead_letters:
        yield f"{log.dead_letters} dead letters"


def check_all(where: Ground, mesh: str, records: Path) -> tuple[dict[str, Any], counting.Log]:
    """Check everything that a run left; `problems` is empty if it is right."""
    say("reading the log")
    log = asyncio.run(counting.read_log(where, mesh, POOL))
    operations = read_directory(records / RECORDED)
    lines = counting.read_told(records / TOLD)
    problems = list(_problems(log, operations, records))
    say(f"checking {len(operations):,} recorded writes for linearizability")
    begun = time.monotonic()
    problems += unlinearizable(operations)
    checking_s = time.monotonic() - begun
    say("mesh state verify")
    verified = commanded(where, mesh, "state", "verify")
    unlike = [verified.get(name) for name in ("unchecked", "unfinished", "behind")] != [0, 0, 0]
    agrees = verified["code"] == 0 and verified.get("entries") == len(log.state.made)
    if unlike or not agrees:
        problems.append(f"mesh state verify: {verified['code']}: {verified['said']}")
    return _figures(log, operations, lines, verified) | {
        "linearizability_checked_s": round(checking_s, 1),
        "violations": len(problems),
        "problems": problems[:SHOWN],
    }, log


def _figures(
    log: counting.Log,
    operations: Sequence[Operation],
    lines: Sequence[dict[str, Any]],
    verified: dict[str, Any],
) -> dict[str, Any]:
    """Return what was counted."""
    answers = Counter(
        "accepted"
        if isinstance(one.answer, Accepted)
        else "conflict"
        if isinstance(one.answer, Refused)
        else "unknown"
        for one in operations
    )
    others = Counter(
        f"{'again' if line['again'] else kind_of(line['keys'][0])} {line['verdict']}"
        for line in lines
    )
    versions = Counter[str]()
    for key, known in log.state.made.items():
        versions[kind_of(key)] += len(known)
    return {
        "keys": len(log.state.made),
        "histories": dict(answers),
        "other_verdicts": dict(others),
        "versions": dict(versions),
        "records": {
            "changes": log.changes.records,
            "copies": log.changes.copies,
            "state": log.state.records,
            "repeated": log.state.repeats,
            "older_after_newer": log.state.stale,
        },
        "mesh state verify": {
            name: verified.get(name, -1)
            for name in ("code", "changes", "rows", "entries", "unchecked", "behind")
        },
    }
