"""Stories, reasons and cards as JSON: the shapes that `docs/cli.md` documents.

Times are RFC 3339 in UTC, durations milliseconds, amounts integers by dimension.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from mesh.core.effects import Incident
from mesh.core.facts import Fact, Record
from mesh.core.halts import HaltOrder
from mesh.core.registry import CapabilityCard, Card, Presence
from mesh.core.shared import Candidate
from mesh.core.shared import Entry as Kept
from mesh.core.standing import UNIT, permille
from mesh.core.values import Amount, Body, Offer
from mesh.errors import WireError
from mesh.telling.reasons import Explanation, Reason
from mesh.telling.story import AwardStory, Entry, StepStory, Story, TaskStory
from mesh.wire.canonical import parse_json
from mesh.wire.headers import format_time

Shape = dict[str, Any]


def amount(value: Amount) -> dict[str, int]:
    """Return an amount: one integer for each dimension."""
    return value._asdict()


def body(held: Body | None) -> object:
    """Return an author's contents: the JSON itself, or a reference where it was left out."""
    if held is None or not held.hash:
        return None
    if held.content is None:
        return {"sha256": held.hash.hex(), "media_type": held.media_type}
    return value(held.content)


def value(content: bytes) -> Any:  # any JSON
    """Return contents as JSON; what is none, or none that every reader reads alike, as base64."""
    try:
        found = parse_json(content)
        json.dumps(found, allow_nan=False)  # 1e999 is read as infinite, and no reader takes that
    except (WireError, ValueError, RecursionError):
        return {"base64": b64encode(content).decode()}
    return found


def time(ms: int | None) -> str | None:
    """Return a time, None where there is none yet."""
    return None if ms is None else format_time(ms)


def story(told: Story) -> Shape:
    """Return a whole workflow."""
    root = told.root
    return {
        "workflow": told.workflow,
        "capability": root.capability,
        "status": root.status,
        "reason": root.reason,
        "goal": told.charter.goal,
        "constraints": list(told.charter.constraints),
        "began": time(root.began_ms),
        "ended": time(root.ended_ms),
        "duration_ms": (root.ended_ms or told.now_ms) - root.began_ms,
        "cost": amount(root.cost),
        "tasks": len(told.tasks),
        "records": told.records,
        "void": [void(entry, told.partition) for entry in told.void],
        "result": body(root.result) if root.status == "completed" else None,
        "root": task(root, told.partition),
    }


def task(told: TaskStory, partition: int) -> Shape:
    """Return a task with all below it."""
    return {
        "task": told.task,
        "capability": told.capability,
        "parent": told.parent,
        "where": f"{partition}/{told.offset}",
        "status": told.status,
        "reason": told.reason,
        "agent": told.agent,
        "began": time(told.began_ms),
        "ended": time(told.ended_ms),
        "deadline": time(told.deadline_ms),
        "grant": amount(told.grant),
        "cost": amount(told.cost),
        "confidence": told.confidence_permille / 1_000,
        "sources": list(told.sources),
        "parked": told.parked,
        "waiting_for": list(told.waiting),
        "cancelled_because": told.cancelled_because,
        "awards": [award(own, partition) for own in told.awards],
        "steps": [step(own, partition) for own in told.steps],
    }


def award(told: AwardStory, partition: int) -> Shape:
    """Return one award, with the bids it was decided from."""
    return {
        "where": f"{partition}/{told.offset}",
        "at": time(told.at_ms),
        "epoch": told.epoch,
        "attempt": told.attempt,
        "cause": told.cause.value,
        "reason": told.reason,
        "mode": told.mode,
        "agent": told.agent,
        "instance": told.instance,
        "incarnation": told.incarnation,
        "why": told.why,
        "bids": [offer(own) for own in told.offers],
        "ended": time(told.ended_ms),
        "ending": told.ending,
        "because": told.because,
    }


def offer(value: Offer) -> Shape:
    """Return one answer to a call for bids."""
    return {
        "agent": value.agent,
        "instance": value.instance,
        "price_micro_usd": value.price_micro_usd,
        "eta_ms": value.eta_ms,
        "confidence": value.confidence_permille / 1_000,
        "standing": value.standing_permille / 1_000,
        "good": round(value.good / UNIT, 2),
        "bad": round(value.bad / UNIT, 2),
        "versions": [f"{own.partition}/{own.offset}" for own in value.versions],
        "on_trial": value.standing_permille != permille(value.good, value.bad),
        "slot": value.slot,
        "score": value.score_permille,
        "declined": value.declined,
    }


def step(told: StepStory, partition: int) -> Shape:
    """Return one step; a delegation holds the task."""
    return {
        "step": told.step,
        "kind": told.kind.value,
        "name": told.name,
        "where": f"{partition}/{told.offset}",
        "began": time(told.began_ms),
        "ended": time(told.ended_ms),
        "cost": amount(told.cost),
        "text": told.text,
        "error": told.error,
        "tries": told.tries,
        "evidence": list(told.evidence),
        "task": None if told.child is None else task(told.child, partition),
    }


def void(entry: Entry, partition: int) -> Shape:
    """Return a record that does not count."""
    return fact(entry.record, partition) | {"void": entry.void}


def fact(record: Record, partition: int) -> Shape:
    """Return what every fact has: kind, author, task, place and time."""
    own: Fact = record.fact
    return {
        "where": f"{partition}/{record.offset}",
        "at": time(record.append_ms),
        "kind": type(own).__name__,
        "instance": own.by.instance,
        "incarnation": own.by.incarnation,
        "workflow": getattr(own, "workflow", ""),
        "task": getattr(own, "task", ""),
    }


def explanation(told: Explanation) -> Shape:
    """Return why a task went as it did."""
    return {
        "task": told.task,
        "workflow": told.workflow,
        "capability": told.capability,
        "awards": told.awards,
        "agrees": told.agrees,
        "reasons": [reason(own) for own in told.reasons],
    }


def reason(told: Reason) -> Shape:
    """Return one reason with its figures."""
    shape: Shape = {
        "kind": told.kind,
        "where": told.where,
        "at": time(told.at_ms),
        "text": told.text,
        "rule": told.rule,
        "agrees": told.agrees,
        "disagreement": told.disagreement,
    }
    if told.means is not None:
        shape["means"] = told.means._asdict()
        shape["bids"] = [
            offer(own.offer)
            | {"points": {"price": own.price, "time": own.time, "trust": own.trust}}
            | {"recomputed": own.score}
            for own in told.points
        ]
    if told.books is not None:
        names = told.books._fields
        shape["budget"] = {n: amount(v) for n, v in zip(names, told.books, strict=True)}
    return shape


def card(value: Card) -> Shape:
    """Return an agent's card."""
    return {
        "agent": value.agent,
        "owner": value.owner,
        "version": value.version,
        "purpose": value.purpose,
        "state": value.state.value,
        "calls": list(value.calls),
        "reads": list(value.reads),
        "writes": list(value.writes),
        "tools": list(value.tools),
        "capabilities": [capability(own) for own in value.capabilities],
    }


def capability(offered: CapabilityCard) -> Shape:
    """Return one capability as a card has it."""
    return {
        "name": offered.name,
        "effect": offered.effect.value,
        "mode": offered.mode.value,
        "bids": offered.has_bid,
        "budget": None if offered.budget is None else amount(offered.budget),
        "timeout_ms": offered.timeout_ms,
        "lease_ms": offered.lease_ms,
        "max_attempts": offered.max_attempts,
        "acceptance": offered.acceptance.value,
        "digest": offered.digest,
        "input": _schema(offered.input_schema),
        "output": _schema(offered.output_schema),
    }


def _schema(text: str) -> Any:  # a JSON Schema
    return value(text.encode("utf-8", "surrogatepass"))


def presence(value: Presence, seen_ms: int) -> Shape:
    """Return one living instance."""
    return {
        "instance": value.instance,
        "incarnation": value.incarnation,
        "agent": value.agent,
        "load": value.load,
        "slots": value.slots,
        "draining": value.draining,
        "inbox": {"topic": value.inbox.topic, "partition": value.inbox.partition},
        "capabilities": [own.capability for own in value.handlers],
        "seen": time(seen_ms),
    }


def incident(told: Incident, at_ms: int, key: str) -> Shape:
    """Return a finding; `key` is that of its record, an instance where it names no workflow."""
    return {
        "id": told.id,
        "at": time(at_ms),
        "kind": told.kind,
        "detector": told.detector,
        "workflow": told.workflow,
        "task": told.task,
        "instance": "" if told.workflow else key,
        "text": told.text,
        "measure": told.measure,
        "seen": told.seen,
        "limit": told.limit,
        "chain": [
            {"task": own.task, "capability": own.capability, "agent": own.agent}
            for own in told.chain
        ],
        "evidence": [
            {"stream": own.stream, "where": f"{own.partition}/{own.offset}"}
            for own in told.evidence
        ],
        "spent": None if told.spent is None else amount(told.spent),
        "response": told.response,
        "policy": told.policy,
        "person": told.person,
        "answers": told.answers,
    }


def order(given: HaltOrder, since_ms: int) -> Shape:
    """Return a halt or its lifting."""
    return {
        "target": given.target,
        "halted": given.halted,
        "number": given.number,
        "person": given.person,
        "detector": given.detector,
        "because": given.because,
        "since": time(since_ms),
        "incident": given.incident,
    }


def entry(kept: Kept, partition: int) -> Shape:
    """Return an entry as it stands in `M.state`."""
    return {
        "key": kept.key,
        "version": kept.version,
        "value": _content(kept.value),
        "deleted": kept.value is None,
        "contested": kept.contested,
        "agent": kept.agent,
        "instance": kept.writer if kept.agent else "",
        "person": "" if kept.agent else kept.writer,
        "workflow": kept.workflow,
        "task": kept.task,
        "step": kept.step,
        "objective": kept.objective,
        "because": kept.because,
        "verdict": kept.verdict.value,
        "change": kept.change,
        "where": f"{partition}/{kept.source}",
        "at": time(kept.append_ms),
        "candidates": [candidate(own, take) for take, own in enumerate(kept.candidates, 1)],
    }


def candidate(own: Candidate, take: int) -> Shape:
    """Return a value that contests the current one; `take` is what `mesh state settle` takes."""
    return {
        "take": take,
        "value": _content(own.value),
        "deleted": own.value is None,
        "agent": own.agent,
        "task": own.task,
        "objective": own.objective,
        "because": own.because,
        "change": own.change,
    }


def _content(held: bytes | None) -> Any:  # any JSON
    return None if held is None else value(held)
