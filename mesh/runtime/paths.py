"""Paths: how the asyncio tasks of a handler are named, so that a replay names its steps alike.

The task in which a handler begins has the path `""`. A task that is created inside a path has that
path, its number among the path's children in the order of their creation, and a dot: `0.`, `1.`,
`1.0.`. A step is named by the path in which it is called and its ordinal there. So two paths that
run at the same time do not share a counter, and `asyncio.gather` and `TaskGroup`, which create
their tasks in a fixed order, replay whatever the order of the answers. `asyncio.as_completed` and
`asyncio.wait` iterate over sets: `ctx.as_completed` and `ctx.first` stand in for them.

Tasks that are created outside a handler, inside a tool, or by the driver while a handler speaks to
it (which happens in the handler's own task) are left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, Protocol

from mesh.core.ids import derive, step_id


class Running(Protocol):
    """The start of a handler that a path belongs to; see `mesh.runtime.running`."""

    task: str
    restart: int
    speaking: bool

    def spawn(
        self, coroutine: Coroutine[Any, Any, Any], parent: PathTask, **options: Any
    ) -> PathTask:
        """Create the task of a new path below `parent`."""


class PathTask(asyncio.Task[Any]):
    """An asyncio task of a handler, with its place among them.

    `now_ms` is the append time of the latest result that it was handed; `live` counts its children
    that have not ended.
    """

    __slots__ = ("_random", "children", "live", "now_ms", "ordinal", "parent", "path", "running")

    running: Running
    parent: PathTask | None
    path: str
    now_ms: int

    def place(self, running: Running, parent: PathTask | None, now_ms: int) -> None:
        """Give a task its place, before it runs for the first time."""
        self.running = running
        self.parent = parent
        self.children = 0
        self.live = 0
        self.ordinal = 0
        self._random: Random | None = None
        if parent is None:
            self.path = ""
            self.now_ms = now_ms
        else:
            self.path = f"{parent.path}{parent.children}."
            self.now_ms = parent.now_ms
            parent.children += 1
            parent.live += 1

    def next_step(self) -> str:
        """Return the id of the next step of this path."""
        ordinal = self.ordinal
        self.ordinal = ordinal + 1
        return step_id(self.path, ordinal, self.running.restart)

    def is_blocked(self) -> bool:
        """Tell whether it waits for something that has not come yet."""
        waiter = self._fut_waiter  # type: ignore[attr-defined]  # asyncio has no public name for it
        return waiter is not None and not waiter.done()

    def random(self) -> Random:
        """Return this path's own generator, the same numbers on every replay."""
        if self._random is None:
            running = self.running
            seed = derive("random", running.task, running.restart, self.path)
            self._random = Random(seed)  # noqa: S311  # no secret: it must be predictable
        return self._random


class PathFactory:
    """A task factory that gives the tasks created inside a handler their paths.

    Everything else goes to the factory that was there before.
    """

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        **options: Any,
    ) -> asyncio.Future[Any]:
        """Create a task, like `loop.create_task`."""
        parent = asyncio.current_task(loop)
        if type(parent) is PathTask and not parent.running.speaking:
            options.pop("eager_start", None)
            return parent.running.spawn(coroutine, parent, **options)
        if self._before is not None:
            made: asyncio.Future[Any] = self._before(loop, coroutine, **options)
            return made
        return asyncio.Task(coroutine, loop=loop, **options)


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Let `loop` create the tasks of handlers with their paths; a second time changes nothing."""
    before = loop.get_task_factory()
    if not isinstance(before, PathFactory):
        factory: Any = PathFactory(before)  # its type in typeshed changes with each Python
        loop.set_task_factory(factory)


def nothing_ready(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether `loop` has nothing to run after this callback; False where it does not say."""
    ready = getattr(loop, "_ready", None)  # asyncio has no public name for it
    return ready is not None and not ready


def current_path(running: Running) -> PathTask | None:
    """Return the path that is being executed, None outside of the handler that `running` is."""
    task = asyncio.current_task()
    return task if type(task) is PathTask and task.running is running else None
