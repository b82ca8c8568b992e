"""Peers that misbehave: refused or void, recorded, counted, and nothing changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from mesh import Agent, Bid, Context, DefinitionError
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.facts import Record
from mesh.core.ids import audit_partition_of
from mesh.core.values import NOTHING, Amount, Cause, Effect, Holder, Inbox, Outcome, StepKind, Terms
from mesh.runtime.process import Process
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from mesh.wire.facts import FIRST, encode_fact
from tests.integration.world import LEASE, Submitted, World, eventually

STRANGER = Holder("worker.stranger", 7)
GARBAGE = [b"", b"\x00garbage", b"{}", b"\xc3\x01" + b"\x07" * 40, None]


class Number(BaseModel):
    n: int


class Bench:
    """Mutable: a lead that delegated to a worker, which waits until `go` is set."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.go = asyncio.Event()
        self.starts = 0
        self.lead = Agent("lead", owner="team", calls=["work.*"])
        self.worker = Agent("worker", owner="team")

        @self.lead.capability("lead.ask", lease=LEASE)
        async def ask(ctx: Context, number: Number) -> Number:
            return await ctx.delegate("work.wait", number, Number)

        @self.worker.capability("work.wait", lease=LEASE)
        async def wait(ctx: Context, number: Number) -> Number:
            self.starts += 1
            await ctx.spend(usd="0.01", because="waiting")
            await self.go.wait()
            return Number(n=number.n * 2)

    async def begin(self) -> tuple[Submitted, f.TaskOpened, int]:
        """Return the root, the child, and the log position of the child's award."""
        await self.world.run(self.lead, self.worker)
        submitted = await self.world.submit("lead.ask", Number(n=2))
        story = self.world.story
        await story.until(lambda: story.of(submitted.workflow, f.SpendSettled))
        child = story.children(submitted.workflow)[0]
        place = next(t.record.offset for t in story.told if t.fact == child)
        return submitted, child, place

    async def end(self, submitted: Submitted) -> None:
        """Let the worker finish, and assert that everything came as if nobody had meddled."""
        self.go.set()
        answer = await self.world.reply(submitted)
        assert (answer.status, answer.result) == ("completed", {"n": 4})
        assert self.starts == 1
        await self.world.ended(submitted.workflow)
        assert len(self.world.replies.answers[submitted.correlation_id]) == 1

    @property
    def supervisor(self) -> Process:
        return self.world.processes[0]

    @property
    def working(self) -> Process:
        return self.world.processes[1]

    async def refused(self, process: Process, content: m.Content, **options: Any) -> None:
        """Send a message, and return when it was refused and counted."""
        instance = process.instances[0]
        before = instance.counts["refused"]
        await self.world.send(process, content, **options)
        await eventually(lambda: instance.counts["refused"] == before + 1, what=str(content)[:60])


async def test_messages_for_others_and_from_others_are_refused(world: World) -> None:
    bench = Bench(world)
    submitted, child, award = await bench.begin()
    workflow, task = child.workflow, child.task
    worker, lead = bench.working.instances[0].me, bench.supervisor.instances[0].me
    cancel = m.Cancel(workflow=workflow, task=task, award=award, because="no", person="")
    # an earlier incarnation's
    await bench.refused(
        bench.working, cancel, to=Holder(worker.instance, worker.incarnation - 1), sender=lead
    )
    # another award's
    await bench.refused(bench.working, replace(cancel, award=award + 1), sender=lead)
    await bench.refused(bench.supervisor, replace(cancel, task=f"{task}x", award=-1))
    finished = f.WorkFinished(
        workflow=workflow,
        task=task,
        by=STRANGER,
        authority=award,
        outcome=Outcome.COMPLETED,
        spent=Amount(),
        confidence_permille=1_000,
        sources=(),
        error="",
        field="",
        result=NOTHING,
    )
    record = Record(award + 1, 1, 0, finished)
    outcome = m.Outcome(workflow=workflow, task=task, award=award, record=record)
    # a stranger's result; the worker's, with a fact that is not its own; one of an older award
    await bench.refused(bench.supervisor, outcome, sender=STRANGER)
    await bench.refused(bench.supervisor, outcome, sender=worker)
    await bench.refused(bench.supervisor, replace(outcome, award=award - 1), sender=worker)
    # progress and adoption by who does not hold it; bids that nobody called for
    progress = m.Progress(workflow=workflow, task=task, award=award, lease_end_ms=2**47, text="")
    await bench.refused(bench.supervisor, progress, sender=STRANGER)
    bid = m.Bid(
        task=task, call=award, price_micro_usd=0, eta_ms=0, confidence_permille=1_000, slot=True
    )
    await bench.refused(bench.supervisor, bid, sender=STRANGER)
    # an award that is another's
    told = next(t.record for t in world.story.told if t.fact == child)
    header = bench.supervisor.instances[0].node.desk.headers[workflow]
    offer = m.Award(
        workflow=workflow, task=task, header=header, caller="lead", opened=told, awarded=None
    )
    await bench.refused(bench.supervisor, offer, sender=STRANGER)
    await bench.refused(bench.working, offer, sender=STRANGER)  # a repeat
    # addressed to somebody else who reads the same partition: passed over
    await world.send(bench.working, cancel, to=Holder("worker.other", 1), sender=lead)
    await bench.end(submitted)
    assert not world.story.void()


def forged_facts(root: f.TaskOpened, child: f.TaskOpened, award: int) -> list[f.Fact]:
    """Return facts of a task and of its partition by somebody who has no authority for them."""
    terms = child.award
    assert terms is not None
    under: dict[str, Any] = {"workflow": child.workflow, "task": child.task}
    stale = stale_of(terms)
    done: dict[str, Any] = {
        "outcome": Outcome.COMPLETED,
        "spent": Amount(),
        "confidence_permille": 1_000,
        "sources": (),
        "error": "",
        "field": "",
        "result": NOTHING,
    }
    supervision = root.authority
    return [
        f.WorkFinished(**under, by=STRANGER, authority=award, **done),
        f.WorkFinished(**under, by=stale, authority=award, **done),
        f.WorkFinished(**under, by=STRANGER, authority=award - 1, **done),
        f.SpendReserved(
            **under, by=STRANGER, authority=award, step="9", number=0, amount=Amount(1), because="x"
        ),
        f.StepBegun(
            **under,
            by=STRANGER,
            authority=award,
            step="9",
            kind=StepKind.TOOL,
            name="steal",
            input_hash=b"",
            effect=Effect.PURE,
            reserve=Amount(1),
            until_ms=0,
        ),
        f.TaskAwarded(
            **under,
            by=STRANGER,
            authority=award,
            award=replace(terms, worker=STRANGER, epoch=2, cause=Cause.DIED, attempt=2),
        ),
        f.TaskAwarded(**under, by=root.by, authority=supervision, award=replace(terms, epoch=1)),
        f.TaskCancelled(**under, by=STRANGER, authority=supervision, reason="mine"),
        f.CancelRequested(
            workflow=root.workflow,
            task=root.task,
            by=STRANGER,
            authority=supervision,
            because="mine",
            person="",
        ),
        f.SupervisionTaken(
            source=root.source, by=STRANGER, inbox=Inbox("x", 0), lease_ms=3_600_000
        ),
        f.SupervisionReleased(source=root.source, by=STRANGER, authority=supervision),
        f.LeaseRenewed(by=STRANGER, awards=(award,)),
        replace(root, by=STRANGER, authority=supervision),
    ]


def stale_of(terms: Terms) -> Holder:
    """Return the incarnation of a worker before the one that was awarded."""
    return terms.worker._replace(incarnation=terms.worker.incarnation - 1)


async def test_facts_without_authority_are_void_for_everybody(world: World) -> None:
    """Also for the next owner of the partition, which has nothing but the log to go by."""
    bench = Bench(world)
    submitted, child, award = await bench.begin()
    story, partition = world.story, audit_partition_of(submitted.workflow)
    root = story.of(submitted.workflow, f.TaskOpened)[0]
    assert child.award is not None
    stale = stale_of(child.award)
    forged = forged_facts(root, child, award)
    sequences: dict[Holder, int] = {}
    for fact in forged:
        by = fact.by if fact.by in (STRANGER, stale) else Holder("worker.liar", 1)
        sequence = sequences[by] = sequences.get(by, -1) + 1
        value = encode_fact(replace(fact, by=by), sequence, FIRST)
        await world.append(topics.audit(world.mesh), value, partition=partition)
    for rubbish in GARBAGE:
        await world.append(
            topics.audit(world.mesh),
            rubbish,
            key=submitted.workflow.encode(),
            partition=partition,
        )
    await story.until(lambda: len(story.garbage) == len(GARBAGE))
    by_strangers = [t for t in story.told if t.fact.by in sequences]
    assert [t.kind for t in by_strangers if not t.void] == []
    assert len(by_strangers) == len(forged)
    # the supervisor goes; its successor reads all of that, and goes on with the child
    await world.end(bench.supervisor)
    await world.start(bench.lead, name="next")
    await story.until(lambda: len(story.awards(submitted.workflow)) == 2)
    bench.go.set()
    answer = await world.reply(submitted, 30)
    assert (answer.status, answer.result) == ("completed", {"n": 4})
    assert bench.starts == 1
    await world.ended(submitted.workflow)
    assert len(story.awards(child.task)) == 1
    # what the forger chained is broken, and told of; nothing else is
    story.violations = [v for v in story.violations if v.invariant != "hash chain"]


async def test_garbage_in_the_small_topics_and_the_inbox(world: World) -> None:
    bench = Bench(world)
    submitted, _, _ = await bench.begin()
    instance = bench.working.instances[0]
    for value in GARBAGE:
        await world.put(instance.inbox, value, key=instance.me.instance.encode())
        await world.append(topics.registry(world.mesh), value, key=b"nobody")
        await world.append(topics.presence(world.mesh), value, key=b"nobody.here")
        await world.append(topics.registry(world.mesh), value, key=b"\xff\xfe")
    open_topic = topics.open_workflows(world.mesh)
    partition = audit_partition_of(submitted.workflow)
    source = world.story.of(submitted.workflow, f.TaskOpened)[0].source
    key = f"{source.capability}/{source.partition}/0-garbage".encode()
    for value in GARBAGE[:-1]:
        await world.append(open_topic, value, key=key, partition=partition)
    letters = world.dead_letters.letters
    await world.dead_letters.until(
        lambda: sum(x.topic == instance.inbox.topic for x in letters) == len(GARBAGE)
    )
    assert instance.counts["dead_letters"] == len(GARBAGE)
    await bench.end(submitted)
    assert all(process.ready for process in world.processes)
    # who starts later reads it all
    late = await world.start(bench.lead, name="late")
    assert late.ready
    await world.end(bench.supervisor)
    answer = await world.ask("lead.ask", Number(n=2))
    assert answer.result == {"n": 4}


async def test_a_card_that_goes_back_or_changes_hands_is_refused(world: World) -> None:
    def versioned(version: str, owner: str = "team") -> Agent:
        agent = Agent("solo", owner=owner, version=version)

        @agent.capability("solo.go", lease=LEASE)
        async def go(ctx: Context, number: Number) -> Number:
            return number

        return agent

    await world.open(versioned("2.0"))
    process = await world.start(versioned("2.0"), name="new")
    with pytest.raises(DefinitionError, match=r"solo is at version 2\.0, and 1\.9 would go back"):
        await world.start(versioned("1.9"), name="old")
    with pytest.raises(
        DefinitionError, match="solo belongs to team, and thieves asks for its name"
    ):
        await world.start(versioned("3.0", owner="thieves"), name="thief")
    # the same by who does not ask: the record is there, and changes nothing
    instance = process.instances[0]
    registry = topics.registry(world.mesh)
    for card in (versioned("1.0").card(), versioned("9.0", owner="thieves").card()):
        more = partial(_more_refused, process, instance.counts["refused"])
        await world.append(registry, encode_entry(card), key=b"solo")
        await eventually(more)
        assert process.directory.card("solo") == versioned("2.0").card()
    found = world.incidents.found
    await world.incidents.until(lambda: len([i for i in found if i.kind == "registry"]) == 2)
    assert "would go back" in found[0].text
    assert "belongs to team, and thieves asks for its name" in found[1].text
    # the topic is compacted, so the card that counts is the last one again
    ends = await world.client.ends(registry)
    assert ends[0][1] >= 5
    await world.start(versioned("2.0"), name="another")
    assert (await world.ask("solo.go", Number(n=3))).result == {"n": 3}


def _more_refused(process: Process, before: int) -> bool:
    return process.instances[0].counts["refused"] > before


async def test_of_two_owners_at_the_same_time_one_is_refused(world: World) -> None:
    def owned(owner: str) -> Agent:
        agent = Agent("shared", owner=owner)

        @agent.capability("shared.go", lease=LEASE)
        async def go(ctx: Context, number: Number) -> Number:
            return number

        return agent

    await world.open(owned("one"))
    first, second = world.process(owned("one")), world.process(owned("two"))
    results = await asyncio.gather(first.start(), second.start(), return_exceptions=True)
    refused = [error for error in results if error is not None]
    assert [type(error) for error in refused] == [DefinitionError]
    assert {"one", "two"} <= set(str(refused[0]).replace(",", "").split())
    winner = first if results[0] is None else second
    assert winner.ready
    assert (await world.ask("shared.go", Number(n=3))).result == {"n": 3}


async def test_a_bid_above_the_means_does_not_win(world: World) -> None:
    boss = Agent("boss", owner="team", calls=["work.*"])

    @boss.capability("boss.ask", lease=LEASE)
    async def ask(ctx: Context, number: Number) -> Number:
        return await ctx.delegate("work.do", number, Number, mode="auction", budget={"usd": "0.10"})

    def bidder(name: str, price: str, eta_s: float) -> Agent:
        agent = Agent(name, owner="team")

        @agent.capability("work.do", lease=LEASE)
        async def do(ctx: Context, number: Number) -> Number:
            return Number(n=1 if name == "modest" else 2)

        @do.bid
        def bid(number: Number) -> Bid:
            return Bid(price_usd=price, eta_s=eta_s, confidence=1)

        return agent

    await world.run(boss, bidder("greedy", "0.11", 0), bidder("modest", "0.10", 100))
    answer = await world.ask("boss.ask", Number(n=1))
    assert answer.result == {"n": 1}
    award = world.story.of(answer.workflow, f.TaskAwarded)[0].award
    declined = {offer.agent: offer.declined for offer in award.offers}
    assert declined["modest"] == ""
    assert "above" in declined["greedy"]
