"""Shared state as these agents keep it: who suppliers are, what they are owed, who is asked.

`policy.toml` says what becomes of two changes that did not know of each other. What is not kept,
because a rule is missing or somebody else came first, is a recorded decision and never the end of a
review: whoever reviews the next release of the same supplier adds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from agents.procurement.domain import approvals, exposures, register
from agents.procurement.domain.approvals import Proposal
from agents.procurement.dossier import Award, Dossier
from agents.procurement.models import Identity, Supplier, Threshold
from mesh import Conflict, Contested, Context, Shared, StateError

IDENTITIES, ALIASES = "suppliers", "aliases"
EXPOSURE, THRESHOLDS = "exposure", "thresholds"
MAX_REGISTERED = 20
"""Winners of one release that are put into the register: a framework may have hundreds."""


async def register_suppliers(ctx: Context, suppliers: Iterable[Supplier]) -> None:
    """Put who won into the register, under what every release calls it."""
    winners = [own for own in suppliers if own.key and "supplier" in own.roles]
    await asyncio.gather(*(_register(ctx, own) for own in winners[:MAX_REGISTERED]))


async def _register(ctx: Context, supplier: Supplier) -> None:
    because = f"named as {supplier.name}"
    identity = ctx.shared.update(
        f"{IDENTITIES}/{supplier.key}/identity",
        lambda known: register.identified(known, supplier),
        type=Identity,
        because=because,
    )
    await _kept(ctx, f"the identity of {supplier.key}", identity)
    names = ctx.shared.update(
        f"{ALIASES}/{supplier.key}/names",
        lambda known: register.spelled(known, supplier),
        type=list[str],
        because=because,
    )
    await _kept(ctx, f"the names of {supplier.key}", names)


async def add_exposure(ctx: Context, dossier: Dossier, suppliers: Iterable[Supplier]) -> None:
    """Count what is recommended; counting it again changes nothing."""
    found = exposures.exposures(dossier, suppliers)
    await asyncio.gather(*(_add(ctx, dossier, place, own) for place, own in found.items()))


async def _add(
    ctx: Context, dossier: Dossier, place: tuple[str, str], own: exposures.Exposure
) -> None:
    key, currency = place
    written = ctx.shared.update(
        f"{EXPOSURE}/{key}/{currency}",
        lambda known: exposures.joined(known, own),
        type=exposures.Exposure,
        because=f"recommended in {dossier.ocid}",
    )
    await _kept(ctx, f"the exposure of {key}", written)


async def refer(ctx: Context, dossier: Dossier) -> tuple[Award, ...]:
    """Return the awards of which a person is asked first, by the buyer's thresholds as they are."""
    buyer, awards = register.buyer_key(dossier.buyer), dossier.distinct_awards()
    referred: list[Award] = []
    for currency in dict.fromkeys(award.value.currency for award in awards if award.value):
        found: Shared[Threshold] | None = None
        if buyer:
            found = await ctx.shared.read(_threshold_key(buyer, currency), type=Threshold)
        # while a person has not settled it, nobody can say that these need not be asked about
        known = found.value if found is not None and not found.contested else None
        asked = approvals.referred(awards, known, currency)
        if asked:
            await ctx.record_decision(
                "ask a person before the award",
                because=approvals.told(asked, known),
                evidence=[] if found is None else [found],
            )
        referred += asked
    return tuple(referred)


async def propose(ctx: Context, dossier: Dossier, wanted: Iterable[Proposal]) -> None:
    """Have the buyer's thresholds changed, where they do not serve as they are.

    A change that loses is not tried again: it would win over the objective that came before it.
    """
    buyer = register.buyer_key(dossier.buyer)
    for own in wanted if buyer else ():
        await _propose(ctx, _threshold_key(buyer, own.threshold.currency), own)


async def _propose(ctx: Context, key: str, wanted: Proposal) -> None:
    found = await ctx.shared.read(key, type=Threshold)
    if found.contested:
        return
    threshold = approvals.changed(found.value, wanted.threshold)
    if threshold is None:
        return
    try:
        await ctx.shared.write(
            key,
            threshold,
            expected_version=found.version,
            because=wanted.because,
            objective=threshold.objective,
        )
    except Contested as tie:
        await ctx.record_decision("leave it to a person", because=tie.reason, evidence=[found])
    except Conflict as late:
        await ctx.record_decision("leave the threshold", because=late.reason, evidence=[found])
    except StateError as refused:
        await _record(ctx, f"the threshold {key}", refused)


async def _kept(ctx: Context, what: str, written: Awaitable[object]) -> None:
    try:
        await written
    except StateError as refused:
        await _record(ctx, what, refused)


async def _record(ctx: Context, what: str, refused: StateError) -> None:
    await ctx.record_decision(f"leave {what} as it is", because=refused.reason)


def _threshold_key(buyer: str, currency: str) -> str:
    return f"{THRESHOLDS}/{buyer}/{currency}"
