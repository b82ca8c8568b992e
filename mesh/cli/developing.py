"""What `mesh dev` does: a broker, agents in a child process, work, and what is to be seen of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli.adopting import Policies, adopt
from mesh.cli.brokers import Ready, broker
from mesh.cli.failures import CommandError, Exit
from mesh.cli.findings import Found, IncidentReader
from mesh.cli.keeping import StateReader
from mesh.cli.moving import Moving
from mesh.cli.options import Session
from mesh.cli.pilot import Crew, Pilot
from mesh.cli.processing import Beside
from mesh.cli.reading import AuditReader
from mesh.cli.sharing import Sharing, read_sharing, shape, told
from mesh.cli.showing import BesideDashboard
from mesh.cli.submitting import Asked, Submitter
from mesh.cli.tally import Tally
from mesh.core import facts as f
from mesh.core.values import Status
from mesh.errors import MeshError
from mesh.telling import words

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.ports import Log

DRAIN_S = 5.0
SETTLE_MS = 300
"""Editors write a file in several strokes: one reload for all within this."""


class Item(NamedTuple):
    """One input to submit; `name` is what a person calls it, `defect` why it cannot be.

    `capability` is "" where the plan says what it is for.
    """

    name: str
    value: object
    defect: str
    capability: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run; `load` returns the inputs for `capability`, "" for none.

    `policy` is a file to be applied before the agents start. `shows` returns lines about the values
    in shared state, by key, for the summary.
    """

    targets: tuple[str, ...]
    broker: str
    capability: str = ""
    load: Callable[[], Sequence[Item]] = lambda: ()
    exit_when_done: bool = False
    reload: bool = True
    policy: Path | None = None
    shows: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _: ()


class Dev:
    """Mutable: one run of `mesh dev`."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self.out = session.out
        self.config: Config = session.config(joins=False)
        self.plan = plan
        self.tally = Tally()
        self.moving = Moving()
        self.stop = asyncio.Event()
        self.skipped: list[Item] = []
        self.sharing = Sharing()
        self.incidents: list[Found] = []
        self.wall_s = 0.0
        self._began = 0.0
        self._submitted: set[str] = set()
        self._ended: set[str] = set()
        self._failed: set[str] = set()
        self._halted: set[str] = set()
        self._all_submitted = False
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Run until everything is done, or until it is told to stop.

        Raises:
            MeshError: The broker or the agents cannot be had.
        """
        plan, out = self.plan, self.out
        async with AsyncExitStack() as stack:
            loading = asyncio.create_task(asyncio.to_thread(plan.load))
            stack.push_async_callback(_cancelled, loading)
            ready = await stack.enter_async_context(broker(plan.broker, self.config, out))
            self.config = ready.config
            crew = _Agents(self, ready)
            stack.push_async_callback(crew.stop)
            async with out.waiting("loading the agents"):
                await crew.prepare()
            log = await stack.enter_async_context(_connected(self.config))
            reader = AuditReader(log, self.config, out)
            starts = {number: high for number, (_, high) in (await reader.ends()).items()}
            state = StateReader(log, self.config, out)
            ends = await state.ends(state.changes)
            changes = {number: high for number, (_, high) in ends.items()}
            adopted = await self._adopted(log)
            shared = Beside(self.config, out.complain, DRAIN_S)
            stack.push_async_callback(shared.stop)
            page = BesideDashboard(self.config, out.complain, DRAIN_S)
            stack.push_async_callback(page.stop)
            async with out.waiting("starting the agents"):
                shared.start()
                page.start()
                await crew.go()
                await shared.ready()
                await page.ready()
            stack.enter_context(_announced(self.config))
            self._tell(ready, crew.crew, adopted, page.address)
            tasks = [
                asyncio.create_task(self._follow(reader, starts)),
                asyncio.create_task(crew.watch()),
                asyncio.create_task(self._find(IncidentReader(log, self.config, out))),
            ]
            stack.push_async_callback(_cancelled, *tasks)
            await self._submit(log, len(starts), await loading)
            await self._until_over(self._close(state, changes), *tasks)

    async def _adopted(self, log: Log) -> str:
        """Bring the plan's policy into force; return what holds, "" where nothing was asked for."""
        file = self.plan.policy
        return "" if file is None else await adopt(Policies(log, self.config, self.out), file)

    def _tell(self, ready: Ready, crew: Crew, adopted: str, page: str) -> None:
        say, config = self.out.say, self.config
        say(f"broker   {ready.words}")
        say(f"mesh     {config.mesh}: {words.listed(crew.agents)}")
        say(f"page     {page}")
        if adopted:
            say(f"policy   {adopted}")
        if not self.plan.capability:
            say(f"submit   mesh submit {crew.capabilities[0]} --json '{{…}}' --wait")
        say("")

    # --- work -----------------------------------------------------------------------------------

    async def _submit(self, log: Log, partitions: int, items: Sequence[Item]) -> None:
        from mesh.bootstrap import artifacts

        self._began = time.monotonic()
        submitter = Submitter(log, self.config.mesh, partitions, artifacts(self.config))
        for item in items:
            if self.stop.is_set():
                return
            if item.defect:
                self.skipped.append(item)
                self.out.say(f"not submitted  {item.name}: {words.clip(item.defect)}")
                continue
            submitted = await submitter.submit(
                item.capability or self.plan.capability, item.value, Asked()
            )
            self.moving.names[submitted.workflow] = item.name
            self._submitted.add(submitted.workflow)
        self._all_submitted = bool(items)
        self._look()

    async def _follow(self, reader: AuditReader, starts: dict[int, int]) -> None:
        console = None if self.out.quiet else self.out.console(stderr=True)
        async for partition, audited in reader.follow(dict(starts)):
            void, end = self.tally.add(partition, audited.record)
            lines = [] if void else self.moving.see(audited.record, end)
            for line in lines if console is not None else ():
                text = f"{words.clock(line.at_ms)}  {line.text}"
                assert console is not None
                console.print(text, style=line.style, markup=False, soft_wrap=True)
            if end is not None and end.status is not Status.COMPLETED:
                self._failed.add(getattr(audited.record.fact, "workflow", ""))
            if not void:
                self._note(audited.record.fact, ended=end is not None)

    def _note(self, fact: f.Fact, *, ended: bool) -> None:
        """Note that a workflow ended, or that it was halted and waits for a person."""
        workflow = getattr(fact, "workflow", "")
        if isinstance(fact, f.TaskAwarded):
            self._halted.discard(workflow)
        elif isinstance(fact, f.WorkSuspended) and any(
            wait.kind == "halt" for wait in fact.waiting_for
        ):
            self._halted.add(workflow)
        elif ended:
            self._ended.add(workflow)
        else:
            return
        self._look()

    async def _find(self, reader: IncidentReader) -> None:
        """Tell what the watchman finds, as it does."""
        began_ms = int(time.time() * 1_000)
        console = None if self.out.quiet else self.out.console(stderr=True)
        async for found in reader.follow():
            if found.at_ms < began_ms:
                continue
            self.incidents.append(found)
            if console is not None:
                text = f"{words.clock(found.at_ms)}  {self._told(found)}"
                console.print(text, style="red", markup=False, soft_wrap=True)

    def _told(self, found: Found) -> str:
        own = found.incident
        spent, granted = self.tally.paid(own.workflow)
        of = f" of {words.money(granted)}" if granted else ""
        paid = f" after {words.money(spent)}{of}" if spent else ""
        return f"{self._called(found)}  ✗ incident {own.kind}{paid}: {own.text}"

    def _called(self, found: Found) -> str:
        workflow = found.incident.workflow
        return self.moving.names.get(workflow, words.short(workflow or found.key))

    def _look(self) -> None:
        """See whether everything that was submitted has ended, or waits for a person."""
        over = self._submitted <= self._ended | self._halted
        if self._all_submitted and over and not self._done.is_set():
            self.wall_s = time.monotonic() - self._began
            self._done.set()

    async def _close(self, state: StateReader, changes: Mapping[int, int]) -> None:
        """Sum up, once everything is over; return if nothing is left to be done then."""
        await self._done.wait()
        self.sharing = await read_sharing(state, changes)
        if self.plan.exit_when_done:
            return
        self.out.say(f"\n{self._summary()}")
        self.out.say("The agents go on; Ctrl-C ends them. In another terminal: mesh trace")
        for line in self._commands():
            self.out.say(line)
        await asyncio.Event().wait()

    async def _until_over(
        self, closing: Coroutine[Any, Any, None], *tasks: asyncio.Task[None]
    ) -> None:
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self.stop.wait()),
            asyncio.create_task(closing),
            *tasks,
        ]
        finished, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending.difference(tasks):
            task.cancel()
        for task in finished:
            task.result()  # a failure of the reader or of the agents is ours
        if not self._done.is_set():
            self.wall_s = time.monotonic() - self._began

    # --- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Write the run in figures.

        Raises:
            CommandError: Not everything was done that should have been.
        """
        plan = self.plan
        if plan.exit_when_done or self.out.is_json:
            self.out.data(self.figures(), lambda: f"\n{self._summary()}")
        if not plan.exit_when_done:
            return
        if not self._done.is_set():
            raise CommandError("interrupted before everything was done", Exit.INTERRUPTED)
        # what an earlier run left in the broker may end badly now, and is not this one's failure
        if failed := self._failed & self._submitted:
            count = words.plural(len(failed), "workflow")
            raise CommandError(f"{count} did not complete; `mesh trace` tells why", Exit.FAILED)

    def _summary(self) -> str:
        tally = self.tally
        outcomes = [f"{count} {name}" for name, count in sorted(tally.outcomes.items())]
        ends = words.listed(outcomes) or "none"
        counts = (
            words.plural(tally.tasks, "task"),
            words.plural(tally.auctions, "auction"),
            f"{words.plural(tally.sent_back, 'result')} sent back",
            f"{words.plural(tally.reawards, 'award')} made again",
            f"cost {words.money(tally.cost.micro_usd)}",
        )
        lines = [
            f"{words.plural(tally.ended, 'workflow')} ended in {self.wall_s:.1f} s: {ends}",
            ", ".join(counts),
        ]
        if self.skipped:
            lines.append(f"{words.plural(len(self.skipped), 'input')} could not be submitted")
        halted = len(self._halted - self._ended)
        if halted:
            lines.append(f"{words.plural(halted, 'workflow')} halted, which a person may lift")
        lines += [*told(self.sharing), *self.plan.shows(self.sharing.values())]
        lines += self._found()
        return "\n".join(lines)

    def _found(self) -> Iterator[str]:
        """Return the incidents by workflow: what was found and spent, and whether it goes on."""
        kinds: dict[str, dict[str, str]] = {}
        for found in self.incidents:
            called = kinds.setdefault(found.incident.workflow or found.key, {})
            called[found.incident.kind] = self._called(found)
        for workflow, own in kinds.items():
            spent, granted = self.tally.paid(workflow)
            of = f" of {words.money(granted)}" if granted else ""
            paid = f", spent {words.money(spent)}{of}" if spent else ""
            halted = ", halted" if workflow in self._halted - self._ended else ""
            yield f"incident {words.listed(own)}: {next(iter(own.values()))}{paid}{halted}"

    def _commands(self) -> Iterator[str]:
        """Return what to ask for next, of what this run has."""
        key = next(iter(self.sharing.contested), next(iter(self.sharing.entries), ""))
        if key:
            yield f"  mesh state get {key.partition('/')[0]}/"
            yield f"  mesh state history {key}"
        if self.sharing.contested:
            yield f"  mesh state settle {key} --take 0 --because …"
        if self.incidents:
            yield "  mesh incidents"
        for workflow in sorted(self._halted - self._ended):
            yield f"  mesh lift workflow/{words.short(workflow)} --because …"

    def figures(self) -> dict[str, Any]:
        """Return the run in figures."""
        tally = self.tally
        return {
            "workflows": tally.workflows,
            "completed": tally.completed,
            "failed": tally.failed,
            "tasks": tally.tasks,
            "auctions": tally.auctions,
            "sent_back": tally.sent_back,
            "reawards": tally.reawards,
            "wall_s": round(self.wall_s, 3),
            "outcomes": dict(sorted(tally.outcomes.items())),
            "not_submitted": len(self.skipped),
            "cost": tally.cost._asdict(),
            "records": tally.records,
            "halted": len(self._halted - self._ended),
            "incidents": len(self.incidents),
            "shared": shape(self.sharing),
            "mesh": self.config.mesh,
            "bootstrap": self.config.bootstrap,
        }


class _Agents:
    """Mutable: the child that runs the agents, started again when their files change."""

    def __init__(self, dev: Dev, ready: Ready) -> None:
        self.crew = Crew(agents=(), capabilities=(), files=())
        self._dev = dev
        self._ready = ready
        self._pilot = self._new()

    def _new(self) -> Pilot:
        from mesh.config import environment, to_environment

        environ = to_environment(self._ready.config, environment())
        return Pilot(self._dev.plan.targets, environ, DRAIN_S)

    async def prepare(self) -> None:
        """Load the agents, and have the topics that they need."""
        from mesh.bootstrap import ensure_topics, topic_plans

        self.crew = await self._pilot.prepare()
        plans = topic_plans(self._ready.config, self.crew.capabilities, self.crew.agents)
        await ensure_topics(self._ready.admin, plans)

    async def go(self) -> None:
        """Start them; returns when they take work."""
        await self._pilot.go()

    async def stop(self) -> None:
        """Let them drain."""
        await self._pilot.stop()

    async def watch(self) -> None:
        """Load the agents again whenever they are saved; without that, wait for their end.

        Raises:
            CommandError: Their process ended by itself.
        """
        ending = asyncio.create_task(self._pilot.ended())
        try:
            while True:
                changing = asyncio.create_task(self._changed())
                await asyncio.wait({ending, changing}, return_when=asyncio.FIRST_COMPLETED)
                if ending.done() and not (self._dev.plan.reload and changing.done()):
                    changing.cancel()
                    raise CommandError(
                        f"the agents' process ended with {ending.result()}; what it said is above",
                        Exit.UNEXPECTED,
                    )
                self._dev.out.say(f"{changing.result()} was saved: loading the agents again")
                await self._reload()
                ending.cancel()
                ending = asyncio.create_task(self._pilot.ended())
        finally:
            ending.cancel()

    async def _changed(self) -> str:
        """Wait until one of the agents' files is saved; return its name."""
        if not self._dev.plan.reload:
            await asyncio.Event().wait()
        from watchfiles import PythonFilter, awatch

        folders = {path.parent for path in self.crew.files}
        changes = awatch(*folders, watch_filter=PythonFilter(), debounce=SETTLE_MS)
        async for found in changes:
            return Path(next(iter(found))[1]).name
        return ""

    async def _reload(self) -> None:
        """Start the agents anew; while they cannot be loaded, wait for the next save."""
        await self._pilot.stop()
        while True:
            self._pilot = self._new()
            try:
                await self.prepare()
                await self.go()
            except MeshError as error:
                self._dev.out.complain(f"mesh: {error}; waiting for the next save")
                await self._pilot.stop()
                await self._changed()
            else:
                self._dev.out.say(f"ready again: {words.listed(self.crew.agents)}")
                return


@asynccontextmanager
async def _connected(config: Config) -> AsyncIterator[Log]:
    from mesh.bootstrap import connect

    log = connect(config, client_id="mesh-dev")
    await log.open()
    try:
        yield log
    finally:
        await log.close()


@contextmanager
def _announced(config: Config) -> Iterator[None]:
    """Let other commands of this user find this mesh while it is there."""
    from mesh.config import DEV, Contexts, config_folder, environment

    contexts = Contexts(config_folder(environment()))
    own = config.model_dump(
        mode="json", include={"mesh", "bootstrap", "embedded", "artifacts", "settings"}
    )
    if config.security.protocol != "PLAINTEXT":
        own["security"] = config.security.model_dump(mode="json") | {
            "password": config.security.password.get_secret_value()
        }
    with suppress(OSError):  # a home that cannot be written to: then --bootstrap must be given
        contexts.add(DEV, own | {"pid": os.getpid()})
    try:
        yield
    finally:
        with suppress(OSError):
            _, known = contexts.read()
            if known.get(DEV, {}).get("pid") == os.getpid():
                contexts.remove(DEV)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
