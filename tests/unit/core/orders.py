"""Halts and their lifting, as peers of a fleet see them."""

from __future__ import annotations

from mesh.core import inputs as i
from mesh.core.halts import HaltOrder
from tests.unit.core.fleet import Fleet, Peer


def halt(fleet: Fleet, target: str, *seen_by: Peer, halted: bool = True) -> HaltOrder:
    """Halt something, as far as these peers, or all, see it."""
    seen = [peer.node.desk.halts.orders.get(target) for peer in fleet.peers]
    order = HaltOrder(
        target=target,
        halted=halted,
        number=max((own.number for own in seen if own is not None), default=0) + 1,
        person="eve",
        detector="",
        because="enough" if halted else "go on",
        incident="",
    )
    for peer in seen_by or fleet.peers:
        see(peer, order)
    return order


def lift(fleet: Fleet, target: str, *seen_by: Peer) -> HaltOrder:
    """Lift a halt, as far as these peers, or all, see it."""
    return halt(fleet, target, *seen_by, halted=False)


def see(peer: Peer, order: HaltOrder) -> None:
    """Tell a peer of an order."""
    peer.give(i.Halted(order))
