"""Checks a whole audit stream: the invariants of `mesh.testing.invariants`, and the hash chains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mesh.cli.chains import HASH, REPEAT, Chains
from mesh.cli.output import table
from mesh.cli.reading import AuditReader
from mesh.core import facts as f
from mesh.telling import words
from mesh.testing.invariants import Audit, Violation

if TYPE_CHECKING:
    from rich.console import RenderableType

READABLE = "every record is a fact"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check came to. `cut` names partitions whose beginning is gone (retention)."""

    topic: str
    records: int
    kinds: Counter[str]
    void: int
    workflows: int
    tasks: int
    open_tasks: int
    cut: tuple[int, ...]
    violations: tuple[Violation, ...]


async def audit(reader: AuditReader, *, all_ended: bool = False) -> Checked:
    """Check every partition from its first record on."""
    kinds: Counter[str] = Counter()
    found: list[Violation] = []
    void, workflows, tasks, still_open = 0, 0, 0, 0
    ends = await reader.ends()
    for partition, (low, _) in sorted(ends.items()):
        one = Audit(partition)
        chains = Chains(partition, whole=low == 0)
        async for incoming in reader.scan(partition):
            audited = reader.decode(incoming)
            if audited is None:
                where = f"{partition}/{incoming.offset}"
                found.append(Violation(READABLE, where, "it cannot be decoded"))
                continue
            fact = audited.record.fact
            kinds[type(fact).__name__] += 1
            found += chains.add(incoming.offset, audited.decoded)
            found += one.add(audited.record)
            if isinstance(fact, f.TaskOpened) and not one.verdicts[-1] and not fact.parent:
                workflows += 1
        void += sum(bool(verdict) for verdict in one.verdicts)
        tasks += len(one.authorities.tasks)
        unended = one.unended()
        still_open += len(unended)
        found += unended if all_ended else []
    return Checked(
        topic=reader.topic,
        records=sum(kinds.values()),
        kinds=kinds,
        void=void,
        workflows=workflows,
        tasks=tasks,
        open_tasks=still_open,
        cut=tuple(partition for partition, (low, _) in sorted(ends.items()) if low > 0),
        violations=tuple(found),
    )


def report(checked: Checked) -> dict[str, Any]:
    """Return the check as JSON has it."""
    broken = Counter(own.invariant for own in checked.violations)
    return {
        "topic": checked.topic,
        "holds": not checked.violations,
        "records": checked.records,
        "void": checked.void,
        "workflows": checked.workflows,
        "tasks": checked.tasks,
        "open_tasks": checked.open_tasks,
        "kinds": dict(sorted(checked.kinds.items())),
        "incomplete_partitions": list(checked.cut),
        "invariants": {name: broken.get(name, 0) for name in sorted({*_names(), *broken})},
        "violations": [own._asdict() for own in checked.violations],
    }


def verdict(checked: Checked, shown: int) -> RenderableType:
    """Return the check as a person reads it: each invariant, then the violations."""
    from rich.console import Group
    from rich.text import Text

    return Group(*_lines(checked, shown, Text))


def _lines(checked: Checked, shown: int, text: Any) -> Iterator[RenderableType]:
    counts = (
        words.plural(checked.records, "event"),
        words.plural(checked.workflows, "workflow"),
        words.plural(checked.tasks, "task"),
        f"{checked.open_tasks:,} open",
        f"{checked.void:,} void",
    )
    yield text(f"{checked.topic}: {', '.join(counts)}")
    broken = Counter(own.invariant for own in checked.violations)
    for name in sorted({*_names(), *broken}):
        count = broken.get(name, 0)
        sign, style = ("✗", "red") if count else ("✓", "green")
        yield text(f"  {sign} {name}{f': {count:,} violations' if count else ''}", style)
    if checked.cut:
        cut = words.listed(map(str, checked.cut))
        yield text(
            f"  the beginning of partition {cut} is gone (retention): what depends on it may be "
            "reported as violated",
            "yellow",
        )
    if checked.violations:
        rows = [(own.where, own.invariant, own.text) for own in checked.violations[:shown]]
        yield table(("where", "invariant", "what"), rows)
    if len(checked.violations) > shown:
        yield text(f"and {len(checked.violations) - shown:,} more; -o json has them all")


def _names() -> tuple[str, ...]:
    return (*INVARIANTS, HASH, REPEAT, READABLE)


INVARIANTS = (
    "a child is named by its cause",
    "a child's deadline is its parent's at most",
    "a replay changes nothing",
    "a result says what it cost",
    "a settlement is at most its reservation",
    "a step has one result",
    "a step stays what it was",
    "a task ends once",
    "a task is opened once",
    "an award follows from its figures",
    "an end is above nothing that runs",
    "epochs grow",
    "no gap in a sequence",
    "nobody takes a running lease",
    "nothing is written under what was given up",
    "one running award a task",
    "one settlement a reservation",
    "only who has the authority counts",
    "spent and reserved is at most the budget",
)
"""The names that `mesh.testing.invariants` gives; a test holds the two together."""
