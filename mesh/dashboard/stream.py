"""Server-sent events: what is new, sent to every page at once, and resumed where a page was.

An event's id is the position in the audit stream behind the facts in it: the next offset of each
partition, with dots between. It means the same to every server of the mesh, so a page that was cut
off, or whose server was started again, says where it was (`Last-Event-ID`) and gets what it missed,
each fact once. Where that is no longer at hand it is told to load again (`reset`).

One event is made once, for all pages. A page that does not take what it is sent is dropped.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from mesh.dashboard import views
from mesh.dashboard.model import Model
from mesh.dashboard.ring import Seen
from mesh.telling.shapes import Shape

TICK_S = 0.2
"""Facts of this time are one event: five a second are smooth enough to watch."""
BEAT_S = 10.0
"""A comment is sent after so long without an event, so that a dead connection is found."""
NOW_S = 2.0
"""Between two events `now`."""
LOADING_S = 0.5
"""Between two words on how far the reading is."""
MAX_FRAME = 500
"""Facts of one event."""
MAX_BEHIND = 5_000
"""Facts that wait to be told: beyond that no page can keep up, and it loads again."""
MAX_RESUME = 10_000
"""Facts that a page is sent after it was away: with more it loads again."""
MAX_WAITING = 2 * 1024 * 1024
"""Bytes that wait for one page: some seconds of a busy mesh. A slower one is dropped."""
MAX_ROWS = 200
"""Workflows that changed, in one event."""

_POSITION = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,19}){0,1023}")
_BEAT = b": beat\n\n"


class TooSlow(Exception):
    """A page does not take what it is sent."""


def position_of(offsets: Mapping[int, int]) -> str:
    """Return a position as an event's id: the next offset of each partition, in order."""
    return ".".join(str(offsets[number]) for number in sorted(offsets))


def parse_position(text: str, partitions: Sequence[int]) -> dict[int, int] | None:
    """Return the position that an id says; None if it is none of this audit stream."""
    if not _POSITION.fullmatch(text):
        return None
    offsets = [int(part) for part in text.split(".")]
    numbers = sorted(partitions)
    return dict(zip(numbers, offsets, strict=True)) if len(offsets) == len(numbers) else None


def frame(event: str, data: object, at: str = "") -> bytes:
    """Return one event; `at` is its id, "" for one that moves no position."""
    body = json.dumps(data, separators=(",", ":"), allow_nan=False)
    head = f"id: {at}\n" if at else ""
    return f"{head}event: {event}\ndata: {body}\n\n".encode()


class Page:
    """Mutable: one connection. Who owns it takes what is to be written, until it is dropped."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self.dropped = False

    def __repr__(self) -> str:
        return f"Page({self._bytes} bytes wait, dropped={self.dropped})"

    def put(self, data: bytes) -> None:
        """Have something written; too much that waits drops the page."""
        self._bytes += len(data)
        if self._bytes > MAX_WAITING:
            self.drop()
            return
        self._waiting.append(data)
        self._news.set()

    def drop(self) -> None:
        """Write no more."""
        self.dropped = True
        self._waiting.clear()
        self._news.set()

    async def take(self) -> bytes:
        """Return what is to be written: everything that waits, or a beat.

        Raises:
            TooSlow: It was dropped.
        """
        try:
            async with asyncio.timeout(BEAT_S):
                await self._news.wait()
        except TimeoutError:
            return _BEAT
        if self.dropped:
            raise TooSlow
        self._news.clear()
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return data


class Hub:
    """Mutable: tells every page what is new in the model.

    Args:
        model: What is told of.
        caught_up: Set once the model knows what was there when it began.
        now: Returns the data of the event `now`.
    """

    def __init__(self, model: Model, caught_up: asyncio.Event, now: Callable[[], Shape]) -> None:
        self._model = model
        self._caught_up = caught_up
        self._now = now
        self._pages: set[Page] = set()
        self._ticked = asyncio.Event()
        self._sent = 0
        self._position: dict[int, int] = {}
        self.dropped = 0
        self.told = 0

    def __repr__(self) -> str:
        return f"Hub({len(self._pages)} pages, {self._sent} facts)"

    @property
    def pages(self) -> int:
        """How many pages are connected."""
        return len(self._pages)

    async def run(self) -> None:
        """Tell what is new, for ever."""
        await self._caught_up.wait()
        self._sent, self._position = self._model.ring.next, self._model.position
        since_now_s = NOW_S
        while True:
            await asyncio.sleep(TICK_S)
            since_now_s += TICK_S
            news = self._model.ring.next > self._sent or bool(self._model.changed)
            await self._tell_facts()
            self._ticked.set()
            self._tell_changes()
            if news and self._pages and since_now_s >= NOW_S:
                self._broadcast(frame("now", self._now()))
                since_now_s = 0.0

    def _broadcast(self, data: bytes) -> None:
        for page in tuple(self._pages):
            page.put(data)
            if page.dropped:
                self._pages.discard(page)
                self.dropped += 1

    async def _tell_facts(self) -> None:
        ring = self._model.ring
        if not self._pages or ring.next - self._sent > MAX_BEHIND:
            behind = ring.next - self._sent > 0
            self._sent, self._position = ring.next, self._model.position
            if self._pages and behind:
                self._broadcast(self._reset("too much happened at once"))
            return
        while self._sent < ring.next:
            facts = list(ring.since(self._sent))[:MAX_FRAME]
            self._sent += len(facts)
            self._position = _moved(self._position, facts)
            self._broadcast(self._frame(facts, self._position))
            self.told += len(facts)
            await asyncio.sleep(0)

    def _tell_changes(self) -> None:
        changed, self._model.changed = self._model.changed, set()
        if changed:
            self._broadcast(frame("changed", {"what": sorted(changed)}))

    def _frame(self, facts: Sequence[Seen], position: Mapping[int, int]) -> bytes:
        names = dict.fromkeys(own.workflow for own in facts if own.workflow)
        roots = [row for name in names if (row := self._model.root(name)) is not None]
        data = {
            "facts": [views.fact(own) for own in facts],
            "workflows": [views.workflow(self._model, row) for row in roots[-MAX_ROWS:]],
        }
        return frame("facts", data, position_of(position))

    def _reset(self, why: str) -> bytes:
        return frame("reset", {"because": why}, position_of(self._position))

    # --- one page

    async def follow(self, last: str) -> AsyncGenerator[bytes, None]:
        """Yield what one page is sent, for ever; `last` is the id that it saw last, "" for none.

        Raises:
            TooSlow: It does not take it.
        """
        while not self._caught_up.is_set() or not self._position:
            lag = sum(own.lag for own in self._model.strands.values())
            yield frame("loading", {"lag": lag})
            await asyncio.sleep(LOADING_S)
        while self._is_ahead(last):  # of what was told, not of what is known: a moment
            self._ticked.clear()
            await self._ticked.wait()
        page = Page()
        missed, why, position = self._missed(last)
        self._pages.add(page)
        try:
            if why:
                yield self._reset(why)
            elif not last:
                yield frame("hello", {}, position_of(self._position))
            for first in range(0, len(missed), MAX_FRAME):
                facts = missed[first : first + MAX_FRAME]
                position = _moved(position, facts)
                yield self._frame(facts, position)
            while True:
                yield await page.take()
        finally:
            self._pages.discard(page)

    def _is_ahead(self, last: str) -> bool:
        """Tell whether a page knows more than was told, as who has just asked for a list does."""
        position = parse_position(last, list(self._position))
        if position is None:
            return False
        known = self._model.position
        ahead = any(position[number] > own for number, own in self._position.items())
        return ahead and all(position[number] <= own for number, own in known.items())

    def _missed(self, last: str) -> tuple[list[Seen], str, dict[int, int]]:
        """Return what a page missed, or why it must load again, and where it is."""
        if not last:
            return [], "", {}
        ring, position = self._model.ring, parse_position(last, list(self._position))
        if position is None:
            return [], "this is no position of this audit stream", {}
        if any(position[number] > own for number, own in self._position.items()):
            return [], "the audit stream ends before: it is another one", {}
        if any(position[number] < own for number, own in ring.forgotten.items()):
            return [], "what was missed is no longer at hand", {}
        known = list(ring.since(ring.first))[: self._sent - ring.first]
        missed = [own for own in known if own.offset >= position[own.partition]]
        if len(missed) > MAX_RESUME:
            return [], "too much was missed", {}
        return missed, "", position


def _moved(position: Mapping[int, int], facts: Sequence[Seen]) -> dict[int, int]:
    """Return the position behind these facts."""
    return {**position, **{own.partition: own.offset + 1 for own in facts}}
