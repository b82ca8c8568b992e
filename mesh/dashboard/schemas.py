"""What is in every answer of the API, as JSON Schema (2020-12, as OpenAPI 3.1 has it).

Every member is always there; what is not known is null or "". The tests hold every answer against
these schemas, which allow nothing else.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "integer"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TRUTH: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANY: Schema = {}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}


def maybe(schema: Schema) -> Schema:
    """Return a schema that null fits, too."""
    return {"oneOf": [schema, {"type": "null"}]}


def each(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    """Return a reference to one of these schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def made(description: str = "", /, **members: Schema) -> Schema:
    """Return the schema of an object that has all of these members and no others."""
    schema: Schema = {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }
    return {"description": description, **schema} if description else schema


def _page(name: str, **more: Schema) -> Schema:
    """Return the schema of one page of a list."""
    members = {"total": COUNT, "offset": COUNT, "items": each(ref(name)), "position": TEXT}
    return made("", **members, **more)


AMOUNT = made(
    "A budget or a cost, one integer for each dimension; money in millionths of a dollar.",
    micro_usd=NUMBER,
    tokens=NUMBER,
    tool_calls=NUMBER,
    hops=NUMBER,
    attempts=NUMBER,
)
_TASK: dict[str, Schema] = {
    "task": TEXT,
    "workflow": TEXT,
    "parent": TEXT,
    "capability": TEXT,
    "caller": TEXT,
    "agent": TEXT,
    "instance": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "where": TEXT,
    "began": TIME,
    "ended": maybe(TIME),
    "deadline": TIME,
    "grant": ref("Amount"),
    "cost": ref("Amount"),
    "attempt": COUNT,
    "needs": each(TEXT),
    "halted": TEXT,
}
_OFFER: dict[str, Schema] = {
    "agent": TEXT,
    "instance": TEXT,
    "price_micro_usd": NUMBER,
    "eta_ms": NUMBER,
    "confidence": SHARE,
    "standing": SHARE,
    "good": {"type": "number"},
    "bad": {"type": "number"},
    "versions": each(TEXT),
    "on_trial": TRUTH,
    "slot": TRUTH,
    "score": NUMBER,
    "declined": TEXT,
}
_FACT: dict[str, Schema] = {
    "where": TEXT,
    "at": TIME,
    "kind": TEXT,
    "instance": TEXT,
    "incarnation": NUMBER,
    "workflow": TEXT,
    "task": TEXT,
}

STORY: dict[str, Schema] = {
    "Offer": made("An answer to a call for bids, with its score.", **_OFFER),
    "Award": made(
        "An award of a task, and what became of it.",
        where=TEXT,
        at=TIME,
        epoch=COUNT,
        attempt=COUNT,
        cause=TEXT,
        reason=TEXT,
        mode=TEXT,
        agent=TEXT,
        instance=TEXT,
        incarnation=NUMBER,
        why=TEXT,
        bids=each(ref("Offer")),
        ended=maybe(TIME),
        ending=TEXT,
        because=TEXT,
    ),
    "Step": made(
        "One step of a handler; a delegation holds the task.",
        step=TEXT,
        kind=TEXT,
        name=TEXT,
        where=TEXT,
        began=TIME,
        ended=maybe(TIME),
        cost=ref("Amount"),
        text=TEXT,
        error=TEXT,
        tries=COUNT,
        evidence=each(TEXT),
        task=maybe(ref("StoryTask")),
    ),
    "StoryTask": made(
        "One task with all below it.",
        task=TEXT,
        capability=TEXT,
        parent=TEXT,
        where=TEXT,
        status=TEXT,
        reason=TEXT,
        agent=TEXT,
        began=TIME,
        ended=maybe(TIME),
        deadline=TIME,
        grant=ref("Amount"),
        cost=ref("Amount"),
        confidence=SHARE,
        sources=each(TEXT),
        parked=TEXT,
        waiting_for=each(TEXT),
        cancelled_because=TEXT,
        awards=each(ref("Award")),
        steps=each(ref("Step")),
    ),
    "VoidFact": made("A record that does not count, and why.", **_FACT, void=TEXT),
    "Story": made(
        "A workflow in full.",
        workflow=TEXT,
        capability=TEXT,
        status=TEXT,
        reason=TEXT,
        goal=TEXT,
        constraints=each(TEXT),
        began=TIME,
        ended=maybe(TIME),
        duration_ms=NUMBER,
        cost=ref("Amount"),
        tasks=COUNT,
        records=COUNT,
        void=each(ref("VoidFact")),
        result=ANY,
        root=ref("StoryTask"),
    ),
    "Line": made(
        "One sentence of a chain, and where in the log it stands.",
        where=TEXT,
        at=TIME,
        kind=TEXT,
        task=TEXT,
        who=TEXT,
        text=TEXT,
        evidence=each(TEXT),
    ),
    "Chain": made(
        "A workflow, told: `lines` in plain sentences, `story` as a tree. `whole` is false where "
        "what it rests on is no longer in the log, `lines_left_out` counts what is too much.",
        story=ref("Story"),
        lines=each(ref("Line")),
        lines_left_out=COUNT,
        halts=each(ref("Halt")),
        whole=TRUTH,
        partition=COUNT,
        low=COUNT,
        position=TEXT,
    ),
    "Reason": {
        "description": "One thing that happened to a task, why, and by which rule; figures where "
        "there are some.",
        "type": "object",
        "properties": {
            "kind": TEXT,
            "where": TEXT,
            "at": TIME,
            "text": TEXT,
            "rule": TEXT,
            "agrees": maybe(TRUTH),
            "disagreement": TEXT,
            "means": {"type": "object"},
            "bids": each({"type": "object"}),
            "budget": {"type": "object", "additionalProperties": ref("Amount")},
        },
        "required": ["kind", "where", "at", "text", "rule", "agrees", "disagreement"],
        "additionalProperties": False,
    },
    "Explanation": made(
        "Why a task went as it did: awards recomputed, refusals with their reasons.",
        task=TEXT,
        workflow=TEXT,
        capability=TEXT,
        awards=COUNT,
        agrees=TRUTH,
        reasons=each(ref("Reason")),
    ),
}

LISTS: dict[str, Schema] = {
    "Fact": made(
        'A record of the audit stream. `void` is "" if it counts, else why not, null where that '
        "cannot be known. What is no fact is not `readable`.",
        **_FACT,
        text=TEXT,
        void=maybe(TEXT),
        readable=TRUTH,
    ),
    "Task": made("A task. `needs` is what a person must see to.", **_TASK),
    "Workflow": made(
        "A root task, with what its tasks came to.",
        **_TASK,
        goal=TEXT,
        tasks=COUNT,
        failures=COUNT,
        latest=TIME,
    ),
    "Workflows": _page("Workflow"),
    "Tasks": _page("Task"),
    "Facts": made(
        "Facts, the newest first; `next` is what to give as `before` for those that came earlier, "
        '"" where no more are at hand.',
        items=each(ref("Fact")),
        next=TEXT,
        position=TEXT,
    ),
    "Records": made(
        "Records of one partition in their order; nobody judged them, so `void` is null.",
        partition=COUNT,
        low=COUNT,
        high=COUNT,
        items=each(ref("Fact")),
        next=COUNT,
    ),
    "Record": made(
        "One record as it stands in the log. `fact` is null for what is none.",
        where=TEXT,
        at=TIME,
        key=maybe(TEXT),
        headers=each(made(name=TEXT, value=TEXT)),
        bytes=COUNT,
        sha256=TEXT,
        base64=TEXT,
        kind=TEXT,
        sequence=NUMBER,
        previous=TEXT,
        chain_hash=TEXT,
        fact=maybe({"type": "object"}),
        text=TEXT,
    ),
    "Incident": made(
        "What a detector or a person found.",
        id=TEXT,
        at=TIME,
        kind=TEXT,
        detector=TEXT,
        workflow=TEXT,
        task=TEXT,
        instance=TEXT,
        text=TEXT,
        measure=TEXT,
        seen=NUMBER,
        limit=NUMBER,
        chain=each(made(task=TEXT, capability=TEXT, agent=TEXT)),
        evidence=each(made(stream=TEXT, where=TEXT)),
        spent=maybe(ref("Amount")),
        response=TEXT,
        policy=NUMBER,
        person=TEXT,
        answers=TEXT,
        where=TEXT,
        open=TRUTH,
    ),
    "Incidents": _page("Incident"),
    "Halt": made(
        "A halt, or its lifting.",
        target=TEXT,
        halted=TRUTH,
        number=NUMBER,
        person=TEXT,
        detector=TEXT,
        because=TEXT,
        since=TIME,
        incident=TEXT,
    ),
    "Halts": made(items=each(ref("Halt"))),
    "Letter": made(
        "A record that could not be used, without its contents.",
        where=TEXT,
        at=TIME,
        reason=TEXT,
        by=TEXT,
        topic=TEXT,
        partition=NUMBER,
        offset=NUMBER,
        key=maybe(TEXT),
        bytes=COUNT,
        sha256=TEXT,
    ),
    "Letters": _page("Letter"),
}

OVERVIEWS: dict[str, Schema] = {
    "Amount": AMOUNT,
    "Complete": made(
        "From where the story is complete: `whole` from its beginning, else what began before "
        "`since` may be missing. `trimmed`: retention has taken records.",
        whole=TRUTH,
        since=maybe(TIME),
        trimmed=TRUTH,
    ),
    "Minute": made(
        at=TIME,
        facts=COUNT,
        void=COUNT,
        opened=COUNT,
        completed=COUNT,
        failed=COUNT,
        spent_micro_usd=COUNT,
    ),
    "Need": made(
        "One thing that a person must see to: `parked`, `halt`, `contested`, or `question`, an "
        "incident (`key`) that asks for an answer.",
        kind=TEXT,
        text=TEXT,
        since=TIME,
        workflow=TEXT,
        task=TEXT,
        target=TEXT,
        key=TEXT,
    ),
    "Needs": made(total=COUNT, items=each(ref("Need")), dead_letters=COUNT),
    "Now": made(
        "The first page. `ended`, `opened` and `minutes` are of the last hour.",
        mesh=TEXT,
        at=TIME,
        log_time=maybe(TIME),
        workflows=made(open=COUNT, phases=COUNTS, ended=COUNTS, opened=COUNT),
        tasks=made(open=COUNT, opened=COUNT),
        minutes=each(ref("Minute")),
        spend=made(
            granted_open=ref("Amount"),
            spent_open=ref("Amount"),
            spent_micro_usd=COUNT,
            tokens=COUNT,
        ),
        agents=made(cards=COUNT, instances=COUNT),
        incidents=each(ref("Incident")),
        needs=ref("Needs"),
        recent=each(ref("Fact")),
        complete=ref("Complete"),
        position=TEXT,
    ),
    "Node": made(
        agent=TEXT,
        owner=TEXT,
        state={"enum": ["active", "retired", "unknown"]},
        instances=COUNT,
        load=COUNT,
        slots=COUNT,
        halted=TRUTH,
    ),
    "Edge": made(
        'Delegations of a capability from one agent to another; the caller "" is outside.',
        caller=TEXT,
        capability=TEXT,
        agent=TEXT,
        awards=COUNT,
        completed=COUNT,
        failed=COUNT,
        spent_micro_usd=COUNT,
    ),
    "Map": made(
        "Agents, and the delegations of the last minutes. Where there are more agents than can be "
        "drawn, the rest (`left_out`) is the one named `…`.",
        at=TIME,
        minutes=COUNT,
        nodes=each(ref("Node")),
        left_out=COUNT,
        edges=each(ref("Edge")),
    ),
    "Budget": made(
        "What an open workflow may spend; `spent_permille` is that of its scarcest dimension.",
        workflow=TEXT,
        capability=TEXT,
        goal=TEXT,
        began=TIME,
        deadline=TIME,
        grant=ref("Amount"),
        cost=ref("Amount"),
        reserved=ref("Amount"),
        free=ref("Amount"),
        spent_permille=COUNT,
    ),
    "Spender": made(name=TEXT, spent_micro_usd=COUNT),
    "Budgets": _page(
        "Budget",
        spending=made(
            minutes=COUNT,
            agents=each(ref("Spender")),
            capabilities=each(ref("Spender")),
        ),
    ),
    "Health": made(
        at=TIME,
        log_time=maybe(TIME),
        lag=COUNT,
        partitions=each(
            made(
                partition=COUNT,
                low=COUNT,
                first=COUNT,
                first_at=maybe(TIME),
                next=COUNT,
                end=COUNT,
                lag=COUNT,
                facts=COUNT,
                void=COUNT,
                unreadable=COUNT,
                open_tasks=COUNT,
            )
        ),
        complete=ref("Complete"),
        kept=made(
            tasks=COUNT,
            workflows_evicted=COUNT,
            facts=COUNT,
            state_keys=COUNT,
            state_keys_left_out=COUNT,
        ),
        unreadable=COUNTS,
        state_partitions=each(made(partition=COUNT, through=NUMBER)),
        caught_up=TRUTH,
        behind_ms=maybe(NUMBER),
        pages=COUNT,
        pages_dropped=COUNT,
    ),
}

REGISTRY: dict[str, Schema] = {
    "Capability": made(
        name=TEXT,
        effect=TEXT,
        mode=TEXT,
        bids=TRUTH,
        budget=maybe(ref("Amount")),
        timeout_ms=NUMBER,
        lease_ms=NUMBER,
        max_attempts=NUMBER,
        acceptance=TEXT,
        digest=TEXT,
        input=ANY,
        output=ANY,
    ),
    "Card": made(
        agent=TEXT,
        owner=TEXT,
        version=TEXT,
        purpose=TEXT,
        state=TEXT,
        calls=each(TEXT),
        reads=each(TEXT),
        writes=each(TEXT),
        tools=each(TEXT),
        capabilities=each(ref("Capability")),
    ),
    "Instance": made(
        instance=TEXT,
        incarnation=NUMBER,
        agent=TEXT,
        load=NUMBER,
        slots=NUMBER,
        draining=TRUTH,
        inbox=made(topic=TEXT, partition=NUMBER),
        capabilities=each(TEXT),
        seen=TIME,
    ),
    "Agent": made(
        "An agent: its card (null for one that has none), and the instances that live.",
        agent=TEXT,
        card=maybe(ref("Card")),
        instances=each(ref("Instance")),
        halt=maybe(ref("Halt")),
    ),
    "Agents": _page(
        "Agent",
        orphans=made(
            agents_without_instance=each(TEXT),
            instances_without_card=each(TEXT),
            capabilities_without_agent=each(TEXT),
        ),
    ),
    "Key": made(
        "An entry of shared state without its value.",
        key=TEXT,
        version=COUNT,
        deleted=TRUTH,
        contested=TRUTH,
        agent=TEXT,
        writer=TEXT,
        workflow=TEXT,
        where=TEXT,
        at=TIME,
        bytes=COUNT,
    ),
    "Keys": _page("Key", left_out=COUNT),
    "Candidate": made(
        take=COUNT,
        value=ANY,
        deleted=TRUTH,
        agent=TEXT,
        task=TEXT,
        objective=TEXT,
        because=TEXT,
        change=TEXT,
    ),
    "Entry": made(
        "An entry of shared state as it stands.",
        key=TEXT,
        version=COUNT,
        value=ANY,
        deleted=TRUTH,
        contested=TRUTH,
        agent=TEXT,
        instance=TEXT,
        person=TEXT,
        workflow=TEXT,
        task=TEXT,
        step=TEXT,
        objective=TEXT,
        because=TEXT,
        verdict=TEXT,
        change=TEXT,
        where=TEXT,
        at=TIME,
        candidates=each(ref("Candidate")),
    ),
}

ACTS: dict[str, Schema] = {
    "Me": made(
        "Who asks, and what they may.",
        name=TEXT,
        roles=each({"enum": ["viewer", "operator", "auditor"]}),
        local=TRUTH,
    ),
    "Problem": made(
        "Why a request was refused (RFC 9457).",
        type=TEXT,
        title=TEXT,
        status=COUNT,
        detail=TEXT,
    ),
}

SCHEMAS: dict[str, Schema] = {**OVERVIEWS, **LISTS, **STORY, **REGISTRY, **ACTS}
