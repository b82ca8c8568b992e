"""What the page shows, as JSON: now, map, tasks, budgets, what needs a person, health.

Every function takes the model as it is and returns plain values; `mesh.dashboard.schemas` says what
is in them. Texts that strangers wrote are cut, never interpreted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from mesh.core.budget import ZERO, add
from mesh.core.registry import Presence
from mesh.core.values import Amount
from mesh.dashboard.aside import Found, Kept, Letter
from mesh.dashboard.model import Model
from mesh.dashboard.ring import Seen
from mesh.dashboard.rows import Row
from mesh.dashboard.window import KEPT_MINUTES, Bucket, Edge, Flow
from mesh.errors import WireError
from mesh.telling import shapes, words
from mesh.telling.prose import Prose
from mesh.telling.shapes import Shape, time
from mesh.telling.story import Chronicle
from mesh.wire.facts import decode_fact

Living = tuple[Presence, int]
"""What an instance says of itself, and when it said so last."""
CLIP = 200
"""Characters of a name that a list shows: names of ours have at most as many."""
MAX_NEEDS = 100
"""Things that need a person in one answer; `total` says how many there are."""
RECENT = 30
"""Facts on the first page."""
QUIET = frozenset({"LeaseRenewed", "SupervisionRenewed", "SupervisionTaken", "SupervisionReleased"})
"""What says nothing about work."""
MAX_NODES = 300
"""Agents that a map can draw; the rest is one node that says how many they are."""
OTHERS = "…"
"""The name of that node."""


def clip(text: str, most: int = CLIP) -> str:
    """Return a name cut to what a list shows."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


# --- facts


def fact(seen: Seen) -> Shape:
    """Return one record of the audit stream, with what it says in words."""
    where = f"{seen.partition}/{seen.offset}"
    try:
        decoded = decode_fact(seen.value)
    except WireError as error:
        return _unreadable(seen, where, str(error))
    own = decoded.fact
    return {
        "where": where,
        "at": time(seen.append_ms),
        "kind": seen.kind,
        "instance": clip(seen.instance),
        "incarnation": own.by.incarnation,
        "workflow": clip(seen.workflow),
        "task": clip(seen.task),
        "text": words.sentence(own),
        "void": None if seen.void is None else clip(seen.void),
        "readable": True,
    }


def _unreadable(seen: Seen, where: str, why: str) -> Shape:
    return {
        "where": where,
        "at": time(seen.append_ms),
        "kind": "",
        "instance": "",
        "incarnation": 0,
        "workflow": "",
        "task": "",
        "text": f"no fact: {clip(why)}",
        "void": None,
        "readable": False,
    }


# --- tasks


def task(model: Model, row: Row) -> Shape:
    """Return one task as lists show it."""
    ledger = model.strands[row.partition].ledger
    return {
        "task": row.task,
        "workflow": row.workflow,
        "parent": row.parent,
        "capability": row.capability,
        "caller": clip(row.caller),
        "agent": clip(row.agent),
        "instance": clip(row.instance),
        "status": row.phase,
        "reason": row.reason,
        "where": f"{row.partition}/{row.offset}",
        "began": time(row.began_ms),
        "ended": time(row.ended_ms),
        "deadline": time(row.deadline_ms),
        "grant": shapes.amount(row.grant),
        "cost": shapes.amount(row.spent(ledger)),
        "attempt": row.tries,
        "needs": [clip(own) for own in row.waits()],
        "halted": _halted(model, row),
    }


def _halted(model: Model, row: Row) -> str:
    """Return the target of an order that covers an open task, "" for none."""
    if row.state is None or not model.orders.halts:
        return ""
    order = model.orders.halts.covering(row.state.opened, row.agent)
    return "" if order is None else order.target


def workflow(model: Model, root: Row) -> Shape:
    """Return one workflow as lists show it: its root task, and what its tasks came to."""
    return task(model, root) | {
        "goal": root.goal,
        "tasks": root.tasks,
        "failures": root.failures,
        "latest": time(root.latest_ms),
    }


# --- one workflow


def lines(chronicle: Chronicle, partition: int) -> Iterator[Shape]:
    """Yield what counted in a workflow, sentence by sentence, each with where it stands."""
    told = Prose()
    for entry in chronicle.entries:
        if entry.void:
            continue
        record = entry.record
        yield {
            "where": f"{partition}/{record.offset}",
            "at": time(record.append_ms),
            "kind": type(record.fact).__name__,
            "task": getattr(record.fact, "task", ""),
            "who": clip(told.who(record.fact)),
            "text": told.sentence(record.fact),
            "evidence": list(getattr(record.fact, "evidence", ())),
        }


# --- now


def now(model: Model, now_ms: int, mesh: str) -> Shape:
    """Return the first page."""
    minutes = list(model.window.minutes(now_ms))
    ended: Counter[str] = Counter()
    for _, bucket in minutes:
        ended.update(bucket.ended)
    phases = Counter(row.phase for row in model.rows.open.values())
    granted, spent = _open_budgets(model)
    return {
        "mesh": mesh,
        "at": time(now_ms),
        "log_time": time(model.log_time_ms) if model.log_time_ms else None,
        "workflows": {
            "open": len(model.rows.open),
            "phases": dict(phases),
            "ended": dict(ended),
            "opened": sum(bucket.opened for _, bucket in minutes),
        },
        "tasks": {
            "open": sum(len(own.ledger.tasks) for own in model.strands.values()),
            "opened": sum(bucket.tasks for _, bucket in minutes),
        },
        "minutes": [_minute(at_ms, bucket) for at_ms, bucket in minutes],
        "spend": {
            "granted_open": shapes.amount(granted),
            "spent_open": shapes.amount(spent),
            "spent_micro_usd": sum(bucket.spent_micro_usd for _, bucket in minutes),
            "tokens": sum(bucket.tokens for _, bucket in minutes),
        },
        "agents": {
            "cards": len(model.directory.agents),
            "instances": len(model.directory.present()),
        },
        "incidents": [incident(model, own) for own in model.incidents.latest()[:5]],
        "needs": needs(model),
        "recent": recent(model, RECENT),
        "complete": complete(model),
    }


def _minute(at_ms: int, bucket: Bucket) -> Shape:
    completed = bucket.ended["completed"]
    return {
        "at": time(at_ms),
        "facts": bucket.facts,
        "void": bucket.void,
        "opened": bucket.opened,
        "completed": completed,
        "failed": sum(bucket.ended.values()) - completed,
        "spent_micro_usd": bucket.spent_micro_usd,
    }


def _open_budgets(model: Model) -> tuple[Amount, Amount]:
    """Return what the open workflows were granted, and what of it is spent."""
    granted, spent = ZERO, ZERO
    for row in model.rows.open.values():
        granted = add(granted, row.grant)
        if row.state is not None:
            purse = row.state.purse
            spent = add(spent, purse.spent)
    return granted, spent


def recent(model: Model, most: int) -> list[Shape]:
    """Return the latest facts that say something about work."""
    told = (own for own in model.ring.latest() if own.kind not in QUIET)
    return [fact(own) for own in islice(told, most)]


def needs(model: Model) -> Shape:
    """Return what waits for a person, the oldest first: parked, halted, contested, asked."""
    items = [_parked(row) for row in model.rows.waiting.values()]
    items += [
        _need("halt", f"{clip(order.target)} is halted: {clip(order.because)}", since_ms)
        | {"target": clip(order.target)}
        for order, since_ms in model.orders.in_force()
    ]
    items += [
        _need("contested", f"{clip(own.key)} has {own.candidates + 1} values", own.append_ms)
        | {"key": own.key}
        for own in islice(model.state.contested.values(), MAX_NEEDS)
    ]
    items += [_asked(own) for own in model.incidents.open()]
    items.sort(key=lambda own: str(own["since"]))
    return {"total": len(items), "items": items[:MAX_NEEDS], "dead_letters": model.letters.count}


def _parked(row: Row) -> Shape:
    text = clip("; ".join(row.waits()))
    shape = _need("parked", f"{row.capability}: {text}", row.root.latest_ms)
    return shape | {"workflow": row.workflow, "task": row.task}


def _asked(found: Found) -> Shape:
    own = found.incident
    shape = _need("question", f"{clip(own.kind)}: {clip(own.text)}", found.at_ms)
    return shape | {"workflow": clip(own.workflow), "task": clip(own.task), "key": own.id}


def _need(kind: str, text: str, since_ms: int) -> Shape:
    blank = {"workflow": "", "task": "", "target": "", "key": ""}
    return {"kind": kind, "text": text, "since": time(since_ms)} | blank


def incident(model: Model, found: Found) -> Shape:
    """Return an incident, where it stands on its topic, and whether a person is to answer it."""
    told = shapes.incident(found.incident, found.at_ms, clip(found.key))
    told["text"] = clip(told["text"], 2_000)
    return told | {"where": found.where, "open": model.incidents.waits(found)}


def complete(model: Model) -> Shape:
    """Say from where the story is complete: from its beginning, or what is before is not shown."""
    cut = [own for own in model.strands.values() if own.first > 0]
    latest = max((own.first_ms for own in cut), default=-1)
    return {
        "whole": not cut,
        "since": time(latest) if latest >= 0 else None,
        "trimmed": any(own.low > 0 for own in model.strands.values()),
    }


# --- map


def graph(model: Model, now_ms: int, minutes: int = KEPT_MINUTES) -> Shape:
    """Return agents and the delegations between them in the last minutes."""
    flows = model.window.flows(now_ms, minutes)
    kept = _busiest(model, flows)
    alive = instances(model)
    merged: dict[Edge, Flow] = {}
    for edge, flow in flows.items():
        drawn = Edge(_drawn(edge.caller, kept), edge.capability, _drawn(edge.agent, kept))
        known = merged.get(drawn)
        merged[drawn] = flow if known is None else Flow(*map(sum, zip(known, flow, strict=True)))
    edges = sorted(merged.items(), key=lambda own: -own[1].awards)
    return {
        "at": time(now_ms),
        "minutes": minutes,
        "nodes": [_node(model, name, alive.get(name, [])) for name in kept],
        "left_out": len(_names(model, flows)) - len(kept),
        "edges": [_edge(edge, flow) for edge, flow in edges],
    }


def _names(model: Model, flows: Iterable[Edge]) -> set[str]:
    named = {name for edge in flows for name in (edge.caller, edge.agent) if name}
    return named | set(model.directory.agents)


def _busiest(model: Model, flows: dict[Edge, Flow]) -> list[str]:
    """Return the names of the agents that are drawn."""
    names = _names(model, flows)
    if len(names) <= MAX_NODES:
        return sorted(names)
    busy: Counter[str] = Counter()
    for edge, flow in flows.items():
        busy[edge.caller] += flow.awards
        busy[edge.agent] += flow.awards
    return sorted(sorted(names, key=lambda own: (-busy[own], own))[:MAX_NODES])


def _drawn(name: str, kept: list[str]) -> str:
    return name if not name or len(kept) < MAX_NODES or name in kept else OTHERS


def instances(model: Model) -> dict[str, list[Living]]:
    """Return the instances that live, by agent."""
    found: dict[str, list[Living]] = {}
    for presence, seen_ms in model.directory.present():
        found.setdefault(presence.agent, []).append((presence, seen_ms))
    return found


def _node(model: Model, name: str, alive: list[Living]) -> Shape:
    card = model.directory.card(name)
    own = [one for one, _ in alive]
    halt = model.orders.halts.in_force(f"agent/{name}")
    return {
        "agent": clip(name),
        "owner": clip(card.owner) if card is not None else "",
        "state": card.state.value if card is not None else "unknown",
        "instances": len(own),
        "load": sum(one.load for one in own),
        "slots": sum(one.slots for one in own),
        "halted": halt is not None,
    }


def _edge(edge: Edge, flow: Flow) -> Shape:
    names = {name: clip(value) for name, value in edge._asdict().items()}
    return names | flow._asdict()


# --- budgets


def budget(model: Model, row: Row) -> Shape:
    """Return what a workflow may spend and has spent, by dimension, and the share that is gone."""
    assert row.state is not None, "it is open"
    purse = row.state.purse
    cost = row.spent(model.strands[row.partition].ledger)
    limited = [own for own in zip(cost, row.grant, strict=True) if own[1]]
    share = max((1_000 * spent // granted for spent, granted in limited), default=0)
    return {
        "workflow": row.workflow,
        "capability": row.capability,
        "goal": row.goal,
        "began": time(row.began_ms),
        "deadline": time(row.deadline_ms),
        "grant": shapes.amount(row.grant),
        "cost": shapes.amount(cost),
        "reserved": shapes.amount(purse.reserved),
        "free": shapes.amount(purse.free),
        "spent_permille": share,
    }


def spending(model: Model, now_ms: int, minutes: int = KEPT_MINUTES) -> Shape:
    """Return what was charged in the last minutes, by agent and by capability."""
    agents: Counter[str] = Counter()
    capabilities: Counter[str] = Counter()
    for edge, flow in model.window.flows(now_ms, minutes).items():
        if flow.spent_micro_usd:
            agents[clip(edge.agent)] += flow.spent_micro_usd
            capabilities[clip(edge.capability)] += flow.spent_micro_usd
    return {
        "minutes": minutes,
        "agents": [
            {"name": name, "spent_micro_usd": spent}
            for name, spent in agents.most_common(MAX_NODES)
        ],
        "capabilities": [
            {"name": name, "spent_micro_usd": spent}
            for name, spent in capabilities.most_common(MAX_NODES)
        ],
    }


# --- registry and state


def agent(model: Model, name: str, alive: list[Living]) -> Shape:
    """Return an agent: its card, who lives, whether it is halted."""
    card = model.directory.card(name)
    order = model.orders.halts.in_force(f"agent/{name}")
    return {
        "agent": clip(name),
        "card": None if card is None else shapes.card(card),
        "instances": [shapes.presence(own, seen_ms) for own, seen_ms in alive],
        "halt": None if order is None else shapes.order(order, model.orders.since_ms[order.target]),
    }


def orphans(model: Model, now_ms: int) -> Shape:
    """Return what fits nowhere: cards nobody serves, instances with no card, calls for nobody."""
    directory = model.directory
    alive = {own.agent for own, _ in directory.present()}
    cards = set(directory.agents)
    called = {edge.capability for edge in model.window.flows(now_ms)}
    called |= {row.capability for row in model.rows.open.values()}
    return {
        "agents_without_instance": sorted(map(clip, cards - alive)),
        "instances_without_card": sorted(map(clip, alive - cards)),
        "capabilities_without_agent": sorted(
            clip(name) for name in called if not directory.agents_offering(name)
        ),
    }


def key(own: Kept) -> Shape:
    """Return an entry of shared state without its value."""
    return {
        "key": own.key,
        "version": own.version,
        "deleted": own.deleted,
        "contested": own.candidates > 0,
        "agent": clip(own.agent),
        "writer": clip(own.writer),
        "workflow": clip(own.workflow),
        "where": f"{own.partition}/{own.source}",
        "at": time(own.append_ms),
        "bytes": own.size,
    }


def letter(own: Letter) -> Shape:
    """Return a dead letter without its contents."""
    told = own.letter
    return {
        "where": own.where,
        "at": time(own.at_ms),
        "reason": clip(told.reason, 500),
        "by": clip(told.by),
        "topic": clip(told.topic, 249),
        "partition": told.partition,
        "offset": told.offset,
        "key": None if told.key is None else clip(told.key.decode(errors="replace")),
        "bytes": told.value_size,
        "sha256": told.value_hash.hex(),
    }


# --- health


def health(model: Model, now_ms: int) -> Shape:
    """Return how far the reading is, and what could not be read."""
    return {
        "at": time(now_ms),
        "log_time": time(model.log_time_ms) if model.log_time_ms else None,
        "lag": sum(own.lag for own in model.strands.values()),
        "partitions": [
            {
                "partition": number,
                "low": own.low,
                "first": own.first,
                "first_at": time(own.first_ms) if own.first_ms >= 0 else None,
                "next": own.next,
                "end": own.end,
                "lag": own.lag,
                "facts": own.facts,
                "void": own.void,
                "unreadable": own.unreadable,
                "open_tasks": len(own.ledger.tasks),
            }
            for number, own in sorted(model.strands.items())
        ],
        "complete": complete(model),
        "kept": {
            "tasks": len(model.rows),
            "workflows_evicted": model.rows.evicted,
            "facts": len(model.ring),
            "state_keys": len(model.state.keys),
            "state_keys_left_out": model.state.left_out,
        },
        "unreadable": {
            "audit": sum(own.unreadable for own in model.strands.values()),
            "incidents": model.incidents.unreadable,
            "control": model.orders.unreadable,
            "state": model.state.unreadable,
            "dead_letters": model.letters.unreadable,
        },
        "state_partitions": [
            {"partition": number, "through": through}
            for number, through in sorted(model.state.through.items())
        ],
    }
