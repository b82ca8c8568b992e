"""Finding a worker for one task: direct and named at once, by auction after a call for bids.

An auction is `BidsCalled` on the log, with the supervisor's own bid in it before it can see the
others; then a `CallForBids` to each candidate; then, when all have answered or the time is over,
the choice. The award that follows holds every bid with its figures, so anyone can recompute it.
After a decline or a death the next-ranked is chosen from the same call; when nobody is left of it,
bids are called for again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.desk import Desk
from mesh.core.ids import audit_partition_of, derive
from mesh.core.negotiation import (
    HAS_LEFT,
    NEUTRAL_STANDING,
    WINDOW,
    Self,
    asked,
    candidates,
    choose_direct,
    decide,
    explain,
    looping,
    means_of,
    rerank,
)
from mesh.core.registry import Offering, Presence
from mesh.core.standing import Known
from mesh.core.tasks import TaskState
from mesh.core.values import Holder, Mode, Offer

IS_HALTED: Final = "its agent is halted"
"""Why a bidder is passed over that has had its turn with nobody."""


class Choice(NamedTuple):
    """Whom an allocation came to, and how: what `Terms` records."""

    presence: Presence
    mode: Mode
    call: int
    offers: tuple[Offer, ...]
    why: str


class Auction:
    """Mutable: one call for bids and what came back."""

    __slots__ = ("answers", "call", "called", "closed")

    def __init__(self, called: f.BidsCalled, call: int) -> None:
        self.called = called
        self.call = call
        self.answers: dict[str, m.Bid | m.Decline | None] = {}
        self.closed = False


class Allocation:
    """Mutable: the auctions under way at one node. `then(task, choice)` takes each result."""

    def __init__(
        self, desk: Desk, bidder: m.Bidder, then: Callable[[str, Choice | None], None]
    ) -> None:
        self.desk = desk
        self.bidder = bidder
        self.then = then
        self.auctions: dict[str, Auction] = {}
        self._asking: dict[str, object] = {}
        self.rounds: dict[str, int] = {}
        self.barren: set[str] = set()
        self.ranked: dict[str, tuple[f.BidsCalled, int, tuple[Offer, ...]]] = {}

    def begin(self, task: TaskState, over: int, tried: dict[str, str], free_slots: int) -> None:
        """Look for a worker; `then` is called at once, or when an auction is decided.

        `over` is the authority under which a call for bids is written, `tried` names the instances
        that had their turn, with the reason why they are asked last.
        """
        opened = task.opened
        if opened.mode is not Mode.AUCTION:
            digest = task.terms.digest if task.terms is not None else ""
            self.then(opened.task, self.choose(opened, tried, free_slots, digest))
            return
        next_ranked = self._next_ranked(task, tried)
        if next_ranked is not None:
            self.then(opened.task, next_ranked)
            return
        if not self.call(task, over, tried, free_slots):
            self.then(opened.task, None)

    def call(self, task: TaskState, over: int, tried: dict[str, str], free_slots: int) -> bool:
        """Call for bids; False if there is nobody to ask, and nothing was done."""
        opened = task.opened
        offering = self._offering(opened)
        number = self.rounds.get(opened.task, 0)
        seed = int(derive("seed", opened.task, number, task.epoch)[:8], 16)
        # who had its turn is asked again once nobody else wanted it
        exclude = frozenset() if opened.task in self.barren else frozenset(tried)
        count = self.desk.settings.candidates
        chosen = candidates(opened.task, offering, count, seed, exclude)
        if not chosen:
            return False
        self.rounds[opened.task] = number + 1
        until_ms = self.desk.log_now(opened.workflow) + self._wait_ms(number)
        me = self.desk.me.instance
        own = self._own_offer(task, until_ms, free_slots) if self._am(chosen, me) else None
        called = f.BidsCalled(
            workflow=opened.workflow,
            task=opened.task,
            by=self.desk.me,
            authority=over,
            round=number,
            seed=seed,
            candidates=tuple(p.instance for p in chosen if p.instance != me),
            bids_until_ms=until_ms,
            own_offer=own,
        )
        mark = self._asking[opened.task] = object()
        self.desk.append(audit_partition_of(opened.workflow), called, self._called, task, mark)
        return True

    def choose(
        self, opened: f.TaskOpened, tried: dict[str, str], free_slots: int, digest: str = ""
    ) -> Choice | None:
        """Choose a worker without asking anybody."""
        offering = self._offering(opened)
        if opened.mode is Mode.NAMED:
            offering = offering.only(opened.named_agent)
        me = Self(self.desk.me.instance, free_slots)
        found = choose_direct(opened.task, offering, me, frozenset(tried), digest)
        if found is None:
            return None
        few = len(offering) <= WINDOW  # of more, others than those looked at may have a slot
        if found.instance != me.instance and few and offering.load(found) >= found.slots:
            return None  # all are full: an award that is declined costs the log two facts
        if found.instance == me.instance:
            why = "the supervisor offers it and has a slot free"
        elif opened.mode is Mode.NAMED:
            why = f"the caller named {opened.named_agent}"
        else:
            why = f"the less loaded of two by hash, of {len(offering)}"
        if found.instance in tried:
            why += f"; nobody is left who was not tried ({tried[found.instance]})"
        return Choice(found, opened.mode, -1, (), why)

    def forget(self, task_id: str) -> None:
        """Drop what is left of a task's auction."""
        self.auctions.pop(task_id, None)
        self._asking.pop(task_id, None)
        self.rounds.pop(task_id, None)
        self.barren.discard(task_id)
        self.ranked.pop(task_id, None)

    def answered(self, envelope: m.Envelope, answer: m.Bid | m.Decline) -> None:
        """Take a bid or a refusal to bid."""
        auction = self.auctions.get(answer.task)
        if auction is None or auction.closed or auction.call != answer.call:
            return self.desk.refuse(envelope, "no such call for bids is open")
        sender = envelope.sender.instance
        if sender not in auction.called.candidates or sender in auction.answers:
            return self.desk.refuse(envelope, "it was not asked, or has answered")
        auction.answers[sender] = answer
        if len(auction.answers) == len(auction.called.candidates):
            self._decide(auction)
        return None

    def _wait_ms(self, number: int) -> int:
        """Return how long the round of this number waits for bids."""
        settings = self.desk.settings
        return min(settings.bids_wait_ms << min(number, 16), settings.bids_wait_max_ms)

    def _offering(self, opened: f.TaskOpened) -> Offering:
        loops = looping(opened.capability, opened.input.hash, opened.ancestors)
        left_out = {*loops, *self.desk.halts.agents}
        return self.desk.directory.offering(opened.capability).without(left_out)

    def _am(self, asked: tuple[Presence, ...], me: str) -> bool:
        return any(presence.instance == me for presence in asked)

    def _call(self, task: TaskState, position: int, until_ms: int) -> m.CallForBids:
        opened = task.opened
        return m.CallForBids(
            workflow=opened.workflow,
            task=opened.task,
            call=position,
            capability=opened.capability,
            caller=opened.caller,
            input=opened.input,
            charter=opened.charter,
            ancestors=opened.ancestors,
            means=task.purse.free,
            deadline_ms=opened.deadline_ms,
            bids_until_ms=until_ms,
        )

    def _own_offer(self, task: TaskState, until_ms: int, free_slots: int) -> Offer:
        """Ask this very instance, before it sees what others bid."""
        answer = self.bidder(self._call(task, -1, until_ms))
        me, agent = self.desk.me.instance, self.desk.card.agent
        if isinstance(answer, m.Decline):
            return Offer(
                me, agent, 0, 0, 0, False, NEUTRAL_STANDING, 0, answer.reason or "declined"
            )
        figures = (answer.price_micro_usd, answer.eta_ms, answer.confidence_permille)
        return Offer(me, agent, *figures, free_slots > 0, NEUTRAL_STANDING, 0, "")

    def _called(self, record: f.Record, void: str, task: TaskState, mark: object) -> None:
        called = record.fact
        if self._asking.get(task.opened.task) is not mark:
            return  # who wanted to know has forgotten the task, and may have begun anew
        if void or not isinstance(called, f.BidsCalled):
            self.then(task.opened.task, None)
            return
        auction = self.auctions[called.task] = Auction(called, record.offset)
        for instance in called.candidates:
            presence = self.desk.directory.presence(instance)
            if presence is None:
                auction.answers[instance] = None
                continue
            to = Holder(presence.instance, presence.incarnation)
            content = self._call(task, record.offset, called.bids_until_ms)
            self.desk.send(to, presence.inbox, content)
        if len(auction.answers) == len(called.candidates):
            self._decide(auction)
        else:
            wait_ms = self._wait_ms(called.round)
            self.desk.at(self.desk.now_ms + wait_ms, self._decide, auction)

    def _decide(self, auction: Auction) -> None:
        called = auction.called
        if auction.closed or self.auctions.get(called.task) is not auction:
            return
        auction.closed = True
        task = self.desk.ledger(called.workflow).tasks.get(called.task)
        if task is None:
            self.then(called.task, None)
            return
        means = means_of(task.opened, called, task.purse.free)
        known = self._known(called, task.opened.capability)
        offers = decide(called, auction.answers, self.desk.directory, means, known)
        self.ranked[called.task] = (called, auction.call, offers)
        choice = self._winner(task, auction.call, offers)
        if choice is None:
            self.barren.add(called.task)
        self.then(called.task, choice)

    def _known(self, called: f.BidsCalled, capability: str) -> dict[str, Known]:
        """Return the standing of those who were asked, as far as this node has seen it by now."""
        there = map(self.desk.directory.presence, asked(called))
        agents = {presence.agent for presence in there if presence is not None}
        return {agent: self.desk.standings.of(agent, capability) for agent in agents}

    def _next_ranked(self, task: TaskState, tried: dict[str, str]) -> Choice | None:
        """Choose from the last call, if somebody is left of it who was not tried."""
        last = self.ranked.pop(task.opened.task, None)
        if last is None:
            return None
        called, call, offers = last
        means = means_of(task.opened, called, task.purse.free)
        there = self.desk.directory.presence
        left = {one.instance: HAS_LEFT for one in offers if there(one.instance) is None}
        halted = self.desk.halts.agents
        left |= {one.instance: IS_HALTED for one in offers if one.agent in halted}
        offers = rerank(task.opened.task, offers, {**left, **tried}, means)
        choice = self._winner(task, call, offers)
        if choice is not None:
            self.ranked[task.opened.task] = (called, call, offers)
        return choice

    def _winner(self, task: TaskState, call: int, offers: tuple[Offer, ...]) -> Choice | None:
        won = next((offer for offer in offers if not offer.declined), None)
        presence = self.desk.directory.presence(won.instance) if won is not None else None
        if presence is None or presence.agent in self.desk.halts.agents:
            return None
        return Choice(presence, Mode.AUCTION, call, offers, explain(offers))
