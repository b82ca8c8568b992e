from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core import calls as c
from mesh.core.shared import MAX_VALUE_BYTES, MAX_WRITES, Verdict
from mesh.core.values import StepKind
from mesh.errors import (
    Conflict,
    Contested,
    OutcomeUnknown,
    ScopeError,
    StateError,
    UsageError,
    ValueMismatch,
    WriteRefused,
)
from mesh.runtime.bodies import body
from mesh.runtime.context import Context
from mesh.runtime.services import Part
from mesh.runtime.shared import PAUSE_MS, RETRIES, Shared, Written
from tests.unit.runtime.contexts import begun, core_for, raised
from tests.unit.runtime.entries import ENTRY, entry, record, replica
from tests.unit.runtime.fake_core import FakeCore


class Rating(BaseModel):
    score: int
    total: Decimal = Decimal("1.50")


SCOPE: dict[str, Any] = {"reads": ("a",), "writes": ("a",)}


def found(value: str = "1", version: int = 1, key: str = "a/b", **other: Any) -> bytes:
    """Return a read's record; the value as JSON."""
    contested = "true" if other.get("contested") else "false"
    return (
        f'{{"agent":"other","contested":{contested},"key":"{key}","task":"0-t",'
        f'"value":{value},"version":{version}}}'
    ).encode()


def verdict(
    word: Verdict, *entries: bytes, versions: tuple[int, ...] = (), reason: str = ""
) -> bytes:
    listed = ",".join(own.decode() for own in entries or (found(),))
    made = ",".join(map(str, versions))
    return (
        f'{{"verdict":"{word}","reason":"{reason}","versions":[{made}],"entries":[{listed}]}}'
    ).encode()


async def told(work: Callable[[Context], Awaitable[object]], *answers: bytes) -> FakeCore:
    """Run a handler and give each of its steps the next answer."""
    core = await begun(work, **SCOPE)
    for contents in answers:
        (step,) = core.pending
        failed = b'"verdict":"' in contents and not any(
            f'"verdict":"{own}"'.encode() in contents for own in ("accepted", "merged", "preferred")
        )
        core.answer(step, contents=body(contents), error="it is not in force" if failed else "")
        await core.settle()
    return core


async def got(work: Callable[[Context], Awaitable[object]], *answers: bytes) -> object:
    """Return what a handler's work returned or raised."""
    results: list[object] = []

    async def watched(ctx: Context) -> str:
        try:
            results.append(await work(ctx))
        except StateError as problem:
            results.append(problem)
        return "done"

    core = await told(watched, *answers)
    assert core.finished is not None, core.pending
    return results[0]


# --- reading ------------------------------------------------------------------------------------


async def test_a_read_is_a_step_and_what_it_found_is_typed() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.shared.read("a/b", type=Rating)

    read = await got(work, found('{"score":3,"total":"0.10"}', 2))
    assert read == Shared(
        key="a/b",
        value=Rating(score=3, total=Decimal("0.10")),
        version=2,
        contested=False,
        agent="other",
        task="0-t",
    )


async def test_without_a_type_it_is_plain_json() -> None:
    async def work(ctx: Context) -> object:
        entry = await ctx.shared.read("a/b")
        return entry.value

    assert await got(work, found('{"x":[1,2.5,null,"y"]}')) == {"x": [1, 2.5, None, "y"]}


@pytest.mark.parametrize("version", [0, 4])
async def test_none_is_what_is_not_there_and_what_was_deleted(version: int) -> None:
    async def work(ctx: Context) -> object:
        entry = await ctx.shared.read("a/b", type=Rating)
        return entry.value, entry.version

    assert await got(work, found("null", version)) == (None, version)


async def test_any_type_hint_is_a_type() -> None:
    async def work(ctx: Context) -> object:
        return (await ctx.shared.read("a/b", type=dict[str, Decimal])).value

    assert await got(work, found('{"x":"1.10"}')) == {"x": Decimal("1.10")}


async def test_a_value_of_another_type_says_whose_it_is() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.shared.read("a/b", type=Rating)

    problem = await got(work, found('{"score":"high"}', 7))
    assert isinstance(problem, ValueMismatch)
    assert str(problem).startswith("version 7 of a/b, by other, is no Rating: ")
    assert (problem.key, problem.version, problem.value) == ("a/b", 7, {"score": "high"})


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda ctx: ctx.shared.read("a//b"), "key 'a//b': it is segments"),
        (lambda ctx: ctx.shared.read(7), "key 7"),
        (lambda ctx: ctx.shared.read("a/b", at_least=-1), "at_least: must be the version"),
        (lambda ctx: ctx.shared.write("a/b", 1, expected_version=True), "expected_version"),
        (lambda ctx: ctx.shared.write("a/b", 1, expected_version="3"), "expected_version"),
        (lambda ctx: ctx.shared.write("a/b", float("nan"), expected_version=0), "a/b: float has"),
        (lambda ctx: ctx.shared.write("a/b", object(), expected_version=0), "no JSON form"),
        (lambda ctx: ctx.shared.write("a/b", 2**60 + 1, expected_version=0), "no JSON form"),
        (lambda ctx: ctx.shared.write("a/b", "\ud800", expected_version=0), "no JSON form"),
        (
            lambda ctx: ctx.shared.write("a/b", "x" * MAX_VALUE_BYTES, expected_version=0),
            "put it into an artifact",
        ),
        (lambda ctx: ctx.shared.write("a b", 1, expected_version=0), "key 'a b'"),
        (lambda ctx: ctx.shared.write("a/b", 1, expected_version=0, because=None), "are texts"),
        (
            lambda ctx: ctx.shared.write("a/b", 1, expected_version=0, objective="x" * 201),
            "are texts",
        ),
        (lambda ctx: ctx.shared.write_all({}), "1 to 32 keys, this has 0"),
        (
            lambda ctx: ctx.shared.write_all({"a/b": (1, 0), "a/c/d": (1, 0)}),
            "share the part before the last `/`; these are of 'a', 'a/c'",
        ),
        (
            lambda ctx: ctx.shared.write_all({f"a/{n}": (1, 0) for n in range(MAX_WRITES + 1)}),
            "this has 33",
        ),
        (
            lambda ctx: ctx.shared.write_all({f"a/{n}": ("x" * 50_000, 0) for n in range(3)}),
            "150006 bytes together",
        ),
        (lambda ctx: ctx.shared.update("a/b", lambda _: 1, retries=-1), "retries is -1"),
        (lambda ctx: ctx.shared.update("a b", lambda _: 1), "key 'a b'"),
    ],
)
async def test_mistakes_are_found_before_anything_is_done(
    work: Callable[[Context], Awaitable[object]], words: str
) -> None:
    problem = await raised(work, **SCOPE)
    assert type(problem) is UsageError
    assert words in str(problem)


async def test_a_watch_of_no_prefix_is_a_mistake() -> None:
    async def work(ctx: Context) -> object:
        return ctx.shared.watch("a b")

    assert "prefix 'a b'" in str(await raised(work, **SCOPE))


async def write_outside(ctx: Context) -> object:
    return await ctx.shared.write("secret/x", 1, expected_version=0)


async def update_unread(ctx: Context) -> object:
    return await ctx.shared.update("w/x", lambda _: 1)


async def watch_too_much(ctx: Context) -> object:
    async for own in ctx.shared.watch("*"):
        return own
    return None


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (
            lambda ctx: ctx.shared.read("secret/x"),
            "agent tester may not read secret/x: add 'secret' to Agent(reads=[...]); it has a",
        ),
        (write_outside, "may not write secret/x: add 'secret' to Agent(writes=[...]); it has a, w"),
        (update_unread, "agent tester may not read w/x: add 'w' to Agent(reads=[...])"),
        (lambda ctx: ctx.shared.update("r/x", lambda _: 1), "may not write r/x"),
        (watch_too_much, "may not read *: add '*' to"),
    ],
)
async def test_what_the_card_does_not_allow_names_what_to_declare(
    work: Callable[[Context], Awaitable[object]], words: str
) -> None:
    problem = await raised(work, reads=("a",), writes=("a", "w"))
    assert type(problem) is ScopeError
    assert words in str(problem)


async def test_an_agent_that_declares_nothing_is_told_so() -> None:
    problem = await raised(write_outside)
    assert str(problem).endswith("add 'secret' to Agent(writes=[...])")


# --- writing ------------------------------------------------------------------------------------


async def write_one(ctx: Context) -> object:
    return await ctx.shared.write("a/b", Rating(score=3), expected_version=1, because="so")


async def test_a_write_returns_its_version() -> None:
    written = await got(write_one, verdict(Verdict.ACCEPTED, found(version=2), versions=(2,)))
    assert written == Written(key="a/b", version=2, verdict=Verdict.ACCEPTED)


@pytest.mark.parametrize("word", [Verdict.MERGED, Verdict.PREFERRED])
async def test_a_write_may_be_in_force_in_other_ways(word: Verdict) -> None:
    written = await got(write_one, verdict(word, found(version=5), versions=(5,)))
    assert isinstance(written, Written)
    assert (written.version, written.verdict) == (5, word)


async def test_a_conflict_tells_the_entry_as_it_is_now() -> None:
    late = verdict(Verdict.CONFLICT, found('{"score":9}', 4), reason="other wrote version 4")
    problem = await got(write_one, late)
    assert type(problem) is Conflict
    assert str(problem) == problem.reason == "other wrote version 4"
    assert (problem.key, problem.version, problem.value) == ("a/b", 4, {"score": 9})
    assert (problem.agent, problem.task, problem.versions) == ("other", "0-t", {"a/b": 4})


@pytest.mark.parametrize("word", [Verdict.CONTESTED, Verdict.CONFLICT])
async def test_what_a_person_must_settle_is_told_apart(word: Verdict) -> None:
    problem = await got(write_one, verdict(word, found(version=4, contested=True)))
    assert type(problem) is Contested


async def test_what_nobody_can_tell_is_no_conflict_and_an_update_does_not_try_again() -> None:
    late = verdict(Verdict.CONFLICT, found(version=40), reason="too much came since")
    late = late.replace(b"{", b'{"forgotten":true,', 1)
    problem = await got(write_one, late)
    assert type(problem) is OutcomeUnknown
    assert (problem.key, problem.version, str(problem)) == ("a/b", 40, "too much came since")

    async def work(ctx: Context) -> object:
        return await ctx.shared.update("a/b", lambda value: (value or 0) + 1)

    assert type(await got(work, found(version=1), late)) is OutcomeUnknown


async def test_what_no_rule_allows_is_told_apart() -> None:
    problem = await got(write_one, verdict(Verdict.REFUSED, found("null", 0), reason="no rule"))
    assert type(problem) is WriteRefused
    assert str(problem) == "no rule"


async def test_several_keys_are_one_step_and_the_one_that_is_late_is_named() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.shared.write_all({"a/b": (1, 1), "a/c": (None, 2)})

    both = (found(version=2), found("null", 3, "a/c"))
    made = await got(work, verdict(Verdict.ACCEPTED, *both, versions=(2, 3)))
    assert made == {
        "a/b": Written(key="a/b", version=2, verdict=Verdict.ACCEPTED),
        "a/c": Written(key="a/c", version=3, verdict=Verdict.ACCEPTED),
    }
    late = (found(version=1), found("7", 3, "a/c"))
    problem = await got(work, verdict(Verdict.CONFLICT, *late))
    assert isinstance(problem, Conflict)
    assert (problem.key, problem.version, problem.value) == ("a/c", 3, 7)
    assert problem.versions == {"a/b": 1, "a/c": 3}


async def test_a_step_without_a_record_says_what_became_of_it() -> None:
    core = core_for(write_one, **SCOPE)
    core.start()
    await core.settle()
    core.answer("0", error="cancelled, and its outcome is unknown")
    await core.settle()
    assert core.error.startswith("mesh.errors.StateError: cancelled, and its outcome is unknown")


async def test_a_write_is_performed_as_an_effect_of_its_own() -> None:
    core = await begun(write_one, **SCOPE)
    (call,) = core.calls.values()
    assert isinstance(call, c.Use)
    assert (call.kind, call.name) == (StepKind.WRITE, "a/b")
    core.perform("0")
    await core.settle()
    assert core.error.startswith("mesh.errors.StateError: this process has no part")


# --- what one knows of its own writes -----------------------------------------------------------


@pytest.mark.parametrize(
    "recorded",
    [
        verdict(Verdict.ACCEPTED, found(version=5), versions=(5,)),
        verdict(Verdict.CONFLICT, found(version=5)),
        found(version=5),
    ],
)
async def test_what_a_handler_knows_of_is_waited_for(recorded: bytes) -> None:
    """Of its own write, of a conflict, of a read before: also when those came from the journal."""
    held = replica(ENTRY)

    async def work(ctx: Context) -> object:
        try:
            if b"verdict" in recorded:
                await ctx.shared.write("a/b", 1, expected_version=1)
            else:
                await ctx.shared.read("a/b")
        except Conflict:
            pass
        return (await ctx.shared.read("a/b")).version

    core = await begun(work, part=Part(None, held), **SCOPE)
    core.answer("0", contents=body(recorded))
    await core.settle()
    core.perform("1")
    await core.settle()
    assert core.finished is None
    held.take(record(entry(version=5)))
    await core.settle()
    assert core.result == b'{"text":"5"}'


async def test_a_version_that_somebody_told_of_is_waited_for() -> None:
    held = replica(ENTRY)

    async def work(ctx: Context) -> object:
        return (await ctx.shared.read("a/b", at_least=2)).version

    core = await begun(work, part=Part(None, held), **SCOPE)
    core.perform("0")
    await core.settle()
    assert core.finished is None
    held.take(record(entry(version=2)))
    await core.settle()
    assert core.result == b'{"text":"2"}'


# --- updating -----------------------------------------------------------------------------------


async def add_one(ctx: Context) -> object:
    return (await ctx.shared.update("a/b", lambda count: (count or 0) + 1, type=int)).version


def accepted(version: int) -> bytes:
    return verdict(Verdict.ACCEPTED, found(version=version), versions=(version,))


def late(version: int) -> bytes:
    return verdict(Verdict.CONFLICT, found(version=version))


async def test_an_update_reads_and_writes_on() -> None:
    core = await told(add_one, found("4", 7), accepted(8))
    assert core.result == b'{"text":"8"}'
    kinds = [call.kind for call in core.calls.values() if isinstance(call, c.Use)]
    assert kinds == [StepKind.READ, StepKind.WRITE]


async def test_an_update_that_conflicts_is_made_again_at_once_then_after_pauses() -> None:
    def answers(times: int) -> list[bytes]:
        rounds: list[bytes] = []
        for number in range(times):
            rounds += [found("1", number + 1), late(number + 2)]
            rounds += [b"null"] if number else []
        return rounds

    core = await told(add_one, *answers(4), found("1", 9), accepted(10))
    assert core.result == b'{"text":"10"}'
    pauses = [call.ms for call in core.calls.values() if isinstance(call, c.Sleep)]
    assert len(pauses) == 3
    for number, pause in enumerate(pauses, 1):
        assert PAUSE_MS << number >= pause >= (PAUSE_MS << number) // 2


async def test_an_update_that_changes_nothing_writes_nothing() -> None:
    def same(members: dict[str, int] | None) -> dict[str, int]:
        assert members is not None
        members["a"] = 1  # in place: it is the same object, and was the same value
        return members

    async def work(ctx: Context) -> object:
        return (await ctx.shared.update("a/b", same, type=dict[str, int])).version

    core = await told(work, found('{"a": 1}', 7))
    assert core.result == b'{"text":"7"}'
    core = await told(work, found('{"a": 2}', 7), accepted(8))
    assert core.result == b'{"text":"8"}'


async def test_an_update_of_what_is_contested_is_judged() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.shared.update("a/b", lambda value: value)

    contested = verdict(Verdict.CONTESTED, found(version=2, contested=True))
    assert type(await got(work, found(version=2, contested=True), contested)) is Contested


async def test_updates_end_at_their_bound() -> None:
    async def work(ctx: Context) -> object:
        return await ctx.shared.update("a/b", lambda _: 2, retries=1)

    assert RETRIES > 1
    problem = await got(work, found(), late(2), found(version=2), late(3))
    assert isinstance(problem, Conflict)
    assert problem.version == 3


async def test_what_a_person_must_settle_is_not_tried_again() -> None:
    contested = verdict(Verdict.CONTESTED, found(version=2, contested=True))
    assert type(await got(add_one, found(), contested)) is Contested


async def test_a_replay_pauses_as_long_as_the_first_time() -> None:
    rounds = (found(), late(2), found(version=2), late(3))
    first, second = [await told(add_one, *rounds) for _ in range(2)]
    pause = first.calls["4"]
    assert isinstance(pause, c.Sleep)
    assert pause == second.calls["4"]


# --- watching -----------------------------------------------------------------------------------


async def watch_two(ctx: Context) -> object:
    seen = []
    async for own in ctx.shared.watch("a", type=int):
        seen.append(f"{own.key}@{own.version}")
        if len(seen) == 2:
            break
    return " ".join(seen)


async def test_a_watch_is_a_step_for_each_entry() -> None:
    held = replica(ENTRY)
    core = await begun(watch_two, part=Part(None, held), **SCOPE)
    core.perform("0")
    await core.settle()
    core.perform("1")
    await core.settle()
    assert core.finished is None
    held.take(record(entry("a/c", 3)))
    await core.settle()
    assert core.result == b'{"text":"a/b@1 a/c@3"}'
    names = {call.name for call in core.calls.values() if isinstance(call, c.Use)}
    assert names == {"a/*"}


async def test_a_replayed_watch_goes_on_behind_what_it_saw() -> None:
    core = core_for(watch_two, part=Part(None, replica(ENTRY, entry("a/c", 3))), **SCOPE)
    core.start()
    await core.settle()
    core.answer("0", contents=body(found(version=1)))
    await core.settle()
    core.perform("1")
    await core.settle()
    assert core.result == b'{"text":"a/b@1 a/c@3"}'


async def test_a_watch_is_looked_at_by_one_path() -> None:
    async def work(ctx: Context) -> object:
        watch = ctx.shared.watch("a")
        return await asyncio.gather(anext(watch), anext(watch))

    core = await begun(work, part=Part(None, replica()), **SCOPE)
    core.answer("0.0", error="cancelled")
    await core.settle()
    assert "one path at a time" in core.error


async def test_everything_may_be_watched() -> None:
    async def work(ctx: Context) -> object:
        async for own in ctx.shared.watch("*"):
            return own.key
        return None

    held = replica(entry("z/y"), prefixes=("*",))
    core = await begun(work, part=Part(None, held), reads=("*",))
    core.perform("0")
    await core.settle()
    assert core.result == b'{"text":"z/y"}'
    (call,) = core.calls.values()
    assert isinstance(call, c.Use)
    assert call.name == "*"


# --- beside it ----------------------------------------------------------------------------------


async def test_an_entry_is_evidence() -> None:
    async def work(ctx: Context) -> object:
        entry = await ctx.shared.read("a/b")
        await ctx.record_decision("buy", because="rated well", evidence=[entry])
        return repr(ctx.shared)

    core = await told(work, found(version=4), b"null")
    decision = core.calls["1"]
    assert isinstance(decision, c.Decide)
    assert decision.evidence == ("state:a/b@4",)
    assert "SharedState({'a/b': 4})" in core.result.decode()
