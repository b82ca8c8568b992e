"""What a person needs when a run failed: the facts of each workflow concerned, and the logs."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from mesh.core import facts as f
from mesh.core.ledger import Ledger
from mesh.core.values import Terms

SHORT = 60
HIDDEN = frozenset({"workflow", "charter", "ancestors", "input", "by", "traceparent", "offers"})


def write(
    directory: Path, logs: Path, records: Mapping[int, Sequence[f.Record]], named: Iterable[str]
) -> None:
    """Write one file for each workflow in `named`, by event id or by a task's id; copy the logs."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for log in logs.glob("*.log"):
        shutil.copy(log, directory)
    with (directory / "audit.pickle").open("wb") as file:
        pickle.dump(dict(records), file)
    wanted = set(named)
    for partition, read in records.items():
        names = {
            record.fact.workflow: record.fact.event_id or record.fact.task
            for record in read
            if isinstance(record.fact, f.TaskOpened)
            and wanted & {record.fact.event_id, record.fact.task}
        }
        if names:
            _partition(directory, partition, read, names)


def _partition(
    directory: Path, partition: int, read: Sequence[f.Record], names: Mapping[str, str]
) -> None:
    ledger = Ledger()
    lines: dict[str, list[str]] = {name: [] for name in names}
    for record in read:
        verdict = ledger.add(record)
        fact = record.fact
        text = f"{partition}/{record.offset} {record.append_ms} {describe(fact)}"
        if verdict:
            text += f"  VOID: {verdict}"
        if isinstance(fact, f.LeaseRenewed | f.SupervisionFact):
            for known in lines.values():
                known.append(text)
        elif fact.workflow in lines:
            lines[fact.workflow].append(text)
    for workflow, known in lines.items():
        (directory / f"{names[workflow]}.txt").write_text("\n".join(known), "utf-8")


def describe(fact: f.Fact) -> str:
    """Return a fact on one line."""
    parts = []
    for field in fields(fact):
        value = getattr(fact, field.name)
        if field.name in HIDDEN or value in ("", (), None):
            continue
        if isinstance(value, Terms):
            value = f"{value.epoch}:{value.worker.instance} {value.cause} {value.why}"
        parts.append(f"{field.name}={str(value)[:SHORT]}")
    return f"{fact.by.instance}/{fact.by.incarnation} {type(fact).__name__} {' '.join(parts)}"
