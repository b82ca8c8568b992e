from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core.registry import Card
from mesh.core.values import Holder
from mesh.errors import DefinitionError, WrongTopic
from mesh.ports import Place
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from mesh.runtime.outside import Outside
from mesh.runtime.process import Process
from mesh.runtime.watch import Held
from mesh.testing.clock import START_MS, ManualClock
from mesh.transport.memory import MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_card, decode_presence
from tests.unit.runtime.entries import ENTRY, entry, record
from tests.unit.runtime.memory import MESH, World, settle, world

NAME = "test.it"


class Word(BaseModel):
    text: str


def make_agent(
    name: str = "tester", owner: str = "team", version: str = "1.0", **scope: Any
) -> Agent:
    agent = Agent(name, owner=owner, version=version, **scope)

    @agent.capability(NAME)
    async def handler(ctx: Context, word: Word) -> Word:
        return word

    return agent


def make_process(own: World, *agents: Agent, name: str = "p", incarnation: int = 0) -> Process:
    return Process(
        MemoryLog(own.broker), MESH, agents, clock=ManualClock(), name=name, incarnation=incarnation
    )


async def start(process: Process) -> None:
    await process.start()
    await settle()


async def test_start_publishes_card_and_presence_and_close_says_goodbye() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        agent = make_agent()
        process = make_process(own, agent)
        await start(process)
        assert process.ready
        (card,) = await own.read(topics.registry(MESH))
        assert decode_card(card.value) == agent.card()
        here = [decode_presence(one.value) for one in await own.read(topics.presence(MESH))]
        assert [(one.instance, one.incarnation) for one in here] == [("tester.p", START_MS)]
        assert [handler.capability for handler in here[0].handlers] == [NAME]
        await process.close()
        assert (await own.read(topics.presence(MESH)))[-1].value is None
        again = make_process(own, agent)
        await start(again)
        assert len(await own.read(topics.registry(MESH))) == 1
        await again.close()
        assert "tester" in repr(again)


async def test_incarnations_grow_when_a_clock_was_set_back() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        first = make_process(own, make_agent(), incarnation=START_MS + 5)
        await start(first)
        second = make_process(own, make_agent())
        await start(second)
        assert second.instances[0].me == Holder("tester.p", START_MS + 6)
        await second.close()
        await first.close()


async def test_another_owner_s_name_and_an_older_version_are_refused() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        first = make_process(own, make_agent(version="1.1"))
        await start(first)
        for rival, words in (
            (make_agent(owner="others", version="2"), "team"),
            (make_agent(version="1.0"), "1.1"),
        ):
            process = make_process(own, rival, name="q")
            with pytest.raises(DefinitionError, match=words):
                await start(process)
            assert not process.ready
            await process.close()
        await first.close()


async def test_missing_topics_are_named_with_what_to_do() -> None:
    async with world() as own:
        process = make_process(own, make_agent())
        with pytest.raises(WrongTopic, match=r"demo\.inbox\.tester.*mesh topics apply"):
            await start(process)
        await process.close()
        del own.broker.topics[topics.registry(MESH)]
        process = make_process(own, make_agent())
        with pytest.raises(WrongTopic, match=r"demo\.registry.*mesh topics apply"):
            await start(process)
        await process.close()
        del own.broker.topics[topics.audit(MESH)]
        process = make_process(own, make_agent())
        with pytest.raises(WrongTopic, match=r"demo\.audit.*mesh topics apply"):
            await start(process)
        await process.close()


async def test_instances_take_different_inbox_partitions() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        processes = [make_process(own, make_agent(), name=name) for name in "pqr"]
        for process in processes:
            await start(process)
        taken = [process.instances[0].inbox.partition for process in processes]
        assert sorted(taken[:2]) == [0, 1]
        for process in processes:
            await process.close()


async def test_records_that_are_no_cards_or_presence_are_passed_over() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        await own.put(topics.registry(MESH), b"garbage")
        await own.put(topics.presence(MESH), b"garbage")
        stranger = Card(agent="stranger", owner="team", version="1", purpose="")
        Outside(own.log, MESH, Holder("x", 1)).card(stranger)
        process = make_process(own, make_agent())
        await start(process)
        assert sorted(process.directory.agents) == ["stranger", "tester"]
        Outside(own.log, MESH, Holder("x", 1)).card(
            Card(agent="late", owner="team", version="1", purpose="")
        )
        await settle()
        assert process.instances[0].node.desk.directory.card("late") is not None
        await process.close()


async def test_a_held_loop_is_told_of() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        process = make_process(own, make_agent())
        await start(process)
        process._held(Held(3.0, "somewhere.py:7 loop"))
        await settle()
        (record,) = await own.read(topics.incidents(MESH))
        assert b"somewhere.py:7" in (record.value or b"")
        assert process.instances[0].counts["loop_held"] == 1
        await process.close()


async def test_drain_hands_over_and_tells_that_it_did() -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        process = make_process(own, make_agent())
        await start(process)
        assert await process.drain(1.0)
        presence = [one.value for one in await own.read(topics.presence(MESH))]
        assert presence[-1] is None
        assert decode_presence(presence[-2]).draining
        assert not process.ready


# --- shared state -------------------------------------------------------------------------------


async def test_what_an_agent_reads_is_there_when_it_is_ready() -> None:
    async with world(capabilities=[NAME], pools=["tester", "other"]) as own:
        for partition, kept in ((0, ENTRY), (1, entry("a/c", 3)), (3, entry("elsewhere/x"))):
            own.log.append(Place(topics.state(MESH), partition), *record(kept)[4:6])
        await own.log.flush(10)
        process = make_process(own, make_agent(reads=["a"]), make_agent("other", reads=["a/c"]))
        await process.start()
        assert process.replica is not None
        assert process.replica.prefixes == ("a", "a/c")
        assert [process.replica.row(key).version for key in ("a/b", "a/c", "elsewhere/x")] == [
            1,
            3,
            0,
        ]
        own.log.append(Place(topics.state(MESH), 0), *record(entry(version=2))[4:6])
        await settle()
        assert process.replica.row("a/b").version == 2
        await process.close()


@pytest.mark.parametrize(
    ("scope", "replica", "proposals"),
    [({}, False, False), ({"reads": ["a"]}, True, False), ({"writes": ["a"]}, False, True)],
)
async def test_an_agent_has_of_shared_state_what_it_declares(
    scope: dict[str, Any], replica: bool, proposals: bool
) -> None:
    async with world(capabilities=[NAME], pools=["tester", "other"]) as own:
        process = make_process(own, make_agent(**scope), make_agent("other"))
        await start(process)
        first, second = [instance._runner._services.part for instance in process.instances]
        assert (first.replica is not None, first.proposals is not None) == (replica, proposals)
        assert second == (None, None)
        await process.close()


@pytest.mark.parametrize(
    ("scope", "topic"), [({"reads": ["a"]}, "state"), ({"writes": ["a"]}, "changes")]
)
async def test_a_missing_topic_of_shared_state_is_named(scope: dict[str, Any], topic: str) -> None:
    async with world(capabilities=[NAME], pools=["tester"]) as own:
        del own.broker.topics[f"{MESH}.{topic}"]
        process = make_process(own, make_agent(**scope))
        with pytest.raises(WrongTopic, match=rf"demo\.{topic} is missing.*mesh topics apply"):
            await start(process)
        await process.close()
        without = make_process(own, make_agent(), name="q")
        await start(without)
        await without.close()
