"""A fleet whose every word is written down, for golden transcripts.

A line is a moment (seconds since the beginning), a kind, who, and what:

    log N   a fact at position N of the audit log, and why it is void if it is
    send    a message from one instance to another
    out     what goes out beside the log: replies, incidents, notes of open tasks, refusals
    node    what a node tells its handler
    code    what the handler, which is the author's code, says to its node
    ***     what befalls them

A handler is told of attempts that had a verdict (a failure, a refusal); a worker's death is none.
A renewal that comes again and again is written when it comes first, and counted from then on.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.registry import Card
from mesh.core.tasks import Header
from mesh.core.values import Holder, TaskPartition
from tests.scenarios.words import Words, place
from tests.unit.core.fleet import ROOTS, START_MS, Fleet, Peer

SAYS = (
    c.Called, c.StepDone, c.Probed, c.Reviewed, c.Waiting, c.HandlerFinished, c.HandlerStopped,
)  # fmt: skip
RENEWALS = (f.LeaseRenewed, f.SupervisionRenewed, m.Progress)


class Stage(Fleet):
    """Mutable: a fleet, and the transcript of what happens in it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.lines: list[str] = []
        self.words = Words(START_MS)
        self._renewals: Counter[type] = Counter()

    def _peer(self, me: Holder, own: Card, **other: Any) -> Peer:
        actor = Actor(self, me, own, **other)
        offers = ", ".join(offered.name for offered in own.capabilities)
        self.direct(actor, f"starts and offers {offers}")
        return actor

    def direct(self, peer: Peer, what: str) -> None:
        """Write down what is done to somebody."""
        self.tell("***", peer, what)

    def tell(self, kind: str, who: Peer, what: str) -> None:
        """Write a line."""
        left = sum(self._renewals.values()) - len(self._renewals)
        if left:
            self.lines.append(f"{'':8}  ...     and {left} more of these renewals")
        self._renewals.clear()
        self._write(kind, who, what)

    def tell_of(self, kind: str, who: Peer, item: object, more: str = "") -> None:
        """Write a line about a fact, a message or an effect."""
        told = self.words.told(item) + more
        if more or not isinstance(item, RENEWALS):
            self.tell(kind, who, told)
            return
        if type(item) not in self._renewals:
            self._write(kind, who, told)
        self._renewals[type(item)] += 1

    def _write(self, kind: str, who: Peer, what: str) -> None:
        at = self.words.at(self.now_ms)
        self.lines.append(f"{at:>8}  {kind:6}  {who.me.instance:6}  {what}")


class Actor(Peer):
    """Mutable: a peer whose every word is written down."""

    fleet: Stage

    def give(self, given: i.Input) -> None:
        """Give the node an input; what its handler says is written down."""
        if self.up and isinstance(given, SAYS):
            self.fleet.tell_of("code", self, given)
        super().give(given)

    def _land(self, append: e.Append) -> None:
        if isinstance(append.fact, f.TaskOpened):
            self.fleet.words.name(append.fact)
        log = self.fleet.logs[append.partition]
        position = len(log.records)
        super()._land(append)
        void = log.audit.verdicts[position]
        self.fleet.tell_of(
            f"log {position}", self, append.fact, f" -- void: {void}" if void else ""
        )

    def _say(self, message: e.MessageEffect) -> None:
        if isinstance(message, e.Send):
            content = message.envelope.content
            to = "" if isinstance(content, RENEWALS) else f" -> {message.envelope.to.instance}"
            self.fleet.tell_of("send", self, content, to)
        else:
            self.fleet.tell_of("out", self, message)
        super()._say(message)

    def _tell(self, effect: e.HandlerEffect) -> None:
        self.fleet.tell_of("node", self, effect)
        super()._tell(effect)

    def die(self) -> None:
        """Be gone, with all that was in memory."""
        self.fleet.direct(self, "dies")
        super().die()

    def stall(self) -> None:
        """Let no append reach the log until `flow`."""
        self.fleet.direct(self, "is cut off from the log")
        super().stall()

    def flow(self) -> None:
        """Let what was stalled reach the log, now."""
        self.fleet.direct(self, "reaches the log again")
        super().flow()

    def owns(
        self, source: TaskPartition = ROOTS, header: Header | None = None, *opened: str
    ) -> None:
        """Be given a task partition by the group."""
        self.fleet.direct(self, f"is given {place(source)} by the group")
        super().owns(source, header, *opened)

    def disowns(self, source: TaskPartition = ROOTS, *, lost: bool = False) -> None:
        """Have it taken back."""
        self.fleet.direct(self, f"has {place(source)} taken back{' and was not asked' * lost}")
        super().disowns(source, lost=lost)

    def submit(self, source: TaskPartition = ROOTS, offset: int = -1, **other: Any) -> str:
        """Hand over a record of a task topic."""
        self.fleet.direct(self, f"polls a record of {place(source)}")
        return super().submit(source, offset, **other)
