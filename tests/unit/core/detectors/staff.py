"""Cards and presence of agents that offer a capability."""

from __future__ import annotations

from mesh.core.registry import CapabilityCard, Card, CardState, Handler, Presence
from mesh.core.values import Acceptance, Effect, Inbox, Mode


def card(agent: str, capability: str, *, state: CardState = CardState.ACTIVE) -> Card:
    """Return the card of an agent that offers one capability."""
    offered = CapabilityCard(
        name=capability,
        effect=Effect.PURE,
        mode=Mode.DIRECT,
        budget=None,
        timeout_ms=600_000,
        lease_ms=10_000,
        max_attempts=3,
        has_bid=False,
        input_schema="{}",
        output_schema="{}",
        digest="d",
        acceptance=Acceptance.AUTOMATIC,
    )
    return Card(
        agent=agent,
        owner="team",
        version="1.0.0",
        purpose="",
        state=state,
        capabilities=(offered,),
    )


def alive(agent: str, capability: str, *, draining: bool = False) -> Presence:
    """Return the presence of its only instance."""
    return Presence(
        instance=f"{agent}-1",
        incarnation=1,
        agent=agent,
        inbox=Inbox("inbox", 0),
        load=0,
        slots=1,
        handlers=(Handler(capability, "d"),),
        draining=draining,
    )
