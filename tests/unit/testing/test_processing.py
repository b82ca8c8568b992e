"""Handlers that share state, in a mesh in memory: with conflicts, crashes, and no processor."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core.messages import Judged
from mesh.core.settings import Settings
from mesh.core.shared import RECENT, Change, Verdict
from mesh.core.values import Status, StepKind
from mesh.errors import Conflict, Contested, DefinitionError, UsageError, WriteRefused
from mesh.runtime.proposals import AGAIN_MS
from mesh.testing import MemoryMesh, crash_at_every_step
from mesh.testing.mesh import NAME
from mesh.testing.processing import rules_of
from mesh.transport.memory import Appending, Fate
from mesh.wire import topics
from mesh.wire.messages import decode_envelope
from mesh.wire.state import decode_kept, decode_proposal


class Ask(BaseModel):
    name: str = "acme"
    times: int = 1


class Told(BaseModel):
    text: str


class Rating(BaseModel):
    score: int


counter = Agent("counter", owner="team", reads=["counts"], writes=["counts"])
desk = Agent("desk", owner="team", reads=["suppliers"], writes=["suppliers"])


def up(rating: Rating | None) -> Rating:
    return Rating(score=1 if rating is None else rating.score + 1)


@counter.capability("counter.count")
async def count(ctx: Context, ask: Ask) -> Told:
    """Count several times at once."""
    key = f"counts/{ask.name}"
    updates = [ctx.shared.update(key, up, type=Rating, retries=100) for _ in range(ask.times)]
    made = await asyncio.gather(*updates)
    return Told(
        text=" ".join(str(own.version) for own in sorted(made, key=lambda own: own.version))
    )


@desk.capability("desk.rate")
async def rate(ctx: Context, ask: Ask) -> Told:
    key = f"suppliers/{ask.name}"
    before = await ctx.shared.read(key, type=Rating)
    await ctx.sleep("1s")
    written = await ctx.shared.write(
        key, up(before.value), expected_version=before.version, because="I looked"
    )
    after = await ctx.shared.read(key, type=Rating)
    assert after.version >= written.version
    await ctx.record_decision("rate", because="it was asked for", evidence=[after])
    return Told(text=f"{before.version} {written.version} {written.verdict} {after.version}")


@desk.capability("desk.look")
async def look(ctx: Context, ask: Ask) -> Told:
    return Told(text=str((await ctx.shared.read(f"suppliers/{ask.name}")).version))


@desk.capability("desk.wait")
async def wait_and_rate(ctx: Context, ask: Ask) -> Told:
    """Write on one path, and sleep for long on another."""
    written, _ = await asyncio.gather(
        ctx.shared.write(f"suppliers/{ask.name}", 1, expected_version=0), ctx.sleep("5m")
    )
    return Told(text=str(written.version))


rival = Agent("rival", owner="team", reads=["counts"], writes=["counts"])
boss = Agent("boss", owner="team", calls=["counter.count", "rival.flood"])


@rival.capability("rival.flood")
async def flood(ctx: Context, ask: Ask) -> Told:
    """Write a key many times, once somebody else has."""
    async for _ in ctx.shared.watch("counts"):
        break
    for _ in range(RECENT + 4):
        await ctx.shared.update(f"counts/{ask.name}", up, type=Rating)
    return Told(text="")


@boss.capability("boss.crowd")
async def crowd(ctx: Context, ask: Ask) -> Told:
    await asyncio.gather(ctx.delegate(count, ask), ctx.delegate(flood, ask))
    return Told(text="")


def changes(mesh: MemoryMesh) -> list[Change]:
    proposals = [decode_proposal(own.value) for own in mesh.broker.records(topics.changes(NAME))]
    return [own for own in proposals if isinstance(own, Change)]


def versions(mesh: MemoryMesh, key: str) -> list[int]:
    kept = [
        decode_kept(own.value)
        for own in mesh.broker.records(topics.state(NAME))
        if own.key == key.encode()
    ]
    return [getattr(own, "version", 0) for own in kept]


# --- in peace -----------------------------------------------------------------------------------


async def test_a_handler_reads_writes_and_reads_what_it_wrote() -> None:
    async with MemoryMesh(desk) as mesh:
        first = await mesh.submit(rate, Ask())
        assert first.value.text == "0 1 accepted 1"
        assert (await mesh.submit(rate, Ask())).value.text == "1 2 accepted 2"
        entry = mesh.entry("suppliers/acme", Rating)
        assert (entry.value, entry.version, entry.agent) == (Rating(score=2), 2, "desk")
        assert mesh.violations() == []
        steps = [own for own in mesh.facts(first.workflow) if isinstance(own, f.StepFinished)]
        assert [(own.kind, own.name) for own in steps if own.kind is not StepKind.SLEEP] == [
            (StepKind.READ, "suppliers/acme"),
            (StepKind.WRITE, "suppliers/acme"),
            (StepKind.READ, "suppliers/acme"),
        ]
        ended = mesh.facts(first.workflow)[-1]
        assert isinstance(ended, f.WorkFinished)
        assert ended.spent.tool_calls == 0


async def test_the_change_leaves_after_its_beginning_is_on_the_audit_stream() -> None:
    async with MemoryMesh(desk) as mesh:
        result = await mesh.submit(rate, Ask())
        (change,) = changes(mesh)
        assert (change.workflow, change.step, change.because) == (result.workflow, "2", "I looked")
        assert change.scope == ("suppliers",)
        kinds = mesh.kinds(result.workflow)
        begun = [
            own
            for own in mesh.facts(result.workflow)
            if isinstance(own, f.StepBegun) and own.kind is StepKind.WRITE
        ]
        assert len(begun) == 1
        assert kinds.count("StepBegun") == 2


@pytest.mark.parametrize("seed", range(4))
async def test_counting_at_once_loses_nothing(seed: int) -> None:
    """Each update is applied once, whatever the writers' order."""
    async with MemoryMesh(counter, instances=3, settings=Settings(slots=8)) as mesh:
        name = f"clicks-{seed}"
        begun = [await mesh.begin(count, Ask(name=name, times=3)) for _ in range(4)]
        results = [await mesh.finish(own) for own in begun]
        made = sorted(int(own) for result in results for own in result.value.text.split())
        assert made == list(range(1, 13))
        assert mesh.entry(f"counts/{name}", Rating).value == Rating(score=12)
        assert versions(mesh, f"counts/{name}") == list(range(1, 13))
        assert mesh.violations() == []


async def test_one_that_is_late_is_told_who_was_first() -> None:
    async with MemoryMesh(desk) as mesh:
        begun = await mesh.begin(rate, Ask())
        await mesh.put("suppliers/acme", {"score": 9}, agent="rival")
        result = await mesh.finish(begun)
        assert result.status is Status.COMPLETED  # the second attempt read it anew
        assert result.value.text == "1 2 accepted 2"
        assert mesh.entry("suppliers/acme").value == {"score": 10}
        failed = [own for own in mesh.facts(result.workflow) if isinstance(own, f.WorkFinished)]
        assert (
            "Conflict: suppliers/acme: version 0 was expected, and rival wrote" in failed[0].error
        )


# --- rules --------------------------------------------------------------------------------------

ruled = Agent("ruled", owner="team", reads=["*"], writes=["*"])


@ruled.capability("ruled.write")
async def write_late(ctx: Context, ask: Ask) -> Told:
    """Write what expects nothing to be there."""
    try:
        made = await ctx.shared.write(ask.name, ["mine"], expected_version=0, objective="cost")
    except Contested as problem:
        return Told(text=f"contested with {problem.agent}: {problem.value}")
    except Conflict as problem:
        return Told(text=f"conflict with {problem.agent} at {problem.version}: {problem.value}")
    except WriteRefused as problem:
        return Told(text=f"refused: {problem}")
    found = await ctx.shared.read(ask.name)
    return Told(text=f"{made.verdict}: {found.value}")


RULES = {"plan": "arbitrate", "found": "union", "one": "reject"}


@pytest.mark.parametrize(
    ("key", "objective", "words"),
    [
        ("one/x", "", "conflict with rival at 1: ['theirs']"),
        ("found/x", "", "merged: ['mine', 'theirs']"),
        ("plan/x", "speed", "preferred: ['mine']"),
        ("plan/x", "cost", "contested with rival: ['theirs']"),
        ("plan/x", "risk", "conflict with rival at 1: ['theirs']"),
        ("none/x", "", "refused: no rule reaches none/x; add one for its prefix by"),
    ],
)
async def test_conflicts_are_resolved_by_rule(key: str, objective: str, words: str) -> None:
    objectives = ["risk", "cost", "speed"]
    async with MemoryMesh(ruled, rules=RULES, objectives=objectives) as mesh:
        await mesh.put(key, ["theirs"], agent="rival", objective=objective)
        result = await mesh.submit(write_late, Ask(name=key))
        assert result.value.text.startswith(words)
        assert mesh.entry(key).contested is (Verdict.CONTESTED in result.value.text)


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"rules\['a'\] 'sum': it is one of reject, arbitr"):
        rules_of({"a": "sum"}, [])
    with pytest.raises(DefinitionError, match="to arbitrate needs objectives"):
        MemoryMesh(rules={"a": "arbitrate"})


# --- without a processor ------------------------------------------------------------------------


async def test_writes_wait_while_the_processor_is_away_and_other_work_goes_on() -> None:
    async with MemoryMesh(desk, ruled, rules={"*": "reject"}) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(rate, Ask())
        await mesh.advance("60s")
        assert begun.result() is None
        # after 5 and 15 s; who is resumed after half a minute proposes it again, and asks likewise
        assert len(changes(mesh)) <= 6
        await mesh.processor.start()
        result = await mesh.finish(begun)
        assert result.value.text == "0 1 accepted 1"
        assert versions(mesh, "suppliers/acme") == [1]
        assert mesh.violations() == []


async def test_a_worker_that_goes_on_for_a_dead_one_proposes_the_same_change() -> None:
    async with MemoryMesh(desk, instances=2) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(rate, Ask())
        await mesh.advance("2s")
        (first,) = changes(mesh)
        mesh.kill(first.by.instance)
        await mesh.advance("30s")
        await mesh.processor.start()
        result = await mesh.finish(begun)
        assert result.value.text == "0 1 accepted 1"
        proposed = changes(mesh)
        assert {own.change for own in proposed} == {first.change}
        assert len({own.by.instance for own in proposed}) == 2
        assert versions(mesh, "suppliers/acme") == [1]
        assert mesh.violations() == []


@pytest.mark.parametrize("others", [RECENT - 1, RECENT, RECENT + 1, 3 * RECENT])
async def test_who_goes_on_for_a_dead_one_is_told_what_became_of_its_write(others: int) -> None:
    """However much came since: the entry has forgotten it, the log of entries has not."""
    async with MemoryMesh(desk, instances=2) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(rate, Ask())
        await mesh.advance("2s")
        (first,) = changes(mesh)
        mesh.kill(first.by.instance)
        await mesh.processor.start()
        await mesh.settle()
        assert mesh.entry("suppliers/acme").version == 1
        for number in range(others):
            await mesh.put("suppliers/acme", {"score": number}, agent="rival")
        result = await mesh.finish(begun)
        assert result.value.text == f"0 1 accepted {others + 1}"
        assert mesh.entry("suppliers/acme").version == others + 1
        assert mesh.violations() == []


async def test_whoever_dies_at_a_busy_key_counts_once() -> None:
    """Others write it so often meanwhile that its entry remembers nothing of the dead one."""
    killed = await crash_at_every_step(counter, crowd, Ask(name="busy"), peers=[boss, rival])
    assert killed >= 3 * 5


async def test_who_drains_with_a_write_on_its_way_hands_it_over() -> None:
    async with MemoryMesh(desk, instances=2) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(rate, Ask())
        await mesh.advance("2s")
        (first,) = changes(mesh)
        (leaving,) = mesh._find(first.by.instance).process.instances
        leaving.give(i.Drain())
        await mesh.advance("10s")
        await mesh.processor.start()
        result = await mesh.finish(begun)
        assert result.value.text == "0 1 accepted 1"
        proposed = changes(mesh)
        assert {own.change for own in proposed} == {first.change}
        assert len({own.by.instance for own in proposed}) == 2
        assert versions(mesh, "suppliers/acme") == [1]
        assert "WorkSuspended" in mesh.kinds(begun.workflow)
        assert mesh.violations() == []


async def test_who_waits_long_for_a_verdict_gives_its_slot_up() -> None:
    """One slot, a processor that is away for minutes, and work that does not need it."""
    async with MemoryMesh(desk, settings=Settings(slots=1)) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(rate, Ask())
        other = await mesh.begin(look, Ask())
        await mesh.advance("40s")
        assert other.result() is not None
        await mesh.advance("3m")
        assert begun.result() is None
        assert 2 <= mesh.kinds(begun.workflow).count("WorkSuspended") <= 4
        assert len(changes(mesh)) <= 16
        await mesh.processor.start()
        assert (await mesh.finish(begun)).value.text == "0 1 accepted 1"
        assert {own.change for own in changes(mesh)} == {changes(mesh)[0].change}
        assert versions(mesh, "suppliers/acme") == [1]
        assert mesh.violations() == []


async def test_a_write_beside_a_long_sleep_ends_before_the_handler_is_suspended() -> None:
    async with MemoryMesh(desk) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(wait_and_rate, Ask())
        await mesh.advance("20s")
        assert "WorkSuspended" not in mesh.kinds(begun.workflow)
        await mesh.processor.start()
        await mesh.advance("20s")
        assert "WorkSuspended" in mesh.kinds(begun.workflow)
        assert (await mesh.finish(begun)).value.text == "1"
        assert versions(mesh, "suppliers/acme") == [1]
        assert mesh.violations() == []


async def test_a_copy_is_refused_while_the_next_is_accepted() -> None:
    """The rules came between the two: what is believed is what was said of the last."""
    async with MemoryMesh(ruled, rules={"other": "reject"}) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(write_late, Ask(name="one/x"))
        await mesh.advance(f"{AGAIN_MS - 1_000}ms")
        mesh.processor.adopt(rules_of({"*": "reject"}, [])._replace(version=2))
        await mesh.advance("2s")
        assert len(changes(mesh)) == 2
        await mesh.processor.start()
        assert (await mesh.finish(begun)).value.text == "accepted: ['mine']"


async def test_a_processor_is_started_once_and_stopped_as_often_as_one_likes() -> None:
    async with MemoryMesh(desk) as mesh:
        with pytest.raises(UsageError, match="the processor is running"):
            await mesh.processor.start()
        assert "Keeper" in repr(mesh.processor)
        await mesh.processor.stop()
        await mesh.processor.stop()
        assert repr(mesh.processor) == "Processing(stopped)"
        assert mesh.entry("suppliers/none").version == 0
        await mesh.processor.start()
        deleted = await mesh.put("suppliers/acme", None)
        assert (deleted.value, deleted.version) == (None, 1)


# --- crashes ------------------------------------------------------------------------------------


async def test_no_crash_doubles_or_loses_a_write() -> None:
    """Killed at each fact of read, write and update: one result, and the same shared state."""
    assert await crash_at_every_step(desk, rate, Ask()) == 30
    assert await crash_at_every_step(counter, count, Ask(times=2)) > 20
    killed = await crash_at_every_step(
        ruled,
        write_late,
        Ask(name="plan/x"),
        rules=RULES,
        objectives=["risk", "cost"],
        entries={"plan/x": ["theirs"]},
    )
    assert killed == 18


watcher = Agent("watcher", owner="team", reads=["jobs"], writes=["jobs"])


@watcher.capability("watcher.follow")
async def follow(ctx: Context, ask: Ask) -> Told:
    seen = []
    async for job in ctx.shared.watch("jobs", type=str):
        seen.append(f"{job.key}@{job.version}={job.value}")
        if job.version < 3:
            await ctx.shared.write(job.key, f"v{job.version}", expected_version=job.version)
        if len(seen) == ask.times:
            break
    return Told(text=" ".join(seen))


async def test_a_watch_goes_on_over_crashes_and_sees_each_change_once() -> None:
    async with MemoryMesh(watcher) as mesh:
        await mesh.put("jobs/a", "x")
        result = await mesh.submit(follow, Ask(times=3))
        assert result.value.text == "jobs/a@1=x jobs/a@2=v1 jobs/a@3=v2"
    assert await crash_at_every_step(watcher, follow, Ask(times=3), entries={"jobs/a": "x"}) == 33


async def test_a_watch_waits_for_what_others_write() -> None:
    async with MemoryMesh(watcher) as mesh:
        begun = await mesh.begin(follow, Ask(times=2))
        assert begun.result() is None
        await mesh.put("elsewhere/a", 1)
        await mesh.put("jobs/b", "y", agent="rival")
        await mesh.put("jobs/c", "z")
        result = await mesh.finish(begun)
        assert result.value.text.startswith("jobs/b@1=y ")
        assert mesh.violations() == []


# --- everything at once -------------------------------------------------------------------------


class Trouble:
    """Mutable: the fate of appends: changes and verdicts are lost, or doubled, by chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.lost = 0

    def fate(self, appending: Appending) -> Fate:
        about = topics.parse(appending.place.topic)
        kind = about.kind if about is not None else None
        verdict = kind is topics.Kind.INBOX and _is_verdict(appending.value)
        if (kind is topics.Kind.CHANGES or verdict) and self.random.random() < 0.3:
            self.lost += 1
            return self.random.choice((Fate.LOST, Fate.UNKNOWN, Fate.TWICE))
        return Fate.LANDS


def _is_verdict(value: bytes | None) -> bool:
    return isinstance(decode_envelope(value).content, Judged)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_each_update_is_applied_once(seed: int) -> None:
    """Lost changes, lost verdicts, a processor that comes and goes, a worker that dies."""
    trouble = Trouble(seed)
    random = trouble.random
    async with MemoryMesh(counter, instances=3) as mesh:
        mesh.broker.fate = trouble.fate
        begun = [await mesh.begin(count, Ask(name="x", times=2)) for _ in range(5)]
        for _ in range(3):
            await mesh.processor.stop()
            await mesh.advance(f"{random.randint(1, 20)}s")
            await mesh.processor.start()
            await mesh.advance(f"{random.randint(1, 2_000)}ms")
        mesh.kill(random.choice(mesh.instances))
        results = [await mesh.finish(own) for own in begun]
        made = sorted(int(own) for result in results for own in result.value.text.split())
        assert trouble.lost > 0
        assert made == list(range(1, 11))
        assert mesh.entry("counts/x", Rating).value == Rating(score=10)
        assert sorted(set(versions(mesh, "counts/x"))) == made
        assert mesh.violations() == []
