"""Handlers for the simulator: small scripted programs, run step by step without an event loop.

A `Script` is a tree of operations. Its input's hash finds it, so a delegation hands its script on
as the task's input. A `Run` is one start of a handler: it numbers steps along its paths as the
runtime does along asyncio tasks, makes calls, takes what the core answers, and begins from the
start whenever it is started again. Nothing is kept between two runs.
"""

from __future__ import annotations

from collections.abc import Generator
from hashlib import sha256
from typing import NamedTuple, Protocol

from mesh.core import calls as c
from mesh.core.ids import step_id
from mesh.core.values import Acceptance, Amount, Body, Effect, Mode, Outcome, Status, StepKind

UNDECIDED, RECORDING = -2, -1


def body(text: str) -> Body:
    """Return a JSON body that says `text`."""
    content = f'"{text}"'.encode()
    return Body(sha256(content).digest(), "application/json", content)


# --- operations ---------------------------------------------------------------------------------


class Delegated(NamedTuple):
    """Have `script` done by another task. A result of an attempt before `from_attempt` is refused.

    `tolerate`: go on if it ends otherwise than completed.
    """

    capability: str
    script: Script
    mode: Mode = Mode.DIRECT
    agent: str = ""
    grant: Amount | None = None
    timeout_ms: int | None = None
    from_attempt: int = 0
    tolerate: bool = False


class Tool(NamedTuple):
    """Call the outside world. `uid` names the effect itself, whatever step and key it gets."""

    uid: str
    effect: Effect
    reserve: Amount
    cost: Amount
    ms: int
    error: str = ""
    probe: bool = False
    kind: StepKind = StepKind.TOOL
    tolerate: bool = False
    flicker: bool = False


class Spend(NamedTuple):
    """Reserve and charge."""

    amount: Amount
    tolerate: bool = False


class Decide(NamedTuple):
    """Write a line of the decision chain."""

    choice: str


class Keep(NamedTuple):
    """Store an artifact."""

    name: str


class Sleep(NamedTuple):
    """Wait in log time."""

    ms: int


class Compute(NamedTuple):
    """Be busy without telling anyone."""

    ms: int


class Together(NamedTuple):
    """Run the branches concurrently, wait for all; the first branch's error is raised then."""

    branches: tuple[tuple[Op, ...], ...]


class Race(NamedTuple):
    """Run the branches concurrently; who wins is recorded, the others are abandoned."""

    branches: tuple[tuple[Op, ...], ...]


class Raise(NamedTuple):
    """Fail, in attempts up to `attempts`."""

    text: str
    attempts: int = 99


class Reject(NamedTuple):
    """Refuse the input."""

    text: str


class Wiser(NamedTuple):
    """Do otherwise once an attempt has failed or was refused."""

    before: tuple[Op, ...]
    after: tuple[Op, ...]


class Hang(NamedTuple):
    """Never return."""


RECORD = Keep("first")
Op = (
    Delegated
    | Tool
    | Spend
    | Decide
    | Keep
    | Sleep
    | Compute
    | Together
    | Race
    | Raise
    | Reject
    | Wiser
    | Hang
)


class Script(NamedTuple):
    """What one task does. Its name is its input, so it must be unique for what it does."""

    name: str
    ops: tuple[Op, ...]

    @property
    def input(self) -> Body:
        """Return the task input that leads to this script."""
        return body(self.name)


class Library:
    """Mutable: finds scripts by the hash of their input."""

    def __init__(self) -> None:
        self._scripts: dict[bytes, Script] = {}

    def add(self, script: Script) -> Script:
        """Make a script and all that it delegates known."""
        self._scripts[script.input.hash] = script
        for op in _flat(script.ops):
            if isinstance(op, Delegated) and op.script.input.hash not in self._scripts:
                self.add(op.script)
        return script

    def find(self, input_hash: bytes) -> Script:
        """Return the script of an input; one that nobody knows is refused by a script."""
        return self._scripts.get(input_hash) or Script("?", (Reject("no such input"),))


def _flat(ops: tuple[Op, ...]) -> list[Op]:
    found: list[Op] = []
    for op in ops:
        found.append(op)
        if isinstance(op, Together | Race):
            for branch in op.branches:
                found += _flat(branch)
        elif isinstance(op, Wiser):
            found += _flat(op.before) + _flat(op.after)
    return found


def has_flicker(script: Script) -> bool:
    """Tell whether a script does not do the same in every run."""
    return any(isinstance(op, Tool) and op.flicker for op in _flat(script.ops))


def is_wiser(script: Script) -> bool:
    """Tell whether a script does otherwise after a verdict."""
    return any(isinstance(op, Wiser) for op in _flat(script.ops))


# --- running ------------------------------------------------------------------------------------


class Host(Protocol):
    """What a run needs of the instance that it runs in."""

    def call(self, run: Run, call: c.Call) -> None:
        """Make a call."""

    def perform(self, run: Run, step: str, key: str, tool: Tool) -> None:
        """Do an effect in the outside world; `StepDone` follows."""

    def probe(self, run: Run, step: str, key: str, tool: Tool) -> None:
        """Ask the outside world for an effect; `Probed` follows."""

    def finish(self, run: Run, finished: c.HandlerFinished) -> None:
        """Take the result."""

    def waiting(self, run: Run, steps: tuple[str, ...], token: int) -> None:
        """Take note that every path waits on these steps."""

    def compute(self, run: Run, path: Path, ms: int) -> None:
        """Call `run.computed(path)` later."""


class _Failed(Exception):
    def __init__(self, outcome: Outcome, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


class _Ended(NamedTuple):
    """How a branch ended."""

    error: _Failed | None


Play = Generator["Op | _Fork", "c.Result | list[_Ended] | Exception | None", None]


class _Fork(NamedTuple):
    paths: tuple[Path, ...]
    first: bool


class Path:
    """Mutable: one asyncio task of a handler, so to speak."""

    __slots__ = (
        "children", "dead", "ended", "fork", "name", "op", "ordinal", "parent", "play", "step",
        "winner",
    )  # fmt: skip

    def __init__(self, name: str, parent: Path | None) -> None:
        self.name = name
        self.parent = parent
        self.play: Play | None = None
        self.ordinal = 0
        self.children = 0
        self.step = ""
        self.op: Op | None = None
        self.fork: _Fork | None = None
        self.winner = UNDECIDED
        self.ended: _Ended | None = None
        self.dead = False


class Run:
    """Mutable: one start of a handler."""

    def __init__(self, work: c.Work, script: Script, host: Host) -> None:
        self.work = work
        self.script = script
        self.host = host
        self.stopped = False
        self.over = False
        self.steps: dict[str, Path] = {}
        self.tools: dict[str, Tool] = {}
        self.token = 0
        self._live: list[Path] = []
        self._settling = 0
        self._said: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Run({self.script.name} {self.work.task[:8]}@{self.work.award} {list(self.steps)})"

    @property
    def _alive(self) -> bool:
        return not (self.stopped or self.over)

    # --- what the core says ---------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        root = Path("", None)
        root.play = self._play(self.script.ops, root)
        self._live.append(root)
        self._enter(root, None)

    def resolve(self, step: str, result: c.Result) -> None:
        """Hand a step's result over."""
        path = self.steps.pop(step, None)
        if path is None or path.dead or not self._alive:
            return
        if path.fork is None:
            self._enter(path, result)
            return
        self._settling += 1
        self._recorded(path, path.fork, result.body)
        self._settling -= 1
        self._say_waiting()

    def refuse(self, step: str, error: Exception) -> None:
        """Raise in a step."""
        path = self.steps.pop(step, None)
        if path is not None and not path.dead and self._alive:
            self._enter(path, error)

    def perform(self, step: str, key: str) -> None:
        """Do a step's effect."""
        tool = self.tools.get(step)
        if tool is not None:
            self.host.perform(self, step, key, tool)

    def probe(self, step: str, key: str) -> None:
        """Ask for a step's effect."""
        tool = self.tools.get(step)
        if tool is not None:
            self.host.probe(self, step, key, tool)

    def review(self, step: str, result: Body) -> str:
        """Return why a child's result is refused, "" for accepted."""
        path = self.steps.get(step)
        wanted = path.op.from_attempt if path is not None and isinstance(path.op, Delegated) else 0
        attempt = int((result.content or b'"0#"').split(b"#")[0].strip(b'"') or b"0")
        return f"attempt {attempt} is not good enough" if attempt < wanted else ""

    def stop(self) -> None:
        """Unwind: nothing is called any more."""
        self.stopped = True

    def computed(self, path: Path) -> None:
        """Go on after a computation."""
        if self._alive and not path.dead:
            self._enter(path, None)

    # --- inside ---------------------------------------------------------------------------------

    def _play(self, ops: tuple[Op, ...], path: Path) -> Play:
        for op in ops:
            match op:
                case Together() | Race():
                    forked = tuple(self._fork(path, branch) for branch in op.branches)
                    ended = yield _Fork(forked, isinstance(op, Race))
                    assert isinstance(ended, list)
                    for branch in ended:
                        if branch.error is not None:
                            raise branch.error
                case Raise():
                    if self.work.attempt <= op.attempts:
                        raise _Failed(Outcome.FAILED, op.text)
                case Wiser():
                    yield from self._play(op.after if self.work.attempt > 1 else op.before, path)
                case Reject():
                    raise _Failed(Outcome.REJECTED, op.text)
                case _:
                    result = yield op
                    _check(op, result)

    def _fork(self, path: Path, ops: tuple[Op, ...]) -> Path:
        child = Path(f"{path.name}{path.children}.", path)
        path.children += 1
        child.play = self._play(ops, child)
        return child

    def _enter(self, path: Path, value: c.Result | list[_Ended] | Exception | None) -> None:
        """Let a path run, and with it all that this sets free; then say if everything waits."""
        self._settling += 1
        self._drive(path, value)
        self._settling -= 1
        self._say_waiting()

    def _drive(self, path: Path, value: c.Result | list[_Ended] | Exception | None) -> None:
        play = path.play
        assert play is not None
        path.op = None
        try:
            request = play.send(value)
        except StopIteration:
            self._end(path, None)
        except _Failed as failed:
            self._end(path, failed)
        else:
            self._request(path, request)

    def _request(self, path: Path, request: Op | _Fork) -> None:
        if isinstance(request, _Fork):
            path.fork = request
            self._live.remove(path)
            self._live += request.paths
            for child in request.paths:
                if self._alive and not child.dead:
                    self._drive(child, None)
            return
        path.op = request
        if isinstance(request, Compute):
            self.host.compute(self, path, request.ms)
        elif not isinstance(request, Hang):
            self._call(path, request)

    def next_step(self, path: Path) -> str:
        """Number the next step of a path."""
        step = step_id(path.name, path.ordinal, self.work.restart)
        path.ordinal += 1
        return step

    def _call(self, path: Path, op: Op) -> None:
        step = path.step = self.next_step(path)
        self.steps[step] = path
        if isinstance(op, Tool):
            self.tools[step] = op
        self.host.call(self, self._as_call(step, op))

    def _as_call(self, step: str, op: Op) -> c.Call:
        match op:
            case Delegated():
                return c.Delegate(
                    step=step,
                    capability=op.capability,
                    input=op.script.input,
                    mode=op.mode,
                    named_agent=op.agent,
                    grant=op.grant,
                    timeout_ms=op.timeout_ms,
                    acceptance=Acceptance.REVIEWED if op.from_attempt else Acceptance.AUTOMATIC,
                )
            case Tool():
                name = f"{op.uid}+{self.work.award}" if op.flicker else op.uid
                return c.Use(
                    step=step,
                    kind=op.kind,
                    name=name,
                    input_hash=body(op.uid).hash,
                    effect=op.effect,
                    reserve=op.reserve,
                    probe=op.probe,
                )
            case Spend():
                return c.Spend(step=step, amount=op.amount, because="script")
            case Decide():
                return c.Decide(step=step, choice=op.choice, because="script", evidence=())
            case Keep():
                return c.Keep(step=step, name=op.name, input_hash=b"k", result=body(op.name))
            case Sleep():
                return c.Sleep(step=step, ms=op.ms)
            case _:
                raise AssertionError(op)

    def _end(self, path: Path, failed: _Failed | None) -> None:
        path.ended = _Ended(failed)
        self._live.remove(path)
        parent = path.parent
        if parent is None:
            self._finish(failed)
            return
        fork = parent.fork
        assert fork is not None
        if fork.first:
            self._won(parent, fork, path)
        elif all(branch.ended is not None for branch in fork.paths):
            parent.fork = None
            self._live.append(parent)
            self._drive(parent, [branch.ended for branch in fork.paths if branch.ended])

    def _won(self, parent: Path, fork: _Fork, path: Path) -> None:
        """Record who won a race, once: what comes first here need not come first in a replay."""
        if parent.winner == UNDECIDED:
            parent.winner = RECORDING
            parent.op = RECORD
            self._live.append(parent)
            step = parent.step = self.next_step(parent)
            self.steps[step] = parent
            won = body(str(fork.paths.index(path)))
            self.host.call(self, c.Keep(step=step, name="first", input_hash=b"first", result=won))
        else:
            self._judge(parent, fork)

    def _recorded(self, parent: Path, fork: _Fork, won: Body) -> None:
        self._live.remove(parent)
        parent.op = None
        parent.winner = int((won.content or b'"0"').strip(b'"'))
        self._judge(parent, fork)

    def _judge(self, parent: Path, fork: _Fork) -> None:
        """Go on once the recorded winner has ended here too; abandon the others."""
        ended = fork.paths[parent.winner].ended if parent.winner >= 0 else None
        if ended is None:
            return
        for place, loser in enumerate(fork.paths):
            if place != parent.winner:
                self._abandon(loser)
        parent.fork = None
        parent.winner = UNDECIDED
        self._live.append(parent)
        self._drive(parent, [ended])

    def _abandon(self, path: Path) -> None:
        """Cancel a path: a child that it awaits is withdrawn."""
        path.dead = True
        if path in self._live:
            self._live.remove(path)
        if path.fork is not None:
            for child in path.fork.paths:
                self._abandon(child)
        if path.ended is None and isinstance(path.op, Delegated) and path.step in self.steps:
            self.host.call(self, c.Withdraw(step=path.step))

    def _finish(self, failed: _Failed | None) -> None:
        self.over = True
        work = self.work
        self.host.finish(
            self,
            c.HandlerFinished(
                work.task,
                work.award,
                failed.outcome if failed is not None else Outcome.COMPLETED,
                body(f"{work.attempt}#{self.script.name}") if failed is None else body(""),
                str(failed) if failed is not None else "",
                "/x" if failed is not None and failed.outcome is Outcome.REJECTED else "",
                900,
                ("script",),
            ),
        )

    def _say_waiting(self) -> None:
        """Tell the host if every path waits on a delegation or a sleep."""
        if self._settling or not self._alive:
            return
        steps: list[str] = []
        for path in self._live:
            op = path.op
            writes = isinstance(op, Tool) and op.kind is StepKind.WRITE
            if not writes and not isinstance(op, Delegated | Sleep):
                self._said = ()
                return
            steps.append(path.step)
        said = tuple(steps)
        if said and said != self._said:
            self._said = said
            self.token += 1
            self.host.waiting(self, said, self.token)


def _check(op: Op, result: c.Result | list[_Ended] | Exception | None) -> None:
    """Raise in the script what a step raised, unless the script tolerates it."""
    if getattr(op, "tolerate", False) or result is None or isinstance(result, list):
        return
    if isinstance(result, Exception):
        raise _Failed(Outcome.FAILED, f"{type(result).__name__}: {result}")
    if result.status is not Status.COMPLETED:
        raise _Failed(Outcome.FAILED, f"{result.status}: {result.reason}")
