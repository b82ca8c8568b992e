"""What each route of the API answers. Every method is named in `mesh.dashboard.routes`."""

from __future__ import annotations

import asyncio
import time as clock
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from mesh.core.halts import Halts
from mesh.core.registry import covers
from mesh.core.tasks import Phase
from mesh.dashboard import views
from mesh.dashboard.acts import Acts
from mesh.dashboard.chains import Chain, Chains, TooLong
from mesh.dashboard.follower import Follower
from mesh.dashboard.model import Model
from mesh.dashboard.reading import LogReader
from mesh.dashboard.refusals import Missing
from mesh.dashboard.ring import Seen
from mesh.dashboard.routes import openapi
from mesh.dashboard.rows import Row
from mesh.dashboard.stream import Hub, position_of
from mesh.ports import Log
from mesh.telling import shapes
from mesh.telling.reasons import explain
from mesh.telling.shapes import Shape
from mesh.telling.story import tell

MAX_LINES = 5_000
"""Sentences of one chain: more than anybody reads; the tree has the rest."""
MAX_TOLD_TASKS = 5_000
"""Tasks of one chain that are drawn: a larger one is told by `mesh trace`."""
STEP = 500
"""Records looked through between two looks of the loop at what else is to do."""
CLOSED = frozenset({"completed", "failed", "rejected", "expired", "cancelled"})
NARROWED: dict[str, Callable[[str], bool]] = {
    "running": lambda status: status not in CLOSED,
    "ended": lambda status: status in CLOSED,
}
"""What a filter means that is no status itself."""
Item = TypeVar("Item")
Asked = dict[str, Any]
"""The parameters of a request, as the route parsed them."""


def now_ms() -> int:
    """Return the time of this machine, in milliseconds since 1970."""
    return clock.time_ns() // 1_000_000


class Api:
    """The handlers. Each takes the parameters and returns what is answered.

    Args:
        model: What was folded.
        log: Where to read what is not in the model.
        mesh: The mesh's name.
        follower: Whose progress `health` tells.
        now: The clock.
    """

    def __init__(
        self,
        model: Model,
        log: Log,
        mesh: str,
        follower: Follower,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self.model = model
        self.hub = Hub(model, follower.caught_up, self._now)
        self._mesh = mesh
        self._follower = follower
        self._clock = now
        self._chains = Chains(log, mesh)
        self._reader = LogReader(log, mesh)
        self.acts = Acts(model, log, mesh, self._chains)

    def __repr__(self) -> str:
        return f"Api({self._mesh}, {self.model})"

    @property
    def position(self) -> str:
        """Where the model is, as the id of an event."""
        return position_of(self.model.position)

    async def caught_up(self) -> None:
        """Return when everything was read that was there at the start."""
        await self._follower.caught_up.wait()

    # --- overviews

    def _now(self) -> Shape:
        self.model.directory.expire(self._clock())
        return views.now(self.model, self._clock(), self._mesh) | {"position": self.position}

    async def now(self, _: Asked) -> Shape:
        """Answer the first page."""
        return self._now()

    async def map(self, asked: Asked) -> Shape:
        """Answer agents and delegations."""
        self.model.directory.expire(self._clock())
        return views.graph(self.model, self._clock(), asked["minutes"])

    async def health(self, _: Asked) -> Shape:
        """Answer how far the reading is."""
        now, log_time = self._clock(), self.model.log_time_ms
        return views.health(self.model, now) | {
            "caught_up": self._follower.caught_up.is_set(),
            "behind_ms": now - log_time if log_time else None,
            "pages": self.hub.pages,
            "pages_dropped": self.hub.dropped,
        }

    async def openapi(self, _: Asked) -> Shape:
        """Answer what the API is."""
        return openapi()

    # --- tasks

    async def workflows(self, asked: Asked) -> Shape:
        """Answer root tasks."""
        found = [row for row in self.model.rows.roots() if self._fits(row, asked, whole=True)]
        return self._page(asked, found, lambda row: views.workflow(self.model, row))

    async def tasks(self, asked: Asked) -> Shape:
        """Answer tasks at any depth."""
        rows = self.model.rows
        every = rows.members(asked["workflow"]) if asked["workflow"] else rows.every()
        found = [row for row in every if self._fits(row, asked, whole=False)]
        return self._page(asked, found, lambda row: views.task(self.model, row))

    def _fits(self, row: Row, asked: Asked, *, whole: bool) -> bool:
        """Tell whether a task is asked for; `whole` looks at all tasks of its workflow, too."""
        status, phase = asked["status"], row.phase
        if status and not NARROWED.get(status, status.__eq__)(phase):
            return False
        if asked["capability"] and not covers((asked["capability"],), row.capability):
            return False
        members = self.model.rows.members(row.workflow) if whole else [row]
        if asked["agent"] and all(own.agent != asked["agent"] for own in members):
            return False
        bad = phase in CLOSED and phase != "completed"
        if asked["failing"] and not (bad or (whole and row.failures)):
            return False
        waiting = self.model.rows.waiting
        if asked["needs"] and all(own.task not in waiting for own in members):
            return False
        return _says(asked["text"], row.task, row.root.goal, row.reason)

    def _page(self, asked: Asked, found: list[Item], shape: Callable[[Item], Shape]) -> Shape:
        """Answer one page of a list."""
        offset = asked["offset"]
        return {
            "total": len(found),
            "offset": offset,
            "items": [shape(own) for own in found[offset : offset + asked["limit"]]],
            "position": self.position,
        }

    async def budgets(self, asked: Asked) -> Shape:
        """Answer what open workflows may spend, the scarcest first."""
        found = [views.budget(self.model, row) for row in self.model.rows.open.values()]
        found.sort(key=lambda own: -own["spent_permille"])
        spending = views.spending(self.model, self._clock(), asked["minutes"])
        return self._page(asked, found, lambda own: own) | {"spending": spending}

    # --- one workflow

    async def chain(self, asked: Asked) -> Shape:
        """Answer a workflow in full."""
        return await self._told(asked["workflow"], self._chain)

    async def why(self, asked: Asked) -> Shape:
        """Answer why a task went as it did."""

        def reasons(chain: Chain) -> Shape:
            told = explain(chain.chronicle, asked["task"], chain.partition)
            if told is None:
                raise Missing(f"{asked['workflow']} has no task {asked['task']}")
            return shapes.explanation(told)

        return await self._told(asked["workflow"], reasons)

    async def _told(self, workflow: str, tell_it: Callable[[Chain], Shape]) -> Shape:
        root = self.model.root(workflow)
        first = root.offset if root is not None else None
        told = await self._chains.told(workflow, first, tell_it)
        if told is None:
            raise Missing(f"the audit stream has no workflow {workflow}")
        return told

    def _chain(self, chain: Chain) -> Shape:
        story = tell(chain.chronicle, chain.partition, self._clock())
        if story is None:
            raise Missing(f"{chain.chronicle.workflow} was never opened: its facts are void")
        if len(story.tasks) > MAX_TOLD_TASKS:
            raise TooLong
        lines = list(islice(views.lines(chain.chronicle, chain.partition), MAX_LINES + 1))
        every = sum(not own.void for own in chain.chronicle.entries)
        orders = self.model.orders
        return {
            "story": shapes.story(story),
            "lines": lines[:MAX_LINES],
            "lines_left_out": max(0, every - MAX_LINES) if len(lines) > MAX_LINES else 0,
            "halts": [
                shapes.order(order, since_ms)
                for order, since_ms in orders.in_force()
                if _covers(orders.halts, chain, order.target)
            ],
            "whole": chain.whole,
            "partition": chain.partition,
            "low": chain.low,
            "position": self.position,
        }

    # --- beside

    async def incidents(self, asked: Asked) -> Shape:
        """Answer what was found."""
        found = [
            own
            for own in self.model.incidents.latest()
            if asked["kind"] in ("", own.incident.kind)
            and asked["workflow"] in ("", own.incident.workflow)
            and asked["detector"] in ("", own.incident.detector)
            and (not asked["open"] or self.model.incidents.waits(own))
        ]
        return self._page(asked, found, lambda own: views.incident(self.model, own))

    async def halts(self, _: Asked) -> Shape:
        """Answer what is halted."""
        return {"items": [shapes.order(*own) for own in self.model.orders.in_force()]}

    async def letters(self, asked: Asked) -> Shape:
        """Answer what could not be used."""
        return self._page(asked, list(reversed(self.model.letters.letters)), views.letter)

    async def agents(self, asked: Asked) -> Shape:
        """Answer the registry."""
        model = self.model
        model.directory.expire(self._clock())
        alive = views.instances(model)
        names = sorted({*model.directory.agents, *alive})
        found = [name for name in names if self._is_agent(name, asked)]
        orphans = views.orphans(model, self._clock())
        answer = self._page(asked, found, lambda own: views.agent(model, own, alive.get(own, [])))
        return answer | {"orphans": orphans}

    def _is_agent(self, name: str, asked: Asked) -> bool:
        card = self.model.directory.card(name)
        offered = [] if card is None else [own.name for own in card.capabilities]
        if asked["owner"] and (card is None or card.owner != asked["owner"]):
            return False
        if asked["capability"] and asked["capability"] not in offered:
            return False
        return _says(asked["text"], name, *(() if card is None else (card.owner, card.purpose)))

    async def agent(self, asked: Asked) -> Shape:
        """Answer one agent."""
        name = asked["agent"]
        alive = views.instances(self.model).get(name, [])
        if not alive and self.model.directory.card(name) is None:
            raise Missing(f"there is no agent {name}")
        return views.agent(self.model, name, alive)

    async def keys(self, asked: Asked) -> Shape:
        """Answer the keys of shared state."""
        state = self.model.state
        every = state.contested if asked["contested"] else state.keys
        found = sorted(own for own in every if own.startswith(asked["prefix"]))
        answer = self._page(asked, found, lambda own: views.key(every[own]))
        return answer | {"left_out": state.left_out}

    async def entry(self, asked: Asked) -> Shape:
        """Answer one entry of shared state."""
        found = await self._reader.entry(asked["key"])
        if found is None:
            raise Missing(f"there is no entry {asked['key']}")
        return shapes.entry(*found)

    # --- the audit stream

    async def audit(self, asked: Asked) -> Shape:
        """Answer the latest facts."""
        items: list[Shape] = []
        position, before, more = self.position, asked["before"], ""
        for number, seen in enumerate(list(self.model.ring.latest())):
            if number % STEP == STEP - 1:
                await asyncio.sleep(0)
            where = f"{seen.partition}/{seen.offset}"
            if before:
                before = "" if where == before else before
                continue
            if not _is_asked(seen, asked):
                continue
            shape = views.fact(seen)
            if _says(asked["text"], shape["text"], seen.instance):
                if len(items) == asked["limit"]:
                    more = items[-1]["where"]
                    break
                items.append(shape)
        return {"items": items, "next": more, "position": position}

    async def records(self, asked: Asked) -> Shape:
        """Answer a part of one partition, from the log."""
        number = asked["partition"]
        found = await self._reader.stretch(number, asked["from"], asked["limit"])
        if found is None:
            raise Missing(f"the audit stream has no partition {number}")
        return {
            "partition": number,
            "low": found.low,
            "high": found.high,
            "items": [views.fact(own) for own in found.records],
            "next": found.next,
        }

    async def record(self, asked: Asked) -> Shape:
        """Answer one record with all that is in it."""
        found = await self._reader.record(asked["partition"], asked["offset"])
        if found is None:
            raise Missing(f"no record stands at {asked['partition']}/{asked['offset']}")
        return found


def _is_asked(seen: Seen, asked: Asked) -> bool:
    """Tell whether a record is of the kind, workflow, task, instance and verdict asked for."""
    counts = {"": "yes", None: "unknown"}.get(seen.void, "void") if seen.kind else "unreadable"
    return (
        asked["kind"] in ("", seen.kind)
        and asked["workflow"] in ("", seen.workflow)
        and asked["task"] in ("", seen.task)
        and seen.instance.startswith(asked["instance"])
        and asked["counts"] in ("", counts)
    )


def _covers(halts: Halts, chain: Chain, target: str) -> bool:
    """Tell whether an order covers an open task of a workflow."""
    open_tasks = (own for own in chain.chronicle.states.values() if own.phase is not Phase.ENDED)
    for state in open_tasks:
        agent = state.terms.agent if state.terms is not None else ""
        order = halts.covering(state.opened, agent)
        if order is not None and order.target == target:
            return True
    return False


def _says(text: str, *among: str) -> bool:
    """Tell whether a text stands in one of these, in whatever case."""
    sought = text.casefold()
    return not sought or any(sought in own.casefold() for own in among)
