"""What processes tell Prometheus: all families with their labels and meaning; the text of a scrape.

Who measures gives `Sample`s of these families. No label holds a workflow, a task, a key or anything
else of which there is no end. Times are in seconds, money in millionths of a dollar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, groupby
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mesh.core.meters import Meter, Name, Spread

EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of a scrape."""
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class Family(NamedTuple):
    """A metric: its name, what it is, the labels of its values, and what it means."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Distribution(NamedTuple):
    """A histogram's value: counts of at most each bound in order, those beyond last; the sum."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


Value = float | Distribution


class Sample(NamedTuple):
    """The values of a family, each with its labels in the family's order."""

    family: Family
    values: Iterable[tuple[tuple[str, ...], Value]]


FAMILIES: dict[str, Family] = {}
"""Every family there is, by name."""


def _family(name: str, kind: str, labels: str, meaning: str) -> Family:
    found = FAMILIES[name] = Family(name, kind, ("mesh", *labels.split()), meaning)
    return found


# --- every process --------------------------------------------------------------------------------

READY = _family("mesh_ready", GAUGE, "", "Whether it takes work.")
UPTIME = _family("mesh_uptime_seconds", GAUGE, "", "Since the start of the process.")
INCARNATIONS = _family(
    "mesh_incarnations_total", COUNTER, "", "Starts; the second was after a lost connection."
)
LOOP_LAG = _family(
    "mesh_loop_lag_seconds",
    HISTOGRAM,
    "",
    "How late the event loop comes to what is due, looked at twice a second.",
)

# --- agents ---------------------------------------------------------------------------------------

HANDLERS = _family("mesh_handlers", GAUGE, "agent", "Handlers that run.")
SLOTS = _family("mesh_slots", GAUGE, "agent", "Handlers that may run at a time.")
EVENTS = _family(
    "mesh_events_total",
    COUNTER,
    "agent kind",
    "What peers were refused, what was put aside as dead letters, incidents, a loop that was held.",
)
LAG = _family(
    "mesh_tasks_lag",
    GAUGE,
    "agent capability partition",
    "Submitted records that are not behind the committed offset: waiting, or at work.",
)
OPENED = _family(
    "mesh_tasks_opened_total", COUNTER, "agent capability level mode", "Tasks that were opened."
)
ENDED = _family(
    "mesh_tasks_ended_total",
    COUNTER,
    "agent capability status",
    "Tasks that ended; without those that the end of one above them took along.",
)
DURATION = _family(
    "mesh_task_duration_seconds",
    HISTOGRAM,
    "agent capability",
    "From a task's opening to its end, in log time.",
)
AWARDS = _family(
    "mesh_awards_total",
    COUNTER,
    "agent capability mode cause",
    "Awards; `cause` says why: the first, or what became of the one before.",
)
AWARD_WAIT = _family(
    "mesh_award_wait_seconds",
    HISTOGRAM,
    "agent capability mode",
    "From a task's opening to its first award.",
)
BIDS = _family(
    "mesh_auction_bids", HISTOGRAM, "agent capability", "Bids that an award was chosen from."
)
DECLINED = _family(
    "mesh_awards_declined_total", COUNTER, "agent capability", "Awards that the worker gave up."
)
REFUSED = _family(
    "mesh_results_rejected_total", COUNTER, "agent capability", "Results that a check refused."
)
SUSPENSIONS = _family(
    "mesh_suspensions_total", COUNTER, "agent capability", "Work that gave its slot up to wait."
)
STEPS = _family(
    "mesh_steps_total", COUNTER, "agent capability kind outcome", "Steps that were recorded."
)
REPLAYED = _family(
    "mesh_steps_replayed_total",
    COUNTER,
    "agent capability",
    "Steps that a journal answered to a handler that began again: they were not done twice.",
)
GRANTED = _family(
    "mesh_granted_total",
    COUNTER,
    "agent capability dimension",
    "What root tasks may spend: micro_usd, tokens, tool_calls.",
)
SPENT = _family(
    "mesh_spent_total", COUNTER, "agent capability dimension", "What steps have cost, as settled."
)

_COUNTS: Final = {
    "tasks_opened": OPENED,
    "tasks_ended": ENDED,
    "awards": AWARDS,
    "declined": DECLINED,
    "results_rejected": REFUSED,
    "suspensions": SUSPENSIONS,
    "steps": STEPS,
    "replayed": REPLAYED,
    "granted": GRANTED,
    "spent": SPENT,
}
_SPREADS: Final = {"task_ms": (DURATION, 1_000), "award_ms": (AWARD_WAIT, 1_000), "bids": (BIDS, 1)}

# --- the processor --------------------------------------------------------------------------------

STATE_LAG = _family(
    "mesh_state_lag", GAUGE, "partition", "Changes that were appended and are not settled."
)
STATE_ROWS = _family(
    "mesh_state_rows", GAUGE, "partition", "Entries of shared state, also of what was deleted."
)
STATE_THROUGH = _family(
    "mesh_state_through", GAUGE, "partition", "Offset of the latest change that made an entry."
)
STATE_RESTORED = _family(
    "mesh_state_restored_ratio",
    GAUGE,
    "partition",
    "How much was read of what is kept; 1 when changes are judged.",
)
STATE_VERDICTS = _family(
    "mesh_state_verdicts_total", COUNTER, "verdict", "Changes that were judged, by verdict."
)
STATE_EVENTS = _family(
    "mesh_state_events_total",
    COUNTER,
    "kind",
    "What was put aside, appended again, or not told, by kind.",
)
WATCH_LAG = _family(
    "mesh_watch_lag", GAUGE, "partition", "Facts that were appended and are not watched yet."
)
WATCH_RESTORED = _family(
    "mesh_watch_restored_ratio",
    GAUGE,
    "partition",
    "How much was read of what must be known; 1 when facts are watched.",
)
WATCH_OPEN = _family(
    "mesh_watch_open_workflows",
    GAUGE,
    "",
    "Workflows that are open: what the watch's memory grows with.",
)
WATCH_FINDINGS = _family(
    "mesh_watch_findings_total",
    COUNTER,
    "kind",
    "What was found, by kind; again after a restart, if it is still so.",
)
WATCH_EVENTS = _family(
    "mesh_watch_events_total",
    COUNTER,
    "kind",
    "Facts judged and those void, records passed over, incidents told and not told.",
)
DASHBOARD_LAG = _family(
    "mesh_dashboard_lag", GAUGE, "partition", "Facts that were appended and are not shown yet."
)
DASHBOARD_FACTS = _family(
    "mesh_dashboard_facts_total", COUNTER, "partition", "Facts that were folded."
)
DASHBOARD_PAGES = _family("mesh_dashboard_pages", GAUGE, "", "Pages that follow the events.")
DASHBOARD_DROPPED = _family(
    "mesh_dashboard_pages_dropped_total",
    COUNTER,
    "",
    "Pages that did not take what they were sent.",
)


# --- what is measured -----------------------------------------------------------------------------


def meter_samples(mesh: str, meters: Mapping[str, Meter]) -> Iterator[Sample]:
    """Return what agents have done; `meters` by agent."""
    named = [(name, agent, meter) for agent, meter in meters.items() for name in meter.counts]
    for what, own in _by_family(named):
        values = [(_labels(mesh, agent, name), meter.counts[name]) for name, agent, meter in own]
        yield Sample(_COUNTS[what], values)
    named = [(name, agent, meter) for agent, meter in meters.items() for name in meter.spreads]
    for what, own in _by_family(named):
        family, unit = _SPREADS[what]
        yield Sample(
            family,
            [
                (_labels(mesh, agent, name), distribution(meter.spreads[name], unit))
                for name, agent, meter in own
            ],
        )


def distribution(spread: Spread, unit: int) -> Distribution:
    """Return a spread as a histogram's value; `unit` of its own are one there."""
    return Distribution(
        [bound / unit for bound in spread.bounds], spread.counts, spread.total / unit
    )


_Named = tuple[Name, str, Meter]


def _by_family(named: list[_Named]) -> Iterator[tuple[str, list[_Named]]]:
    def what(own: _Named) -> str:
        return own[0].what

    for key, own in groupby(sorted(named, key=what), key=what):
        yield key, list(own)


def _labels(mesh: str, agent: str, name: Name) -> tuple[str, ...]:
    return (mesh, agent, name.capability, *name.of)


# --- the text -------------------------------------------------------------------------------------


def exposition(samples: Iterable[Sample]) -> str:
    """Return the text of a scrape, in Prometheus' format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(samples))
    return generate_latest(registry).decode()


class _Collected(Collector):
    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    def collect(self) -> Iterator[Metric]:
        for sample in self._samples:
            yield _MAKERS[sample.family.kind](sample)

    def describe(self) -> Iterable[Metric]:
        return ()


def _plain(made: type[CounterMetricFamily | GaugeMetricFamily], sample: Sample) -> Metric:
    family = sample.family
    metric = made(family.name, family.meaning, labels=family.labels)
    for labels, value in sample.values:
        assert not isinstance(value, Distribution), family.name
        metric.add_metric(labels, value)
    return metric


def _histogram(sample: Sample) -> Metric:
    family = sample.family
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, value in sample.values:
        assert isinstance(value, Distribution), family.name
        bounds = [*(f"{bound:g}" for bound in value.bounds), "+Inf"]
        counts = accumulate(map(float, value.counts))
        metric.add_metric(labels, list(zip(bounds, counts, strict=True)), value.total)
    return metric


_MAKERS: Final[Mapping[str, Callable[[Sample], Metric]]] = {
    COUNTER: partial(_plain, CounterMetricFamily),
    GAUGE: partial(_plain, GaugeMetricFamily),
    HISTOGRAM: _histogram,
}
