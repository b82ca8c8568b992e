"""Figures and facts in words, as a person reads them: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

from mesh.core import facts as f
from mesh.core.values import Amount, Body, Cause, StepKind, Terms
from mesh.errors import WireError
from mesh.wire.canonical import parse_json

MICRO = 1_000_000
SHORT_ID = 10
"""Characters of an id in a table: the audit partition, a dash and 32 bits or so of the rest."""
MAX_TEXT = 160
"""Characters of an author's text in one line."""

_UNITS = {
    "tokens": ("token", "tokens"),
    "tool_calls": ("call", "calls"),
    "hops": ("hop", "hops"),
    "attempts": ("further attempt", "further attempts"),
}


def money(micro_usd: int) -> str:
    """Return dollars, exact, with at least two digits behind the point."""
    whole = Decimal(micro_usd) / MICRO
    text = f"{whole:.6f}".rstrip("0")
    head, _, tail = text.partition(".")
    return f"${head}.{tail.ljust(2, '0')}"


def amount(value: Amount, *, hops: bool = True) -> str:
    """Return the dimensions of an amount that are not zero; `hops` False leaves those out."""
    parts = [money(value.micro_usd)] if value.micro_usd else []
    for name, (one, many) in _UNITS.items():
        count = getattr(value, name)
        if count and (hops or name != "hops"):
            parts.append(f"{count:,} {one if count == 1 else many}")
    return ", ".join(parts) or "nothing"


def duration(ms: int) -> str:
    """Return a time span in the unit that fits."""
    if abs(ms) < 1_000:
        return f"{ms} ms"
    if abs(ms) < 100_000:
        return f"{ms / 1_000:.2f} s"
    minutes, seconds = divmod(ms // 1_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def clock(ms: int, zone: tzinfo | None = None) -> str:
    """Return the time of day, in local time unless `zone` says otherwise."""
    seconds, rest = divmod(ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone(zone):%H:%M:%S}.{rest:03d}"


def share(permille: int) -> str:
    """Return a part of 1,000 as a number between 0 and 1."""
    return f"{permille / 1_000:.3f}".rstrip("0").rstrip(".") or "0"


def short(name: str) -> str:
    """Return the beginning of a workflow's or task's id."""
    return name[:SHORT_ID]


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text as one line, cut to `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], last: str = "and") -> str:
    """Return names as a sentence has them: `a, b and c`."""
    every = list(names)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} {last} {every[-1]}"


def sentence(fact: f.Fact) -> str:
    """Return what a fact says, without who wrote it and of which task."""
    return clip(_SENTENCES[type(fact)](fact), 2 * MAX_TEXT)


def awarded(terms: Terms) -> str:
    """Return the terms of an award in words."""
    again = "" if terms.cause is Cause.FIRST else f", again {_AGAIN[terms.cause]}"
    number = f", attempt {terms.attempt}" if terms.attempt > 1 else ""
    return f"awarded to {terms.worker.instance} ({terms.mode}{number}{again}): {terms.why}"


_AGAIN = {
    Cause.FAILED: "after a failure",
    Cause.REJECTED: "because the result was sent back",
    Cause.DIED: "because the worker fell silent",
    Cause.DECLINED: "because it was declined",
    Cause.RESUMED: "after it was suspended",
}


def _taken(fact: f.SupervisionTaken) -> str:
    return f"takes the supervision of {fact.source.capability}/{fact.source.partition}"


def _renewed(fact: f.SupervisionRenewed) -> str:
    return f"keeps the supervision of {fact.source.capability}/{fact.source.partition}"


def _released(fact: f.SupervisionReleased) -> str:
    return f"gives up the supervision of {fact.source.capability}/{fact.source.partition}"


def _opened(fact: f.TaskOpened) -> str:
    award = f", {awarded(fact.award)}" if fact.award is not None else ""
    return f"opened {fact.capability} with {amount(fact.grant)}{award}"


def _called(fact: f.BidsCalled) -> str:
    own = 1 if fact.own_offer is not None else 0
    return f"bids called for from {plural(len(fact.candidates) + own, 'agent')}"


def _reserved(fact: f.SpendReserved) -> str:
    return f"reserves {amount(fact.amount)}: {fact.because}"


def _decided(fact: f.DecisionRecorded) -> str:
    return f"decides {fact.choice}, because {fact.because}"


def _begun(fact: f.StepBegun) -> str:
    return f"{fact.kind} {fact.name} begins"


def _step_finished(fact: f.StepFinished) -> str:
    how = (
        f"fails: {fact.error}"
        if fact.error
        else state(fact.kind, fact.name, fact.result) or "is done"
    )
    cost = f" ({amount(fact.spent)})" if any(fact.spent) else ""
    return f"{fact.kind} {fact.name} {how}{cost}"


def state(kind: StepKind, name: str, result: Body) -> str:
    """Return what a step found in shared state or made of it, with versions, "" for no such step.

    A change that is not in force says so by its error.
    """
    tell = {StepKind.READ: _found, StepKind.WRITE: _judged}.get(kind)
    if tell is None or result.content is None:
        return ""
    try:
        return tell(name, parse_json(result.content))
    except (WireError, KeyError, TypeError) as error:
        return f"recorded what cannot be read: {error}"


def _found(name: str, entry: dict[str, Any]) -> str:
    version, agent = entry["version"], entry["agent"] or "a person"
    if not version:
        return "nothing is there"
    gone = ", deleted" if entry["value"] is None else ""
    contested = ", contested" if entry["contested"] else ""
    return f"{_version(name, entry['key'], version)} by {agent}{gone}{contested}"


def _version(name: str, key: str, version: int) -> str:
    return f"version {version}" if key == name else f"version {version} of {key}"


def _judged(name: str, verdict: dict[str, Any]) -> str:
    keys = [entry["key"] for entry in verdict["entries"]]
    made = [_version(name, key, own) for own, key in zip(verdict["versions"], keys, strict=False)]
    reason = f": {verdict['reason']}" if verdict["reason"] else ""
    return f"{verdict['verdict']} as {listed(made)}{reason}"


def _suspended(fact: f.WorkSuspended) -> str:
    waits = [_wait(wait.kind, wait.note) for wait in fact.waiting_for]
    return f"suspended, waits for {listed(waits) or 'a free slot'}"


def _wait(kind: str, note: str) -> str:
    if kind == "halt":
        return f"the lifting of {note}"
    what = {"sleep": "its time", "task": "a delegated task", "person": "a person"}[kind]
    return f"{what} ({note})" if note else what


def _finished(fact: f.WorkFinished) -> str:
    if fact.error:
        where = f" at {fact.field}" if fact.field else ""
        return f"work {fact.outcome}{where}: {fact.error}"
    return f"work {fact.outcome}, cost {amount(fact.spent)}"


def _rejected(fact: f.TaskRejected) -> str:
    where = f" at {fact.field}" if fact.field else ""
    return f"task rejected{where}: {fact.reason}"


def _cancel(fact: f.CancelRequested) -> str:
    who = f" by {fact.person}" if fact.person else ""
    return f"cancellation asked for{who}: {fact.because}"


def _because(words: str) -> Callable[[Any], str]:
    return lambda fact: f"{words}: {fact.reason}"


_SENTENCES: dict[type, Callable[[Any], str]] = {
    f.SupervisionTaken: _taken,
    f.SupervisionRenewed: _renewed,
    f.SupervisionReleased: _released,
    f.TaskOpened: _opened,
    f.BidsCalled: _called,
    f.TaskAwarded: lambda fact: awarded(fact.award),
    f.ResultRejected: _because("result sent back"),
    f.CancelRequested: _cancel,
    f.TaskCompleted: lambda _: "result accepted, task completed",
    f.TaskFailed: _because("task failed"),
    f.TaskRejected: _rejected,
    f.TaskExpired: _because("task expired"),
    f.TaskCancelled: _because("task cancelled"),
    f.AwardDeclined: _because("award declined"),
    f.StepBegun: _begun,
    f.StepFinished: _step_finished,
    f.SpendReserved: _reserved,
    f.SpendSettled: lambda fact: f"charged {amount(fact.amount)}",
    f.DecisionRecorded: _decided,
    f.LeaseRenewed: lambda fact: f"still at work on {plural(len(fact.awards), 'task')}",
    f.WorkSuspended: _suspended,
    f.WorkCancelled: _because("work given up"),
    f.WorkFinished: _finished,
}
