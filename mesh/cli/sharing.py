"""What became of shared state in a run: writes by verdict, what was arbitrated, what is contested.

The partitions of `M.changes` are folded again from their beginning, as `mesh state history` does,
so that also what lost is known, and by which rule; counted is what was proposed in this run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.cli.judging import Around, Fold, Home, Judged
from mesh.cli.keeping import StateReader
from mesh.core.keys import Resolution, Rules
from mesh.core.shared import Change, Entry, Verdict
from mesh.telling import words

MAX_CONTESTED = 3
"""Contested keys that a summary names; `mesh state get` shows all."""


@dataclass(kw_only=True)
class Sharing:
    """Mutable: the changes of one run, and the entries as they are after it.

    `writes` counts by verdict, `arbitrated` by what decided: the objective that came first, and the
    one that yielded. Between equals nothing decides.
    """

    writes: Counter[str] = field(default_factory=Counter)
    arbitrated: Counter[tuple[str, str]] = field(default_factory=Counter)
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def contested(self) -> list[str]:
        """The keys that wait for a person."""
        return sorted(key for key, entry in self.entries.items() if entry.contested)

    def values(self) -> dict[str, Any]:
        """Return what stands under each key, as plain JSON."""
        return {
            key: json.loads(entry.value)
            for key, entry in sorted(self.entries.items())
            if entry.value is not None
        }

    def add(self, judged: Judged, fold: Fold) -> None:
        """Count a change, unless it is a repeat of one that was judged before."""
        change, judgement = judged.proposed.proposal, judged.judgement
        if not isinstance(change, Change) or judgement is None:
            return
        if judgement.versions and not judgement.written:
            return
        self.writes[judgement.verdict.value] += 1
        if judgement.verdict in (Verdict.PREFERRED, Verdict.CONFLICT):
            for own in judgement.against:
                if own.rule.resolution is Resolution.ARBITRATE:
                    self._arbitrated(change, own.entry, fold.view.rules.rules)

    def _arbitrated(self, change: Change, entry: Entry, rules: Rules) -> None:
        """Count what decided between a change and what it had not seen."""
        (expected,) = (own.expected for own in change.writes if own.key == entry.key)
        met = [past.objective for past in entry.recent if past.version > expected]
        met += [own.objective for own in entry.candidates]
        other = min(met or [entry.objective], key=rules.rank)
        first, second = sorted((change.objective, other), key=rules.rank)
        if first != second:
            self.arbitrated[first, second] += 1


async def read_sharing(reader: StateReader, since: Mapping[int, int]) -> Sharing:
    """Fold what was proposed; count from these offsets on."""
    found = Sharing()
    ends = await reader.ends(reader.changes)
    for partition, (low, _) in sorted(ends.items()):
        around = Around(low)
        if low > 0:
            async for row in reader.rows(partition):
                if row.kept is not None:
                    around.add(row.kept)
        fold = Fold(Home(partition, len(ends)), around)
        async for proposed in reader.proposals(partition):
            judged = fold.add(proposed)
            if proposed.offset >= since.get(partition, 0):
                found.add(judged, fold)
        found.entries.update(fold.view.entries)
    return found


def shape(found: Sharing) -> dict[str, Any]:
    """Return it as `docs/cli.md` documents it."""
    return {
        "writes": dict(sorted(found.writes.items())),
        "arbitrated": [
            {"preferred": first, "yielded": second, "count": count}
            for (first, second), count in sorted(found.arbitrated.items())
        ],
        "contested": found.contested,
    }


def told(found: Sharing) -> Iterator[str]:
    """Return it in a few lines; none where nothing was written."""
    if not found.writes:
        return
    verdicts = [f"{count:,} {verdict}" for verdict, count in found.writes.most_common()]
    yield f"shared state: {words.plural(found.writes.total(), 'write')}, {words.listed(verdicts)}"
    for (first, second), count in sorted(found.arbitrated.items()):
        yield f"  {first} came before {second or 'no objective'} {words.plural(count, 'time')}"
    contested = found.contested
    for key in contested[:MAX_CONTESTED]:
        entry = found.entries[key]
        sides = len(entry.candidates) + 1
        yield f"  contested, for a person: {key}, {sides} values for {entry.objective}"
    if len(contested) > MAX_CONTESTED:
        yield f"  and {len(contested) - MAX_CONTESTED} more are contested"
