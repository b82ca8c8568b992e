"""Two agents that hand one question to each other for ever, and pay for a model each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from pydantic import BaseModel

from mesh import Agent, Context, Priced, tool
from mesh.core.effects import Incident
from mesh.core.facts import Record
from mesh.errors import TaskError
from mesh.ports import Incoming, Place
from mesh.runtime.quantities import Budget
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import decode_incident
from mesh.wire.facts import decode_fact

MESH = "test"
PARTITION = 0
"""Where both capabilities' workflows live."""
USD = Decimal(4)
HOPS = 100
BUDGET: Budget = {"usd": USD, "hops": HOPS, "tool_calls": HOPS, "attempts": 40}


class Question(BaseModel):
    text: str
    request_id: str = ""
    turns: int = 0


class Answer(BaseModel):
    turns: int


def _rest(turns: int) -> Budget:
    """Return what is left after so many turns: each hands on all that it has."""
    calls = HOPS - 2 * turns
    usd = USD - turns * Decimal("0.06")
    return {"usd": usd, "hops": calls, "tool_calls": calls, "attempts": 1}


async def at_once() -> None:
    """Take no time."""


def agents(
    lease: str = "10s", thinks: Callable[[], Awaitable[None]] = at_once
) -> tuple[Agent, Agent]:
    """Make them; a question of `turns` above 0 is answered after so many.

    `thinks` returns when their model has its answer.
    """

    @tool(effect="pure")
    async def ask_model(text: str) -> Priced[str]:
        await thinks()
        return Priced(f"somebody else knows: {text}", usd="0.05")

    buyer = Agent("buyer", owner="team", calls=["legal.*"], tools=[ask_model])
    lawyer = Agent("lawyer", owner="team", calls=["buying.*"], tools=[ask_model])

    async def turn(ctx: Context, question: Question, name: str) -> Answer:
        asked = len(ctx.ancestors)
        if question.turns and asked >= question.turns:
            return Answer(turns=asked)
        await ctx.model(ask_model, question.text, reserve={"usd": "0.05"})
        # only the name of the request is new: that is what makes the loop hard to see
        again = question.model_copy(update={"request_id": f"{ctx.random().getrandbits(64):016x}"})
        try:
            return await ctx.delegate(name, again, Answer, budget=_rest(asked + 1))
        except TaskError:
            return Answer(turns=asked)

    @buyer.capability("buying.ask", lease=lease, max_attempts=1)
    async def ask(ctx: Context, question: Question) -> Answer:
        return await turn(ctx, question, "legal.check")

    @lawyer.capability("legal.check", lease=lease, max_attempts=1)
    async def check(ctx: Context, question: Question) -> Answer:
        return await turn(ctx, question, "buying.ask")

    return buyer, lawyer


class Recorded(NamedTuple):
    """What a mesh with a quarrel has written: the audit stream, and the workflows in it."""

    records: Sequence[Incoming]
    endless: str
    short: str


async def record() -> Recorded:
    """Let a question go round that is answered, and one that is not, until the money is gone."""
    async with MemoryMesh(*agents()) as mesh:
        short = await mesh.submit(
            "buying.ask", Question(text="where?", turns=3), Answer, budget=BUDGET
        )
        endless = await mesh.submit("buying.ask", Question(text="who?"), Answer, budget=BUDGET)
        found = mesh.broker.records(topics.audit(MESH))
        return Recorded(
            tuple(own for own in found if own.partition == PARTITION),
            endless.workflow,
            short.workflow,
        )


def broker_of(records: Sequence[Incoming], clock: Callable[[], int]) -> MemoryBroker:
    """Return a broker with these records on the audit stream, and what a watchman needs."""
    broker = MemoryBroker(clock)
    partitions = topics.Partitions(audit=PARTITION + 1)
    for plan in topics.plans(MESH, partitions=partitions):
        broker.create_topic(plan)
    add(broker, records)
    return broker


def add(broker: MemoryBroker, records: Sequence[Incoming]) -> None:
    """Append records to the audit stream."""
    for own in records:
        where = broker.partition(Place(topics.audit(MESH), PARTITION))
        where.append(own.append_ms, own.key, own.value, own.headers)


def fact(incoming: Incoming) -> Record:
    """Return the fact that a record holds."""
    decoded = decode_fact(incoming.value)
    return Record(incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact)


def incidents(broker: MemoryBroker) -> list[Incident]:
    """Return what stands on the incidents' topic."""
    return [decode_incident(own.value) for own in broker.records(topics.incidents(MESH))]
