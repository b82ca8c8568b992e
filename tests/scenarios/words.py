"""Facts, messages and what handlers say and hear, each in one line for a golden transcript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.values import Amount, Body, Offer, TaskPartition, Terms, Wait

UNITS = ("micro-USD", "tokens", "calls", "hops", "attempts")


class Words:
    """Mutable: the names of tasks, and when it all began."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.names: dict[str, str] = {}

    def name(self, opened: f.TaskOpened) -> None:
        """Name a task by its way: `A` is the first root, `A.1` what it delegated in step `1`."""
        above = self.names.get(opened.parent, "")
        roots = sum("." not in name for name in self.names.values())
        way = f"{above}.{opened.step}" if above else chr(ord("A") + roots)
        self.names.setdefault(opened.task, way)

    def task(self, name: str) -> str:
        """Return the name of a task, or what was given."""
        return self.names.get(name, name)

    def at(self, ms: int) -> str:
        """Return a moment in seconds since the beginning."""
        return f"{(ms - self.start_ms) / 1_000:.3f}"

    def told(self, item: object) -> str:
        """Return a fact, a message or an effect in words."""
        return f"{type(item).__name__} {TOLD[type(item)](self, item)}".rstrip()


def amount(given: Amount) -> str:
    named = [f"{part} {unit}" for part, unit in zip(given, UNITS, strict=True) if part]
    return ", ".join(named) or "nothing"


def place(source: TaskPartition) -> str:
    return f"{source.capability}/{source.partition}"


def text(body: Body) -> str:
    return (body.content or b"").decode() or "no body"


def terms(given: Terms, grant: Amount | None = None) -> str:
    """Return an award's terms: who, why, what is left to spend, how it was decided."""
    told = f"epoch {given.epoch} to {given.worker.instance}/{given.worker.incarnation}"
    told += f", {given.cause}, attempt {given.attempt}"
    if given.free != grant:
        told += f", free {amount(given.free)}"
    if given.reason:
        told += f", after: {given.reason}"
    if given.resume_from >= 0:
        told += f", journal from {given.resume_from}"
    told += f" ({given.mode}: {given.why})"
    return told + "".join(f"; {offer(one)}" for one in given.offers)


def offer(given: Offer) -> str:
    if given.declined:
        return f"{given.instance} declined: {given.declined}"
    figures = f"{given.price_micro_usd} micro-USD, {given.eta_ms} ms"
    return f"{given.instance} bid {figures}, score {given.score_permille}"


def opened(words: Words, fact: f.TaskOpened) -> str:
    told = f"{words.task(fact.task)} {fact.capability} {text(fact.input)}"
    told += f", grant {amount(fact.grant)}, until {words.at(fact.deadline_ms)}"
    if fact.named_agent:
        told += f", for {fact.named_agent}"
    return told + (f"; {terms(fact.award, fact.grant)}" if fact.award else f" ({fact.mode})")


def waits(words: Words, given: tuple[Wait, ...]) -> str:
    told = []
    for one in given:
        what = words.task(one.task) if one.task else words.at(one.until_ms) if one.until_ms else ""
        told.append(f"step {one.step}, {one.kind} {what}{one.note}".rstrip())
    return "; ".join(told) or "nothing"


def called(words: Words, call: c.Call) -> str:
    """Return what a handler calls."""
    told = f"{type(call).__name__} step {call.step}"
    match call:
        case c.Delegate():
            return f"{told}: {call.capability} {text(call.input)}"
        case c.Use():
            return f"{told}: {call.kind} {call.name}, {call.effect}, at most {amount(call.reserve)}"
        case c.Spend():
            return f"{told}: {amount(call.amount)}"
        case c.Sleep():
            return f"{told}: {call.ms} ms"
        case c.Decide():
            return f"{told}: {call.choice}, because {call.because}"
        case _:
            return told


def result(words: Words, given: c.Result) -> str:
    said = f"{given.status} {text(given.body) if given.body.content else ''}".rstrip()
    return f"{said}: {given.reason}" if given.reason else said


def finished(words: Words, done: c.HandlerFinished | f.WorkFinished) -> str:
    body = done.body if isinstance(done, c.HandlerFinished) else done.result
    return f"{words.task(done.task)} {done.outcome}: {done.error or text(body)}"


Tell = Callable[[Words, Any], str]
TOLD: dict[type, Tell] = {
    # the facts
    f.SupervisionTaken: lambda w, x: f"{place(x.source)} for {x.lease_ms} ms",
    f.SupervisionRenewed: lambda w, x: place(x.source),
    f.SupervisionReleased: lambda w, x: place(x.source),
    f.TaskOpened: opened,
    f.BidsCalled: lambda w, x: (
        f"{w.task(x.task)} of {', '.join(x.candidates)} until {w.at(x.bids_until_ms)}"
    ),
    f.TaskAwarded: lambda w, x: f"{w.task(x.task)} {terms(x.award)}",
    f.ResultRejected: lambda w, x: f"{w.task(x.task)} of award {x.award}: {x.reason}",
    f.CancelRequested: lambda w, x: f"{w.task(x.task)}: {x.because} {x.person}".rstrip(),
    f.TaskCompleted: lambda w, x: f"{w.task(x.task)} by award {x.award}",
    f.TaskFailed: lambda w, x: f"{w.task(x.task)}: {x.reason}",
    f.TaskRejected: lambda w, x: f"{w.task(x.task)}: {x.reason} {x.field}".rstrip(),
    f.TaskExpired: lambda w, x: f"{w.task(x.task)}: {x.reason}",
    f.TaskCancelled: lambda w, x: f"{w.task(x.task)}: {x.reason}",
    f.AwardDeclined: lambda w, x: f"{w.task(x.task)}: {x.reason}",
    f.StepBegun: lambda w, x: (
        f"{w.task(x.task)} step {x.step}: {x.kind} {x.name}"
        + (f", {x.effect}, reserves {amount(x.reserve)}" if any(x.reserve) else "")
        + (f", until {w.at(x.until_ms)}" if x.until_ms else "")
    ),
    f.StepFinished: lambda w, x: (
        f"{w.task(x.task)} step {x.step}: {x.error or text(x.result)}, spent {amount(x.spent)}"
    ),
    f.SpendReserved: lambda w, x: f"{w.task(x.task)} step {x.step}: {amount(x.amount)}",
    f.SpendSettled: lambda w, x: f"{w.task(x.task)} step {x.step}: {amount(x.amount)}",
    f.DecisionRecorded: lambda w, x: f"{w.task(x.task)} step {x.step}: {x.choice}",
    f.LeaseRenewed: lambda w, x: f"awards {', '.join(map(str, x.awards))}",
    f.WorkSuspended: lambda w, x: f"{w.task(x.task)}, waiting for {waits(w, x.waiting_for)}",
    f.WorkCancelled: lambda w, x: f"{w.task(x.task)}: {x.reason}, spent {amount(x.spent)}",
    f.WorkFinished: lambda w, x: f"{finished(w, x)}, spent {amount(x.spent)}",
    # the messages
    m.CallForBids: lambda w, x: f"{w.task(x.task)} {x.capability}, means {amount(x.means)}",
    m.Bid: lambda w, x: f"{w.task(x.task)}: {x.price_micro_usd} micro-USD, {x.eta_ms} ms",
    m.Decline: lambda w, x: f"{w.task(x.task)}: {x.reason}",
    m.Award: lambda w, x: f"{w.task(x.task)}, award {(x.awarded or x.opened).offset}",
    m.Adopt: lambda w, x: f"{w.task(x.task)}, award {x.award}",
    m.Adopted: lambda w, x: f"{w.task(x.task)}, award {x.award}: {x.status}",
    m.Outcome: lambda w, x: f"{w.task(x.task)}, award {x.award}: {type(x.record.fact).__name__}",
    m.Cancel: lambda w, x: f"{w.task(x.task)}: {x.because} {x.person}".rstrip(),
    m.Progress: lambda w, x: f"{w.task(x.task)}, award {x.award}",
    # beside the log
    e.Reply: lambda w, x: (
        f"to {x.topic} {x.correlation_id}: {w.task(x.workflow)} {x.status} "
        f"{(x.result or b'').decode() or x.error}"
    ),
    e.Incident: lambda w, x: f"{x.kind} of {w.task(x.task)}: {x.text}",
    e.Refusal: lambda w, x: f"of {x.message} from {x.sender}: {x.reason}",
    e.PutOpen: lambda w, x: f"{w.task(x.workflow)}, read from {x.header.offset}",
    e.DropOpen: lambda w, x: w.task(x.workflow),
    # to the handler
    c.Start: lambda w, x: (
        f"{w.task(x.work.task)} epoch {x.work.epoch}, told to be attempt {x.work.attempt}"
        + (f", after: {x.work.reason}" if x.work.reason else "")
    ),
    c.Resolve: lambda w, x: f"{w.task(x.task)} step {x.step}: {result(w, x.result)}",
    c.Perform: lambda w, x: f"{w.task(x.task)} step {x.step}, key {x.key[:8]}",
    c.Probe: lambda w, x: f"{w.task(x.task)} step {x.step}, key {x.key[:8]}",
    c.Review: lambda w, x: f"{w.task(x.child)} by {w.task(x.task)}: {text(x.body)}",
    c.Refuse: lambda w, x: f"{w.task(x.task)} step {x.step}: {type(x.error).__name__}: {x.error}",
    c.Stop: lambda w, x: f"{w.task(x.task)}: {x.why}",
    # from the handler
    c.Called: lambda w, x: f"{w.task(x.task)} {called(w, x.call)}",
    c.StepDone: lambda w, x: f"{w.task(x.task)} step {x.step}: {x.error or text(x.body)}",
    c.Probed: lambda w, x: f"{w.task(x.task)} step {x.step}: {'found' if x.body else 'not found'}",
    c.Reviewed: lambda w, x: f"{w.task(x.child)}: {x.refusal or 'accepted'}",
    c.Waiting: lambda w, x: f"{w.task(x.task)} for steps {', '.join(x.steps)}",
    c.HandlerFinished: finished,
    c.HandlerStopped: lambda w, x: w.task(x.task),
}
