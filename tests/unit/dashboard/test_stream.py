from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pytest

from mesh.dashboard import stream as streams
from mesh.dashboard.model import Model
from mesh.dashboard.ring import Ring, Seen
from mesh.dashboard.stream import Hub, Page, TooSlow, frame, parse_position, position_of
from mesh.ports import Incoming
from tests.simulation.scribe import Scribe
from tests.unit.dashboard.conftest import until
from tests.unit.dashboard.logs import incoming


class Event(NamedTuple):
    """One event as a page reads it."""

    name: str
    at: str
    data: Any


def parsed(data: bytes) -> list[Event]:
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            found.append(Event(fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


class Server:
    """One server of a mesh: a model that is fed by hand, and its hub."""

    def __init__(self, log: list[Incoming], read: int) -> None:
        self.log = log
        self.model = Model()
        self.model.begin(0, 0)
        self.caught_up = asyncio.Event()
        self.hub = Hub(self.model, self.caught_up, dict)
        self.feed(read)
        self.task = asyncio.get_running_loop().create_task(self.hub.run())
        self.caught_up.set()

    def feed(self, count: int) -> None:
        start = self.model.strands[0].next
        self.model.add(self.log[start : start + count])

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Reader:
    """A page: what it saw, and where it was last."""

    def __init__(self) -> None:
        self.last = ""
        self.seen: list[str] = []
        self.events: list[str] = []

    async def read(self, server: Server, until: int) -> None:
        """Read until so many facts were seen, or it is told to load again."""
        events = server.hub.follow(self.last)
        try:
            async for data in events:
                for event in parsed(data):
                    if event.name == "loading":
                        break
                    self.events.append(event.name)
                    self.last = event.at or self.last
                    if event.name == "facts":
                        self.seen += [fact["where"] for fact in event.data["facts"]]
                if self.events and (len(self.seen) >= until or "reset" in self.events):
                    return
        finally:
            await events.aclose()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TICK_S", 0.001)
    monkeypatch.setattr(streams, "LOADING_S", 0.001)


@pytest.fixture
def log() -> list[Incoming]:
    scribe = Scribe()
    scribe.begin()
    for number in range(400):
        scribe.write(scribe.reserved(str(number)), after_ms=1)
    return list(incoming(scribe))


async def test_a_page_that_was_cut_off_misses_nothing_and_sees_nothing_twice(
    log: list[Incoming],
) -> None:
    page, server = Reader(), Server(log, 10)
    await page.read(server, 0)
    assert page.events == ["hello"]
    for end in (20, 90, 200):
        server.feed(end - 10 - len(page.seen) + 5)
        await page.read(server, len(page.seen) + 1)
    await server.stop()
    again = Server(log, 350)  # the server is started again, and folds in other batches
    again.feed(len(log))
    await page.read(again, len(log) - 10)
    await again.stop()
    assert page.seen == [f"0/{offset}" for offset in range(10, len(log))]
    assert "reset" not in page.events


async def settled(server: Server, pages: int = 0) -> None:
    """Wait until the server tells what is new, to so many pages."""
    await until(lambda: server.hub._position and server.hub.pages >= pages)


async def test_a_server_that_has_not_caught_up_says_how_far_it_is(log: list[Incoming]) -> None:
    server = Server(log, 0)
    server.caught_up.clear()
    server.task.cancel()
    events = server.hub.follow("")
    [event] = parsed(await anext(events))
    assert (event.name, event.data) == ("loading", {"lag": 0})
    await events.aclose()


@pytest.mark.parametrize("last", ["x", "1.2", "-1", "9" * 19, "999999", "1.", "²"])
async def test_a_position_that_makes_no_sense_is_reset(log: list[Incoming], last: str) -> None:
    server, page = Server(log, 50), Reader()
    page.last = last
    await page.read(server, 1)
    await server.stop()
    assert page.events == ["reset"]
    assert page.last == "50"


async def test_what_is_no_longer_at_hand_is_reset(log: list[Incoming]) -> None:
    server, page = Server(log, 0), Reader()
    server.model.ring = Ring(most=5)
    server.model.ring.begin(0, 0)
    server.feed(50)
    page.last = "40"
    await page.read(server, 1)
    assert page.events == ["reset"]
    page.events.clear()
    page.last = "45"
    await page.read(server, 5)
    assert page.seen == ["0/45", "0/46", "0/47", "0/48", "0/49"]
    await server.stop()


async def test_a_page_that_knows_more_than_was_told_waits_for_it(log: list[Incoming]) -> None:
    server, page = Server(log, 10), Reader()
    await page.read(server, 0)
    server.feed(20)
    page.last = position_of(server.model.position)
    reading = asyncio.create_task(page.read(server, 1))
    await settled(server, 1)
    server.feed(1)
    await reading
    await server.stop()
    assert page.seen == ["0/30"]


async def test_pages_share_one_event(log: list[Incoming], monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(log, 10)
    made = []
    whole = server.hub._frame

    def frame_of(facts: Sequence[Seen], position: Mapping[int, int]) -> bytes:
        made.append(whole(facts, position))
        return made[-1]

    monkeypatch.setattr(server.hub, "_frame", frame_of)
    pages = [Reader() for _ in range(20)]
    readings = [asyncio.create_task(page.read(server, 5)) for page in pages]
    await settled(server, len(pages))
    server.feed(5)
    await asyncio.gather(*readings)
    await server.stop()
    assert len(made) == 1
    assert all(page.seen == [f"0/{offset}" for offset in range(10, 15)] for page in pages)


def told_more_than(server: Server, count: int) -> bool:
    return server.hub.told > count


async def test_a_slow_page_is_dropped_and_keeps_nobody(
    log: list[Incoming], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_WAITING", 2_000)
    server, quick = Server(log, 10), Reader()
    await settled(server)
    slow = server.hub.follow("")
    await anext(slow)
    reading = asyncio.create_task(quick.read(server, 40))
    await settled(server, 2)
    for number in range(20):
        server.feed(2)
        await until(partial(told_more_than, server, 2 * number))
    await reading
    assert server.hub.dropped == 1
    with pytest.raises(TooSlow):
        await anext(slow)
    await server.stop()
    assert server.hub.pages == 0


async def test_too_much_at_once_is_reset(
    log: list[Incoming], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_BEHIND", 100)
    monkeypatch.setattr(streams, "MAX_RESUME", 100)
    server, page = Server(log, 10), Reader()
    reading = asyncio.create_task(page.read(server, 1))
    await settled(server, 1)
    server.feed(300)
    await reading
    assert page.events[:2] == ["hello", "reset"]
    assert page.last == "310"
    late = Reader()
    late.last = "10"
    await late.read(server, 1)
    assert late.events == ["reset"]
    await server.stop()


async def test_what_changed_beside_the_facts_is_told(log: list[Incoming]) -> None:
    server = Server(log, 10)
    await settled(server)
    events = server.hub.follow("")
    await anext(events)
    server.model.changed |= {"state", "halts"}
    found: list[Event] = []
    while len(found) < 2:
        found += parsed(await anext(events))
    assert found == [Event("changed", "", {"what": ["halts", "state"]}), Event("now", "", {})]
    await events.aclose()
    await server.stop()


async def test_a_quiet_connection_gets_a_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BEAT_S", 0.001)
    assert await Page().take() == b": beat\n\n"


def test_an_event_is_one_line_of_data_whatever_is_in_it() -> None:
    data = frame("facts", {"text": "\n\r\u2028\x00</script>"}, "1.2")
    assert data.count(b"\n") == 4
    assert b"\r" not in data
    assert parsed(data) == [Event("facts", "1.2", {"text": "\n\r\u2028\x00</script>"})]


def test_positions_are_told_and_read() -> None:
    assert position_of({1: 5, 0: 7}) == "7.5"
    assert parse_position("7.5", [0, 1]) == {0: 7, 1: 5}
    assert parse_position("7", [0, 1]) is None
