"""How well the detectors find loops and stalls in other people's runs: `docs/detection.md`.

`python -m tests.detection.measure` prints the table. Nobody has labelled these runs for loops, so
three labels stand in, each with its weakness: what a person wrote about a run's mistakes, that a
run was ended by its limit of turns, and that it failed. Beside them stands the trivial baseline: a
run is called a stall if it is longer than the median of its set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from mesh.core.detectors.limits import Limits, LimitTable
from tests.detection.importers import FILES, Run, airline, retail, who_when

SETS: dict[str, Callable[[], list[Run]]] = {
    "retail": retail,
    "airline": airline,
    "group chats": who_when,
}
COUNTS = (
    "loop_returns",
    "ping_pong_returns",
    "retries_alike",
    "retries",
    "stale_results",
    "stale_paid_results",
)


class Score(NamedTuple):
    """What a judge found, against a label."""

    judge: str
    label: str
    runs: int
    true: int
    found: int
    both: int

    @property
    def precision(self) -> str:
        """Of what was found, how much is so; "-" if nothing was."""
        return f"{self.both / self.found:.2f}" if self.found else "-"

    @property
    def recall(self) -> str:
        """Of what is so, how much was found; "-" if nothing is."""
        return f"{self.both / self.true:.2f}" if self.true else "-"


def limits(most: int) -> LimitTable:
    """Return limits under which nothing may come again more often than `most` times."""
    return LimitTable(mesh=Limits(**dict.fromkeys(COUNTS, most)))


JUDGES: dict[str, LimitTable] = {
    "detectors, as they are": LimitTable(),
    "detectors, at most 3": limits(3),
    "detectors, at most 2": limits(2),
    "detectors, at most 1": limits(1),
}
BASELINE = "longer than the median"


def verdicts(runs: Sequence[Run]) -> dict[str, list[bool]]:
    """Return what each judge says of each run."""
    found = {
        judge: [bool(run.story(table).found) for run in runs] for judge, table in JUDGES.items()
    }
    middle = median(len(run.messages) for run in runs)
    found[BASELINE] = [len(run.messages) > middle for run in runs]
    return found


def scores(runs: Sequence[Run]) -> list[Score]:
    """Return the scores of all judges against all labels that these runs have."""
    labels: dict[str, list[bool | None]] = {
        "a person says so": [run.labelled for run in runs],
        "cut off": [run.cut for run in runs],
        "failed": [run.failed for run in runs],
    }
    said = verdicts(runs)
    rows = []
    for label, truth in labels.items():
        known = [at for at, own in enumerate(truth) if own is not None]
        if not any(truth) or all(truth):
            continue  # there is nothing to tell apart
        for judge, found in said.items():
            pairs = [(bool(truth[at]), found[at]) for at in known]
            true, both = sum(so for so, _ in pairs), sum(so and is_ for so, is_ in pairs)
            rows.append(Score(judge, label, len(known), true, sum(f for _, f in pairs), both))
    return rows


def table() -> str:
    """Return all scores as Markdown."""
    lines = [
        "| runs | label | so labelled | judge | found | precision | recall |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, read in SETS.items():
        lines += [
            f"| {name} | {own.label} | {own.true} of {own.runs} | {own.judge} | {own.found} | "
            f"{own.precision} | {own.recall} |"
            for own in scores(read())
        ]
    return "\n".join(lines)


def missing() -> list[str]:
    """Return the names of the files that are not here."""
    return [path.name for path in FILES if not path.is_file()]


if __name__ == "__main__":
    gone = missing()
    print(f"not here: {', '.join(gone)}" if gone else table())
