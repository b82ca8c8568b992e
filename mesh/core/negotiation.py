"""Who may get a task, and who wins it.

Read from top to bottom: *eligible* says who may be asked at all; *choose_direct* takes one without
asking; *candidates*, *decide* and *rerank* are the sealed-bid auction (Smith's contract net, 1980,
with the load balancing of Mitzenmacher's two choices, 2001); *recompute* lets anyone check a
recorded award. All are pure functions of what is passed in, and every figure that a decision rests
on stands in the facts: the price that a task can pay is what `Terms.free` says, the time left is
from `bids_until_ms` to the deadline, the standing and the score of each bid stand in its `Offer`,
and with them the weights that the standing follows from, and of which version they are.

Where a fleet is large a choice looks at a window of it, whose place the task's hash gives: what a
task costs does not grow with the number of instances.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import NamedTuple, TypeVar

from mesh.core.facts import BidsCalled, TaskOpened
from mesh.core.messages import Bid, Decline
from mesh.core.registry import Card, Directory, Offering, Presence, covers
from mesh.core.standing import PERMILLE, UNKNOWN, Known, permille, standings_for
from mesh.core.values import Amount, Ancestor, Cause, Mode, Offer, Terms
from mesh.errors import ScopeError

NEUTRAL_STANDING = permille(0, 0)
"""Per mille, for an agent of which nothing is known: neither trusted nor distrusted."""
WINDOW = 8
"""Instances or agents that one choice looks at: enough to spread load, and 2 µs of hashing."""
NO_ANSWER = "no answer by the deadline"
HAS_LEFT = "it has left"

_T = TypeVar("_T")
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: its multiples spread evenly (Knuth, 6.4)


class Means(NamedTuple):
    """What a bid is measured against: the money that the task has, the time that it has left."""

    price_micro_usd: int
    time_left_ms: int


class Weights(NamedTuple):
    """How much each part of a score is worth, in per mille; they add up to 1,000."""

    price: int
    time: int
    trust: int


WEIGHTS = Weights(price=400, time=300, trust=300)
"""Price first, for money is what the operator limits; then speed, and trust as much."""


# --- who may be asked ---------------------------------------------------------------------------


def refuse_call(card: Card, capability: str) -> str:
    """Say why an agent may not ask for `capability`, "" if it may; judges a peer's move."""
    if covers(card.calls, capability):
        return ""
    scope = ", ".join(card.calls) or "nothing"
    return f"agent {card.agent} may call {scope}, and that does not cover {capability}"


def eligible(
    directory: Directory,
    capability: str,
    input_hash: bytes,
    ancestors: Iterable[Ancestor],
    caller: str | None,
) -> Offering:
    """Return the instances that may be asked; a live view, to be used before the next input.

    An agent that works on the same capability with the same input further up is left out: it would
    ask itself what it was asked.

    Args:
        directory: What is known of the fleet.
        capability: What is asked for.
        input_hash: Of the task's input.
        ancestors: The tasks above, root first.
        caller: The agent that asks, None for a submitter from outside.

    Raises:
        ScopeError: The caller's own card does not cover the capability, or it has none.
    """
    if caller is not None:
        card = directory.card(caller)
        reason = f"agent {caller} has no card" if card is None else refuse_call(card, capability)
        if reason:
            raise ScopeError(reason)
    return directory.offering(capability).without(looping(capability, input_hash, ancestors))


def looping(capability: str, input_hash: bytes, ancestors: Iterable[Ancestor]) -> frozenset[str]:
    """Name the agents that already work on this very request further up."""
    return frozenset(
        above.agent
        for above in ancestors
        if above.capability == capability and above.input_hash == input_hash
    )


# --- direct and named ---------------------------------------------------------------------------


class Self(NamedTuple):
    """The supervisor's own instance, as a possible worker."""

    instance: str
    free_slots: int


def choose_direct(
    task: str,
    offering: Offering,
    me: Self | None,
    exclude: Collection[str] = (),
    prefer_digest: str = "",
) -> Presence | None:
    """Choose a worker without asking: oneself if there is a slot, else the less loaded of two.

    For a named task pass `offering.only(agent)`. After a decline or a death call it again with the
    instance excluded.

    Args:
        task: The task's id.
        offering: Who may be asked.
        me: The supervisor's own instance, None if it shall not take the task.
        exclude: Instances that declined or died lately: chosen only if nobody else is left.
        prefer_digest: The handler's code that began the task: another only if nobody runs it.

    Returns:
        The chosen instance, None if nobody is eligible.
    """
    mine = offering.find(me.instance) if me is not None and me.free_slots > 0 else None
    full = me.instance if me is not None and me.free_slots < 1 else ""
    for usable in _preferences(offering.capability, exclude, prefer_digest, full):
        if mine is not None and (usable is None or usable(mine)):
            return mine
        chosen = _less_loaded(task, offering, usable)
        if chosen is not None:
            return chosen
    return None


def _preferences(
    capability: str, exclude: Collection[str], digest: str, full: str
) -> Iterator[Callable[[Presence], bool] | None]:
    """Yield whom to take, best first; the last takes anyone but `full`, and None anyone."""
    tried = {*exclude, full} if full else exclude
    if digest:
        yield lambda own: own.instance not in tried and own.digest(capability) == digest
    if exclude:
        yield lambda own: own.instance not in tried
    yield (lambda own: own.instance != full) if full else None


def _less_loaded(
    task: str, offering: Offering, usable: Callable[[Presence], bool] | None
) -> Presence | None:
    """Take the less loaded of the two of highest weight; those without a slot are passed over."""
    key, load = _hash(task), offering.load
    pool = _neighbours(key, offering.instances, usable)
    if len(pool) < 2:
        return pool[0] if pool else None
    ranked = [pool[place] for place in _ranking(key, [own.instance for own in pool])]
    first, second = ([own for own in ranked if load(own) < own.slots] + ranked)[:2]
    return second if load(second) * first.slots < load(first) * second.slots else first


def _neighbours(
    key: int, items: Sequence[_T], usable: Callable[[_T], bool] | None, width: int = WINDOW
) -> Sequence[_T]:
    """Return the usable of `items`; of many, `width` next to the key's place."""
    count = len(items)
    if count <= width:
        return items if usable is None else [item for item in items if usable(item)]
    start = key * count >> 64
    if usable is None:
        return [*items[start : start + width], *items[: max(0, start + width - count)]]
    turned = (items[place % count] for place in range(start, start + count))
    return list(islice(filter(usable, turned), width))


# --- rendezvous ---------------------------------------------------------------------------------


def rendezvous(task: str, name: str) -> int:
    """Return the weight of `name` for `task`, 64 bits: the highest wins (Thaler, Ravishankar 1998).

    The leading 64 bits of SHA-256 of either are xored and multiplied by the golden ratio, and the
    two halves of the product xored.
    """
    return _weights(_hash(task), (name,))[0]


def _weights(key: int, names: Iterable[str]) -> list[int]:
    products = [(key ^ _hash_kept(name)) * _ODD for name in names]
    return [(product ^ product >> 64) & _MASK for product in products]


def _ranking(key: int, names: Sequence[str]) -> list[int]:
    """Return the places of `names` in the order of their weights, the highest first."""
    return sorted(range(len(names)), key=_weights(key, names).__getitem__, reverse=True)


def _hash(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


@lru_cache(maxsize=16_384)
def _hash_kept(name: str) -> int:
    """Hash the name of an instance or agent; they are few and come again with each task."""
    return _hash(name)


# --- auction: whom to ask -----------------------------------------------------------------------


def candidates(
    task: str, offering: Offering, count: int, seed: int, exclude: Collection[str] = ()
) -> tuple[Presence, ...]:
    """Choose whom to call for bids: `count` agents, or all there are; one instance of each.

    All but one by rendezvous hash of task and agent, the last at random by `seed`, so that no agent
    is left out for ever. Of each agent it is the instance that `choose_direct` would take.

    Args:
        task: The task's id.
        offering: Who may be asked.
        count: How many agents to ask, at least 1.
        seed: Stands in the call for bids.
        exclude: Instances not to ask again; all of them are if there is nobody else.
    """
    agents, key = _worth_asking(offering, exclude), _hash(task)
    near = _neighbours(key, agents, None, max(WINDOW, count))
    chosen = [near[place] for place in _ranking(key, near)[: count - 1]]
    if len(chosen) < len(agents):
        chosen.append(_drawn(agents, seed, chosen))
    found = (choose_direct(task, offering.only(agent), None, exclude) for agent in chosen)
    return tuple(presence for presence in found if presence is not None)


def _worth_asking(offering: Offering, exclude: Collection[str]) -> Sequence[str]:
    """Name the agents that have an instance which is not excluded; all, where none has."""
    touched = {own.agent for own in map(offering.find, exclude) if own is not None}
    spent = {
        agent for agent in touched if all(own.instance in exclude for own in offering.of(agent))
    }
    left = [agent for agent in offering.agents if agent not in spent] if spent else []
    return left or offering.agents


def _drawn(agents: Sequence[str], seed: int, taken: Collection[str]) -> str:
    start = _hash(str(seed))
    places = ((start + step) % len(agents) for step in range(len(agents)))
    return next(agents[place] for place in places if agents[place] not in taken)


# --- auction: who wins --------------------------------------------------------------------------


def means_of(opened: TaskOpened, called: BidsCalled, free: Amount) -> Means:
    """Return what bids are measured against: `free` when it is awarded, time when bidding ended."""
    return Means(free.micro_usd, opened.deadline_ms - called.bids_until_ms)


def score(offer: Offer, means: Means, weights: Weights = WEIGHTS) -> int:
    """Return what an offer is worth, 0 to 1,000, in integers throughout.

    Price against what the task can pay, time against the time left (nothing if it takes longer),
    confidence times standing. The offer must be one that `fault` finds nothing wrong with.
    """
    price = _saved(offer.price_micro_usd, means.price_micro_usd)
    time = _saved(offer.eta_ms, means.time_left_ms)
    trust = offer.confidence_permille * offer.standing_permille // PERMILLE
    return (weights.price * price + weights.time * time + weights.trust * trust) // PERMILLE


def _saved(used: int, available: int) -> int:
    """Return the part of `available` that is not used, in per mille; using nothing saves all."""
    if used == 0:
        return PERMILLE
    return max(0, available - used) * PERMILLE // available if available > 0 else 0


def fault(offer: Offer, means: Means) -> str:
    """Say why an offer cannot be taken, "" if it can: a figure out of range, or too dear."""
    if offer.price_micro_usd < 0 or offer.eta_ms < 0:
        return "the bid has a negative price or time"
    for figure in (offer.confidence_permille, offer.standing_permille):
        if not 0 <= figure <= PERMILLE:
            return f"the bid has a confidence or standing of {figure} per mille"
    if offer.price_micro_usd > means.price_micro_usd:
        return (
            f"price {offer.price_micro_usd} is above the task's means, "
            f"{means.price_micro_usd} micro-USD"
        )
    return ""


def decide(
    called: BidsCalled,
    answers: Mapping[str, Bid | Decline | None],
    directory: Directory,
    means: Means,
    standing: Mapping[str, Known],
) -> tuple[Offer, ...]:
    """Rank everyone who was asked, best first; those with a `declined` reason stand at the end.

    The first wins, unless it declined too: then nobody does.

    Args:
        called: The fact that opened the auction; with the supervisor's own bid, if it made one.
        answers: What came from each candidate in time; one that is missing or None said nothing.
        directory: Tells whose instance a candidate is.
        means: From `means_of`.
        standing: What is known, by agent; `NEUTRAL_STANDING` for those it does not know.
    """
    offers: list[Offer] = []
    for instance in asked(called):
        own = called.own_offer
        if own is not None and own.instance == instance:
            offer = own
        else:
            presence = directory.presence(instance)
            if presence is None:
                offer = Offer(instance, "", 0, 0, 0, False, 0, 0, HAS_LEFT)
            else:
                offer = _offer(instance, presence.agent, answers.get(instance))
        good, bad, versions = standing.get(offer.agent, UNKNOWN)
        offers.append(offer._replace(good=good, bad=bad, versions=versions))
    figures = standings_for(called.seed, _weights_of(offers))
    told = zip(offers, figures, strict=True)
    judged = [_judged(own._replace(standing_permille=figure), means) for own, figure in told]
    return _ranked(called.task, judged)


def _weights_of(offers: Iterable[Offer]) -> Iterator[tuple[str, int, int]]:
    return ((offer.agent, offer.good, offer.bad) for offer in offers)


def asked(called: BidsCalled) -> tuple[str, ...]:
    """Name all whose answer an auction is about: the candidates, and the supervisor if it bid."""
    own = () if called.own_offer is None else (called.own_offer.instance,)
    return tuple(dict.fromkeys((*called.candidates, *own)))


def rerank(
    task: str, offers: Iterable[Offer], tried: Mapping[str, str], means: Means
) -> tuple[Offer, ...]:
    """Rank earlier offers anew, for the award that follows a decline, a failure or a death.

    Args:
        task: The task's id.
        offers: Those of the award before.
        tried: Instances that had their turn, each with the reason why it is not asked again.
        means: From `means_of`, with what is free now: a bid may have become too dear.
    """
    marked = (
        offer if offer.declined else offer._replace(declined=tried.get(offer.instance, ""))
        for offer in offers
    )
    return _ranked(task, [_judged(offer, means) for offer in marked])


def explain(offers: Sequence[Offer]) -> str:
    """Put into words why the first of ranked offers won, for `Terms.why`."""
    bids = [offer for offer in offers if not offer.declined]
    if not bids:
        return f"no bid from {len(offers)} asked"
    won = f"{bids[0].instance} won with {bids[0].score_permille}"
    if len(bids) == 1:
        return f"1 bid only: {won}"
    second = bids[1]
    how = f"against {second.score_permille} of {second.instance}"
    if bids[0].slot and not second.slot:
        how += ", which has no slot free"
    elif bids[0].score_permille == second.score_permille:
        how += ", by the hash of task and instance"
    return f"{len(bids)} bids: {won} {how}"


def _offer(instance: str, agent: str, answer: Bid | Decline | None) -> Offer:
    if isinstance(answer, Bid):
        figures = (answer.price_micro_usd, answer.eta_ms, answer.confidence_permille)
        return Offer(instance, agent, *figures, answer.slot, 0, 0, "")
    reason = NO_ANSWER if answer is None else answer.reason or "declined"
    return Offer(instance, agent, 0, 0, 0, False, 0, 0, reason)


def _judged(offer: Offer, means: Means) -> Offer:
    declined = offer.declined or fault(offer, means)
    points = 0 if declined else score(offer, means)
    return offer._replace(declined=declined, score_permille=points)


def _ranked(task: str, offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Order: bids before the declined, a free slot before none, score, then rendezvous hash."""

    def place(offer: Offer) -> tuple[bool, bool, int, int]:
        weight = rendezvous(task, offer.instance)
        return bool(offer.declined), not offer.slot, -offer.score_permille, -weight

    return tuple(sorted(offers, key=place))


# --- anyone can check ---------------------------------------------------------------------------


def recompute(opened: TaskOpened, called: BidsCalled | None, terms: Terms) -> str:
    """Decide a recorded award again from its recorded figures.

    Args:
        opened: The task.
        called: The fact at the log position `terms.call`, None if that is -1.
        terms: The award.

    Returns:
        "" when the award agrees, else the first disagreement in words.
    """
    return next(_disagreements(opened, called, terms), "")


def _disagreements(opened: TaskOpened, called: BidsCalled | None, terms: Terms) -> Iterator[str]:
    if terms.agent in looping(opened.capability, opened.input.hash, opened.ancestors):
        yield f"{terms.agent} already works on the same input further up"
    if terms.mode is Mode.NAMED and terms.agent != opened.named_agent:
        yield f"the task names {opened.named_agent}, and {terms.agent} got it"
    if terms.cause is Cause.FIRST and terms.mode is not opened.mode:
        yield f"the task asks for {opened.mode}, and the award was {terms.mode}"
    if terms.mode is not Mode.AUCTION:
        if terms.offers or called is not None:
            yield "bids without an auction"
    elif called is None:
        yield "an auction without a call for bids"
    else:
        yield from _auction_disagreements(opened, called, terms)


def _auction_disagreements(opened: TaskOpened, called: BidsCalled, terms: Terms) -> Iterator[str]:
    if called.task != opened.task:
        yield f"the call for bids is that of {called.task}"
    if sorted(offer.instance for offer in terms.offers) != sorted(asked(called)):
        yield "the offers are not those of the candidates that were called"
    means = means_of(opened, called, terms.free)
    figures = standings_for(called.seed, _weights_of(terms.offers))
    for offer, figure in zip(terms.offers, figures, strict=True):
        yield from _offer_disagreements(offer, called.own_offer, means)
        if offer.standing_permille != figure:
            recorded = f"{offer.agent} has a standing of {offer.standing_permille}"
            yield f"{recorded}, and its results give {figure}"
    if _ranked(opened.task, terms.offers) != terms.offers:
        yield "the offers are not in the order of their scores"
    winner = next((offer for offer in terms.offers if not offer.declined), None)
    if winner is None:
        yield f"{terms.worker.instance} got it, and nobody bid"
    elif (winner.instance, winner.agent) != (terms.worker.instance, terms.agent):
        yield f"{winner.instance} of {winner.agent} bid best, and {terms.worker.instance} got it"


def _offer_disagreements(offer: Offer, own: Offer | None, means: Means) -> Iterator[str]:
    again = _judged(offer, means)
    if again.declined != offer.declined:
        yield f"{offer.instance} stands as a bidder, but {again.declined}"
    if again.score_permille != offer.score_permille:
        recorded, due = offer.score_permille, again.score_permille
        yield f"{offer.instance} has a score of {recorded}, and its figures give {due}"
    if own is not None and own.instance == offer.instance and own[:6] != offer[:6]:
        yield f"{offer.instance} bid otherwise in the call than in the award"
