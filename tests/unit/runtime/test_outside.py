from __future__ import annotations

from mesh.core import effects as e
from mesh.core.registry import Card, Presence
from mesh.core.tasks import Header
from mesh.core.values import Holder, Inbox, TaskPartition
from mesh.ports import Incoming
from mesh.runtime.outside import Outside
from mesh.wire import topics
from mesh.wire.entries import (
    decode_card,
    decode_dead_letter,
    decode_incident,
    decode_open,
    decode_presence,
)
from mesh.wire.requests import decode_reply
from tests.unit.runtime.memory import MESH, world

ME = Holder("a.1", 7)
CARD = Card(agent="a", owner="team", version="1", purpose="to test")
PRESENCE = Presence("a.1", 7, "a", Inbox("demo.inbox.a", 1), 2, 64, ())


async def test_card_presence_and_goodbye() -> None:
    async with world() as own:
        outside = Outside(own.log, MESH, ME)
        outside.card(CARD)
        outside.presence(PRESENCE)
        outside.goodbye()
        (card,) = await own.read(topics.registry(MESH))
        here, gone = await own.read(topics.presence(MESH))
        assert (card.key, decode_card(card.value)) == (b"a", CARD)
        assert (here.key, decode_presence(here.value)) == (b"a.1", PRESENCE)
        assert (gone.key, gone.value) == (b"a.1", None)


async def test_incidents_and_replies() -> None:
    async with world() as own:
        outside = Outside(own.log, MESH, ME)
        about = e.Incident("overrun", "1-w", "1-t", "too much")
        outside.incident(about)
        outside.incident(about._replace(workflow=""))
        topic = topics.replies(MESH, "me")
        outside.reply(e.Reply(topic, "c-1", "1-w", "completed", b'{"a":1}', ""))
        outside.reply(e.Reply(topic, "", "1-w", "failed", None, "why"))
        first, second = await own.read(topics.incidents(MESH))
        assert (first.key, second.key) == (b"1-w", b"a.1")
        assert decode_incident(first.value) == about
        good, bad = await own.read(topic)
        assert (good.key, bad.key) == (b"c-1", None)
        assert decode_reply(good.value).result == {"a": 1}
        assert decode_reply(bad.value).error == "why"


async def test_notes_of_open_workflows_are_acknowledged() -> None:
    async with world() as own:
        outside, told = Outside(own.log, MESH, ME), []
        source, header = TaskPartition("a.b", 1), Header(5, 6, ())
        outside.note(e.PutOpen(source, "2-w", header), lambda: told.append("put"))
        outside.note(e.DropOpen(source, "2-w"), lambda: told.append("drop"))
        put, drop = await own.read(topics.open_workflows(MESH))
        assert told == ["put", "drop"]
        assert put.partition == drop.partition == 2
        assert put.key == drop.key
        assert drop.value is None
        assert decode_open(put.value) == (source, "2-w", header)


async def test_dead_letters_keep_the_original() -> None:
    async with world() as own:
        bad = Incoming("demo.tasks.a.b", 1, 9, 77, b"k", b"\xff\xfe", (("h", b"v"),))
        Outside(own.log, MESH, ME).dead_letter(bad, "no JSON")
        (record,) = await own.read(topics.dead_letters(MESH))
        letter = decode_dead_letter(record.value)
        assert record.key == b"k"
        assert (letter.reason, letter.by, letter.value) == ("no JSON", "a.1", b"\xff\xfe")
        assert (letter.topic, letter.partition, letter.offset) == ("demo.tasks.a.b", 1, 9)
