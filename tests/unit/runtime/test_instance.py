from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel

from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.desk import BEGINNING
from mesh.core.effects import Read, Step
from mesh.core.ledger import Ledger
from mesh.core.values import Holder, Inbox
from mesh.errors import TransportError
from mesh.ports import Log, Place
from mesh.runtime import instance as instance_module
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from mesh.runtime.instance import Instance
from mesh.testing.mesh import NAME, MemoryMesh
from mesh.wire import topics
from mesh.wire.entries import decode_presence
from mesh.wire.messages import encode_envelope
from tests.unit.runtime.entries import envelope as to_me
from tests.unit.runtime.entries import judged

INBOX = topics.inbox(NAME, "tester")


class Word(BaseModel):
    text: str


tester = Agent("tester", owner="team", calls=["*"])


@tester.capability("test.echo")
async def echo(ctx: Context, word: Word) -> Word:
    return word


@tester.capability("test.wait")
async def wait(ctx: Context, word: Word) -> Word:
    await ctx.sleep("20s")
    return word


writer = Agent("writer", owner="team", writes=["words"])


@writer.capability("writer.put")
async def put(ctx: Context, word: Word) -> Word:
    written = await ctx.shared.write("words/a", word, expected_version=0)
    return Word(text=str(written.version))


@asynccontextmanager
async def running() -> AsyncIterator[tuple[MemoryMesh, Instance]]:
    async with MemoryMesh(tester) as mesh:
        (instance,) = mesh._find("tester").process.instances
        yield mesh, instance


def envelope(to: Holder) -> bytes:
    cancel = m.Cancel(workflow="0-w", task="0-t", award=3, because="x", person="")
    whole = m.Envelope(to=to, sender=Holder("x.1", 1), sender_inbox=Inbox("x", 0), content=cancel)
    return encode_envelope(whole, lambda _: None)


async def send(mesh: MemoryMesh, instance: Instance, value: bytes) -> None:
    mesh._client.append(Place(*instance.inbox), b"k", value)
    await mesh.settle()


async def test_messages_reach_their_addressee_and_nobody_else() -> None:
    async with running() as (mesh, instance):
        await send(mesh, instance, envelope(instance.me))
        assert instance.counts["refused"] == 1
        await send(mesh, instance, envelope(instance.me._replace(incarnation=0)))
        assert instance.counts["refused"] == 2
        await send(mesh, instance, envelope(Holder("other.1", 1)))
        assert instance.counts["refused"] == 2
        assert mesh.broker.records(topics.dead_letters(NAME)) == []


async def test_verdicts_go_to_the_step_that_waits_and_are_refused_where_none_can() -> None:
    async with running() as (mesh, instance):
        verdict = judged(0)
        await send(mesh, instance, encode_envelope(to_me(verdict, instance.me)))
        assert instance.counts["refused"] == 1  # it proposes nothing
    async with MemoryMesh(writer) as mesh:
        (instance,) = mesh._find("writer").process.instances
        await send(mesh, instance, encode_envelope(to_me(verdict, instance.me)))
        assert instance.counts["refused"] == 0
        earlier = instance.me._replace(incarnation=0)
        await send(mesh, instance, encode_envelope(to_me(verdict, earlier)))
        assert instance.counts["refused"] == 1
        await mesh.processor.stop()
        began = await mesh.begin(put, Word(text="x"))
        await mesh.processor.start()
        assert (await mesh.finish(began)).value.text == "1"


async def test_what_is_no_message_is_put_aside() -> None:
    async with running() as (mesh, instance):
        await send(mesh, instance, b"garbage")
        assert instance.counts["dead_letters"] == 1
        assert len(mesh.broker.records(topics.dead_letters(NAME))) == 1
        assert (await mesh.submit(echo, Word(text="on"))).value.text == "on"


async def test_presence_is_told_when_the_load_changed_and_else_as_a_heartbeat() -> None:
    async with running() as (mesh, instance):

        def told() -> list[int]:
            records = mesh.broker.records(topics.presence(NAME))
            return [decode_presence(record.value).load for record in records]

        assert told() == [0]
        began = await mesh.begin(wait, Word(text="x"))
        await mesh.advance("2s")
        assert told() == [0, 1]
        await mesh.finish(began)
        await mesh.advance("2s")
        assert told()[-1] == 0
        before = len(told())
        await mesh.advance("31s")
        assert len(told()) == before + 2
        assert repr(instance).startswith("Instance(tester.1/1 Node(")


def recoveries(instance: Instance) -> list[Read]:
    node = instance.node
    return [
        Read(-1, node.desk.home(source), BEGINNING, -1, frozenset(), source)
        for source in node.partitions.tenures
    ]


async def test_after_a_large_recovery_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[bool] = []
    monkeypatch.setattr(instance_module, "give_back", lambda: given_back.append(True))
    async with running() as (mesh, instance):
        began = await mesh.begin(wait, Word(text="x"))
        for bulky, times in ((2, 0), (1, 1)):
            monkeypatch.setattr(instance_module, "BULKY", bulky)
            for recovery in recoveries(instance):
                await instance._read(recovery)
            await mesh.advance("3s")
            assert len(given_back) == times
        for recovery in recoveries(instance):
            await instance._read(
                recovery._replace(source=None, workflows=frozenset({began.workflow}))
            )
        await mesh.advance("3s")
        assert len(given_back) == 1
        await mesh.finish(began)


async def test_one_recovery_is_read_at_a_time_and_other_reads_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as (_, instance):
        gate, begun = asyncio.Event(), list[int]()

        async def read_ledger(_: Log, __: str, read: Read) -> Ledger:
            begun.append(read.token)
            await gate.wait()
            return Ledger()

        monkeypatch.setattr(instance_module, "read_ledger", read_ledger)
        recovery = recoveries(instance)[0]
        asked = (recovery, recovery._replace(token=-2), recovery._replace(token=-3, source=None))
        reads = [asyncio.create_task(instance._read(read)) for read in asked]
        await asyncio.sleep(0)
        assert begun == [-1, -3]
        gate.set()
        await asyncio.gather(*reads)
        assert begun == [-1, -3, -2]


async def test_a_closed_instance_takes_nothing_more() -> None:
    async with running() as (mesh, instance):
        await instance.close()
        await send(mesh, instance, envelope(instance.me))
        assert instance.counts["refused"] == 0
        assert mesh.broker.records(topics.presence(NAME))[-1].value is None


async def test_a_reader_that_breaks_ends_the_incarnation() -> None:
    async with running() as (mesh, instance):
        (process,) = (own.process for own in mesh._running.values())

        async def broken() -> None:
            await asyncio.sleep(0)
            raise TransportError("the reader is gone")

        instance._guard(broken())
        await mesh.settle()
        assert process.failed is not None
        assert str(process.failed.result()) == "the reader is gone"


async def test_a_defect_ends_the_incarnation(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (mesh, instance):
        (process,) = (own.process for own in mesh._running.values())
        assert process.failed is not None

        def receive(given: i.Input, now_ms: int) -> Step:
            raise LookupError("a bug")

        monkeypatch.setattr(instance.node, "receive", receive)
        with pytest.raises(LookupError):
            instance.give(i.Tick())
        assert "cannot go on: LookupError('a bug')" in str(process.failed.result())
        assert not process.ready
        monkeypatch.undo()


async def test_a_reader_with_a_defect_ends_the_incarnation() -> None:
    async with running() as (mesh, instance):
        (process,) = (own.process for own in mesh._running.values())

        async def broken() -> None:
            await asyncio.sleep(0)
            raise LookupError("a bug")

        with pytest.raises(LookupError):
            await instance._guard(broken())
        assert process.failed is not None
        assert "reads no more: LookupError('a bug')" in str(process.failed.result())


async def test_a_log_that_fails_ends_the_incarnation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_module, "RELEASE_S", 0.0)
    async with running() as (mesh, _):
        (own,) = mesh._running.values()
        own.log.fail(TransportError("fenced"))
        await mesh.begin(echo, Word(text="x"))
        assert own.process.failed is not None
        assert "fenced" in str(own.process.failed.result())
        assert not own.process.ready
