"""Plain confluent-kafka submits JSON and gets JSON; whatever it sends, the partition goes on."""

from __future__ import annotations

import ast
import json
from functools import partial

from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.core.settings import MAX_EVENT_BYTES
from mesh.ports import Place
from mesh.wire import topics
from mesh.wire.entries import DeadLetter, encode_entry
from tests.integration.world import LEASE, World, eventually
from tests.outside.clients import CLIENT, record, submit_plainly

RECORDS = 1_000


class Item(BaseModel):
    name: str
    count: int


class Order(BaseModel):
    n: int
    items: list[Item] = []


class Sum(BaseModel):
    n: int
    total: int


def shop() -> Agent:
    agent = Agent("shop", owner="team")

    @agent.capability("shop.order", lease=LEASE)
    async def order(ctx: Context, given: Order) -> Sum:
        return Sum(n=given.n, total=sum(item.count for item in given.items))

    return agent


def test_the_client_imports_nothing_of_mesh() -> None:
    tree = ast.parse(CLIENT.read_text("utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in names}
    assert roots == {"__future__", "json", "sys", "time", "typing", "confluent_kafka"}


async def test_a_thousand_records_get_a_thousand_replies(world: World) -> None:
    await world.open(shop(), partitions=topics.Partitions(tasks=4, inbox=4, audit=2, replies=3))
    await world.start(shop())
    await world.start(shop())
    trace = "00-{:032x}-00f067aa0ba902b7-01"
    records = [
        record(
            json.dumps({"n": n, "items": [{"name": "chair", "count": n}]}).encode(),
            f"id-{n}",
            ("ce-id", f"order-{n}"),
            ("budget", '{"usd": "0.50", "tokens": 1000}'),
            ("timeout-ms", "60000"),
            ("traceparent", trace.format(n + 1)),
            ("x-foreign", "is nobody's concern"),
        )
        for n in range(RECORDS)
    ]
    ids = [f"id-{n}" for n in range(RECORDS)]
    answers = await submit_plainly(world, "shop.order", records, ids)
    assert sorted(answers) == sorted(ids)
    for n, name in enumerate(ids):
        assert [answer["status"] for answer in answers[name]] == ["completed"]
        assert answers[name][0]["result"] == {"n": n, "total": n}
        assert answers[name][0]["workflow"] == answers[name][0]["task"]
    await world.ended(answers[ids[-1]][0]["workflow"])
    for name in ("id-0", "id-999"):
        opened: f.TaskOpened = world.story.of(answers[name][0]["workflow"], f.TaskOpened)[0]
        assert opened.traceparent == trace.format(int(name[3:]) + 1)
        assert (opened.grant.micro_usd, opened.grant.tokens) == (500_000, 1_000)
        assert opened.event_id == f"order-{name[3:]}"
    assert len({answers[name][0]["workflow"] for name in ids}) == RECORDS


NESTED = b"[" * 100_000
CARD = encode_entry(shop().card())
LETTERS: dict[str, tuple[bytes | None, str]] = {
    "neither": (b"\x00\x01\x02 not a thing", "no JSON"),
    "empty": (b"", "no JSON"),
    "cut": (b'{"n": 1', "no JSON"),
    "fingerprint": (b"\xc3\x01" + b"\x11" * 8 + b"what", "unknown fingerprint 1111111111111111"),
    "marker": (b"\xc3\x01", "ends within the fingerprint"),
    "another-kind": (CARD, "Card where a request is due"),
    "too-large": (b'"' + b"x" * MAX_EVENT_BYTES + b'"', f"{MAX_EVENT_BYTES} are allowed"),
    "null": (None, "the value is null"),
    "utf-8": (b'{"n": 1, "items": "\xff\xfe"}', "no UTF-8 at byte 19"),
    "deep": (NESTED, "deeper than 64"),
    "nan": (b'{"n": NaN}', "NaN is no JSON"),
    "twice": (b'{"n": 1, "n": 2}', "member 'n' is there twice"),
    "digits": (b'{"n": ' + b"9" * 5_000 + b"}", "an integer whose digits"),
    "surrogate": (b'{"n": "\\ud800"}', "half of a surrogate pair"),
}


async def test_what_cannot_be_read_is_a_dead_letter_and_the_partition_goes_on(world: World) -> None:
    await world.run(shop())
    records = []
    for name, (value, _) in LETTERS.items():
        records.append(record(value, f"bad-{name}", ("x-trace", "kept")))
        records.append(record(b'{"n": 1}', f"good-{name}"))
    good = [f"good-{name}" for name in LETTERS]
    answers = await submit_plainly(world, "shop.order", records, good)
    assert sorted(answers) == sorted(good)
    assert all(answers[name][0]["status"] == "completed" for name in good)
    letters = world.dead_letters.letters
    await world.dead_letters.until(lambda: len(letters) == len(LETTERS))
    topic = topics.tasks(world.mesh, "shop.order")
    for letter, (name, (value, reason)) in zip(letters, LETTERS.items(), strict=True):
        assert reason in letter.reason, name
        assert (letter.topic, letter.partition) == (topic, 0)
        assert letter.offset == 2 * list(LETTERS).index(name)
        assert letter.value_size == len(value or b"")
        kept = value[: MAX_EVENT_BYTES // 2] if value and name == "too-large" else value
        assert letter.value == kept
        assert ("x-trace", b"kept") in [tuple(header) for header in letter.headers]
        assert letter.by == world.processes[0].instances[0].me.instance
    counts = world.processes[0].instances[0].counts
    assert counts["dead_letters"] == len(LETTERS)


REJECTED: dict[str, tuple[bytes, list[tuple[str, str | None]], str, str]] = {
    "missing": (b'{"items": []}', [], "/n", "Field required"),
    "path": (
        b'{"n": 1, "items": [{"name": "a", "count": 1}, {"name": "b", "count": "many"}]}',
        [],
        "/items/1/count",
        "Input should be a valid integer",
    ),
    "no-object": (b'"text"', [], "", "Input should be an object"),
    "budget-json": (b'{"n": 1}', [("budget", "plenty")], "budget", "no JSON"),
    "budget-list": (b'{"n": 1}', [("budget", "[1]")], "budget", "not a JSON object"),
    "budget-name": (b'{"n": 1}', [("budget", '{"euro": 1}')], "budget", "unknown dimension 'euro'"),
    "budget-zero": (
        b'{"n": 1}',
        [("budget", '{"usd": 0, "tokens": 0, "tool_calls": 0}')],
        "budget",
        "the budget is zero",
    ),
    "budget-negative": (b'{"n": 1}', [("budget", '{"usd": "-0.01"}')], "budget", "is negative"),
    "budget-ceiling": (
        b'{"n": 1}',
        [("budget", '{"usd": 1000001}')],
        "budget.micro_usd",
        "is above the ceiling of",
    ),
    "budget-bytes": (b'{"n": 1}', [("budget", "0xff")], "budget", "utf-8"),
    "budget-null": (b'{"n": 1}', [("budget", None)], "budget", "no JSON"),
    "deadline-past": (b'{"n": 1}', [("timeout-ms", "-5")], "timeout_ms", "in the past"),
    "deadline-zero": (b'{"n": 1}', [("timeout-ms", "0")], "timeout_ms", "in the past"),
    "deadline-words": (b'{"n": 1}', [("timeout-ms", "soon")], "timeout_ms", "not a number of"),
    "deadline-retention": (
        b'{"n": 1}',
        [("timeout-ms", str(8 * 24 * 3_600_000))],
        "timeout_ms",
        "the log is kept for",
    ),
    "deadline-age": (b'{"n": 1}', [("timeout-ms", "9" * 17)], "timeout_ms", "a century"),
    "ce-id-empty": (b'{"n": 1}', [("ce-id", "")], "event_id", "empty"),
    "ce-id-long": (b'{"n": 1}', [("ce-id", "x" * 201)], "event_id", "longer than 200"),
    "ce-id-twice": (b'{"n": 1}', [("ce-id", "a"), ("ce-id", "b")], "event_id", "given twice"),
}


def _at(letters: list[DeadLetter], offset: int) -> DeadLetter | None:
    return next((letter for letter in letters if letter.offset == offset), None)


BY_POLICY = {"budget-zero", "budget-negative", "budget-ceiling", "deadline-retention"}
"""Refused by what the operator allows, not for what the record is: no dead letter."""


async def test_what_does_not_fit_is_rejected_by_event_reply_and_dead_letter(world: World) -> None:
    await world.run(shop())
    records, names = [], []
    for name, (value, headers, _, _) in REJECTED.items():
        records.append(record(value, name, *headers))
        records.append(record(b'{"n": 1}', f"good-{name}"))
        names += [name, f"good-{name}"]
    answers = await submit_plainly(world, "shop.order", records, names)
    letters = world.dead_letters.letters
    for name, (value, _, field, reason) in REJECTED.items():
        answer = answers[name][0]
        assert answer["status"] == "rejected", name
        assert reason in answer["error"], name
        if field:
            assert field in answer["error"], name
        assert "result" not in answer
        assert answers[f"good-{name}"][0]["status"] == "completed", name
        workflow = answer["workflow"]
        await world.ended(workflow)
        assert world.story.kinds(workflow) == ["TaskOpened", "TaskRejected"], name
        fact: f.TaskRejected = world.story.of(workflow, f.TaskRejected)[0]
        assert fact.field.startswith(field), name
        assert reason in fact.reason, name
        if name in BY_POLICY:
            continue
        offset = 2 * list(REJECTED).index(name)
        letter = await world.dead_letters.until(partial(_at, letters, offset))
        assert letter.value == value
        assert reason in letter.reason
    assert len(letters) == len(REJECTED) - len(BY_POLICY)


async def test_replies_go_to_reply_topics_only(embedded_world: World) -> None:
    world = embedded_world
    await world.run(shop())
    foreign = ["other.replies.x", f"{world.mesh}.audit", f"{world.mesh}.replies.a.b", "0xff"]
    records = [
        record(b'{"n": 1}', f"bad-{n}", ("reply-topic", topic)) for n, topic in enumerate(foreign)
    ]
    answers = await submit_plainly(
        world, "shop.order", [*records, record(b'{"n": 1}', "good")], ["good"]
    )
    assert list(answers) == ["good"]
    await world.ended(answers["good"][0]["workflow"])
    facts = [told.fact for told in world.story.told]
    rejected = [fact for fact in facts if isinstance(fact, f.TaskRejected)]
    assert [fact.field for fact in rejected] == len(foreign) * ["reply_topic"]
    letters = world.dead_letters.letters
    await world.dead_letters.until(lambda: len(letters) == len(foreign))
    assert not world.story.garbage


async def test_a_reply_topic_that_is_not_there_harms_nobody(world: World) -> None:
    """The task is done; its reply is lost, which the audit stream makes good."""
    await world.run(shop())
    missing = topics.replies(world.mesh, "nobody")
    records = [record(b'{"n": 1}', "lost", ("reply-topic", missing))]
    records += [record(b'{"n": 1}', f"good-{n}") for n in range(5)]
    answers = await submit_plainly(world, "shop.order", records, [f"good-{n}" for n in range(5)])
    assert sorted(answers) == [f"good-{n}" for n in range(5)]
    await world.ended(answers["good-4"][0]["workflow"])
    ends = [t.fact for t in world.story.told if isinstance(t.fact, f.WorkFinished)]
    assert len(ends) == 6
    assert world.processes[0].ready


async def test_absurd_timestamps(world: World) -> None:
    """A broker that appends its own time takes no notice; where none does, it is a dead letter."""
    await world.run(shop())
    absurd = [2**62, 253_402_300_800_000, 1]
    records = [record(b'{"n": 1}', f"at-{n}", timestamp=at) for n, at in enumerate(absurd)]
    records.append(record(b'{"n": 1}', "good"))
    served = ["good"] if world.site.embedded else ["good", "at-0", "at-1", "at-2"]
    answers = await submit_plainly(world, "shop.order", records, served)
    assert all(answers[name][0]["status"] == "completed" for name in served)
    if not world.site.embedded:
        assert not world.dead_letters.letters
        return
    letters = world.dead_letters.letters
    await world.dead_letters.until(lambda: len(letters) >= 2)
    assert [letter.offset for letter in letters] == [0, 1]
    assert all("a timestamp of" in letter.reason for letter in letters)
    # a millisecond after 1970 is a time, and its deadline has passed
    assert [answer["status"] for answer in answers.get("at-2", [])] in ([], ["expired"])
    late = await world.replies.until(lambda: world.replies.answers.get("at-2"))
    assert late[0].status == "expired"


async def test_a_repeat_with_the_same_id_is_answered_and_not_run_again(world: World) -> None:
    ran: list[int] = []
    agent = Agent("counter", owner="team")

    @agent.capability("count.one", lease=LEASE)
    async def count(ctx: Context, given: Order) -> Sum:
        ran.append(given.n)
        return Sum(n=given.n, total=len(ran))

    await world.run(agent)
    same = [record(b'{"n": 1}', f"same-{n}", ("ce-id", "once"), partition=0) for n in range(10)]
    ids = [f"same-{n}" for n in range(10)]
    answers = await submit_plainly(world, "count.one", same, ids[:1])
    again = await submit_plainly(world, "count.one", [same[3]], ["same-3"])
    assert ran == [1]
    assert {json.dumps(a, sort_keys=True) for each in again.values() for a in each} == {
        json.dumps(answers["same-0"][0], sort_keys=True)
    }


async def test_a_repeat_is_answered_by_who_owns_the_partition_next(embedded_world: World) -> None:
    """Also when the first is so long over that nobody needs to read it for anything else."""
    world = embedded_world
    ran: list[int] = []
    agent = Agent("counter", owner="team")

    @agent.capability("count.one", lease=LEASE)
    async def count(ctx: Context, given: Order) -> Sum:
        ran.append(given.n)
        if given.n:
            await ctx.sleep(given.n)
        return Sum(n=given.n, total=len(ran))

    await world.run(agent)
    once = record(b'{"n": 0}', "once", ("ce-id", "once"))
    first = await submit_plainly(world, "count.one", [once], ["once"])
    for _ in range(3):
        await world.ask("count.one", Order(n=1))
    place = Place(topics.tasks(world.mesh, "count.one"), 0)
    await eventually(lambda: world.committed(place) == 4)
    await world.end(world.processes[0])
    await world.start(agent, name="next")
    again = record(b'{"n": 0}', "again", ("ce-id", "once"))
    later = await submit_plainly(world, "count.one", [again], ["again"])
    assert later["again"][0] == first["once"][0]
    assert ran == [0, 1, 1, 1]
