from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder, Halts
from mesh.core.responses import Response
from mesh.errors import MeshError, TransportError, WrongTopic
from mesh.ports import Place
from mesh.processor.responder import Cases, Responder
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import PolicyDocument, encode_entry
from mesh.wire.policies import NAME

MESH = "test"
POLICY, CONTROL = topics.policy(MESH), topics.control(MESH)
INCIDENTS = topics.incidents(MESH)
LOOP = Incident("loop", "0-a", "0-b", "It came back.", id="5f", detector="loop")
STRICT = "[limits]\nloop_returns = 3\n[incidents]\nloop = 'warn'"


class Ground:
    """Mutable: a broker, and a responder that reads it."""

    def __init__(self) -> None:
        ticks = count(1)
        self.broker = MemoryBroker(lambda: next(ticks))
        for plan in topics.plans(MESH):
            self.broker.create_topic(plan)
        self.log = MemoryLog(self.broker)
        self.failures: list[MeshError] = []
        self.told: list[str] = []
        self.halts = Halts()

    def responder(self, limits: LimitTable | None = None) -> Responder:
        made = Responder(self.log, MESH, failed=self.failures.append, limits=limits)
        made.changed = lambda: self.told.append(f"policy {made.responses.version}")
        made.lifted = lambda workflow: self.told.append(f"lifted {workflow}")
        return made

    def put(self, topic: str, key: str, value: bytes | None, partition: int = 0) -> None:
        self.broker.partition(Place(topic, partition)).append(1, key.encode(), value, ())

    def policy(self, version: int, text: str = "", name: str = NAME) -> None:
        document = PolicyDocument(name, version, f"version = {version}\n{text}", "eve", "so")
        self.put(POLICY, name, encode_entry(document))

    def order(self, target: str, *, halted: bool, through: int = -1) -> HaltOrder:
        order = self.halts.next_order(
            target, halted=halted, because="so", person="eve", through=through
        )
        self.halts.see(order)
        self.put(CONTROL, target, encode_entry(order))
        return order


@pytest.fixture
async def place() -> AsyncIterator[Ground]:
    place = Ground()
    await place.log.open()
    yield place
    await place.log.close(0.0)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


# --- the policy ---------------------------------------------------------------------------------


async def test_without_a_policy_the_defaults_hold(place: Ground) -> None:
    own = LimitTable(mesh=Limits(depth=3))
    responder = place.responder(own)
    await responder.start()
    assert (responder.limits, responder.responses.version) == (own, 0)
    assert place.responder().limits == LimitTable()
    assert responder.responses.to("loop") is Response.HALT
    await responder.close()


async def test_what_holds_is_known_when_it_has_started_and_what_comes_is_seen(
    place: Ground,
) -> None:
    place.policy(2)
    place.policy(3, STRICT)
    responder = place.responder()
    await responder.start()
    assert responder.limits == LimitTable(mesh=Limits(loop_returns=3))
    assert (responder.responses.version, responder.responses.to("loop")) == (3, Response.WARN)
    assert place.told == ["policy 2", "policy 3"]
    place.policy(2, "[limits]\nloop_returns = 9")  # an older one that comes late
    place.policy(9, name="another")
    place.policy(4)
    await settle()
    assert place.told[2:] == ["policy 4"]
    assert responder.limits == LimitTable()
    assert "policy 4" in repr(responder)
    assert (responder.unread, place.failures) == (0, [])
    await responder.close()
    place.policy(5)
    await settle()
    assert responder.responses.version == 4


async def test_of_a_newer_policy_what_is_understood_holds_and_the_rest_is_said(
    place: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    place.policy(7, "approvals = 2\n[incidents]\nloop = 'ask'\ndrift = 'halt'")
    responder = place.responder()
    with caplog.at_level(logging.ERROR):
        await responder.start()
    assert responder.responses.to("loop") is Response.ASK
    assert (responder.unread, place.told) == (1, ["policy 7"])
    assert "approvals: there is no such field" in caplog.text
    await responder.close()


@pytest.mark.parametrize("value", [b"garbage", None])
async def test_what_is_no_policy_leaves_the_one_before_in_force(
    place: Ground, value: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    responder = place.responder()
    place.put(POLICY, NAME, value)
    with caplog.at_level(logging.ERROR):
        await responder.start()
    assert "so the defaults hold" in caplog.text
    place.policy(3, STRICT)
    place.policy(4, "version = ")
    await settle()
    assert responder.responses.version == 3
    assert responder.limits == LimitTable(mesh=Limits(loop_returns=3))
    assert "policy version 4 cannot be read, so version 3 goes on to hold" in caplog.text
    assert (responder.unread, place.failures) == (2, [])
    await responder.close()


@pytest.mark.parametrize("missing", [POLICY, CONTROL])
async def test_a_topic_that_is_missing_is_named(place: Ground, missing: str) -> None:
    broker = MemoryBroker(lambda: 1)
    for plan in topics.plans(MESH):
        if plan.name != missing:
            broker.create_topic(plan)
    log = MemoryLog(broker)
    await log.open()
    responder = Responder(log, MESH, failed=place.failures.append)
    with pytest.raises(WrongTopic, match=f"{missing} is missing"):
        await responder.start()
    await responder.close()
    await log.close(0.0)


async def test_that_nothing_more_can_be_read_is_told(place: Ground) -> None:
    responder = place.responder()
    await responder.start()
    await responder._readers[0].close()
    await settle()
    assert [type(own) for own in place.failures] == [TransportError]
    await responder.close()


# --- orders -------------------------------------------------------------------------------------


async def test_orders_are_followed_and_a_lifted_workflow_is_told(place: Ground) -> None:
    place.put(CONTROL, "workflow/0-z", b"garbage")
    place.order("workflow/0-a", halted=True)
    responder = place.responder()
    await responder.start()
    assert responder.halts.in_force("workflow/0-a") is not None
    for target in ("agent/ann", "workflow/0-a", "nothing"):
        place.order(target, halted=False)
    await settle()
    assert place.told == ["lifted 0-a"]
    assert not responder.halts
    await responder.close()


async def test_what_was_told_is_looked_up_by_its_workflow(place: Ground) -> None:
    told = LOOP._replace(response="ask")
    for key, value in (
        ("0-a", encode_entry(told)),
        ("0-a", encode_entry(told._replace(response="halt"))),
        ("0-a", b"garbage"),
        ("0-b", encode_entry(told._replace(id="60"))),
    ):
        place.put(INCIDENTS, key, value)
    responder = place.responder()
    assert await responder.told({"0-a", "0-x"}) == {"5f": told}
    assert await responder.told(()) == {}


# --- cases --------------------------------------------------------------------------------------


@pytest.fixture
def cases(place: Ground) -> Iterator[Cases]:
    open_ = {"0-a", "0-c"}
    cases = Cases(place.responder(), lambda name: name in open_)
    yield cases
    open_.clear()
    assert cases.again("0-a") is None, "what has ended is not halted"


async def seen(place: Ground, cases: Cases, order: HaltOrder) -> None:
    cases._responder.halts.see(order)
    place.halts.see(order)


async def test_an_order_counts_as_given_before_it_is_read(place: Ground, cases: Cases) -> None:
    order = cases.add(LOOP, 40)
    assert order is not None
    assert (order.number, order.incident, order.through) == (1, "5f", 41)
    assert cases.add(LOOP._replace(id="60"), 44) is None
    await seen(place, cases, order)
    assert cases.add(LOOP._replace(id="61"), 45) is None


async def test_what_a_lifter_had_not_seen_halts_when_the_lift_is_read(
    place: Ground, cases: Cases
) -> None:
    order = cases.add(LOOP, 40)
    assert order is not None
    await seen(place, cases, order)
    assert cases.add(LOOP._replace(id="60"), 70) is None, "it is halted, as far as is known here"
    assert cases.add(LOOP, 44) is None, "an earlier one does not take its place"
    assert cases.again("0-a") is None
    await seen(place, cases, place.order("workflow/0-a", halted=False, through=60))
    cases._responder.halts.see(place.halts.orders["workflow/0-a"])
    again = cases.again("0-a")
    assert again is not None
    assert (again.number, again.incident) == (3, "60")
    assert cases.again("0-a") is None


async def test_what_ended_is_forgotten_and_never_halted(cases: Cases) -> None:
    assert cases.add(LOOP._replace(workflow="0-b"), 4) is None
    assert cases.add(LOOP, 40) is not None
    assert repr(cases) == "Cases(['0-a'])"
    assert cases.again("0-x") is None
