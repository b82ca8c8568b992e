"""Agents as authors write them, and a watchman: what runs away is halted, and can be lifted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.core import facts as f
from mesh.core.halts import WAIT, HaltOrder
from mesh.ports import Place
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryLog
from mesh.wire import topics
from mesh.wire.entries import PolicyDocument, decode_halt, encode_entry
from mesh.wire.policies import NAME
from tests.unit.processor.driving import Driver
from tests.unit.processor.quarrel import BUDGET, MESH, Answer, Question, agents, incidents

TURNS = 12


@asynccontextmanager
async def watched(policy: str = "") -> AsyncIterator[tuple[MemoryMesh, Driver]]:
    """Have a mesh with two agents that ask each other, and a watchman."""
    async with MemoryMesh(*agents()) as mesh:
        if policy:
            document = PolicyDocument(NAME, 1, f"version = 1\n{policy}", "eve", "a test")
            place = mesh.broker.partition(Place(topics.policy(MESH), 0))
            place.append(1, NAME.encode(), encode_entry(document), ())
        log = MemoryLog(mesh.broker)
        await log.open()
        driver = Driver(log, MESH)
        await driver.start()
        yield mesh, driver
        await driver.stop()
        await log.close(0.0)


def orders(mesh: MemoryMesh) -> list[HaltOrder]:
    return [decode_halt(own.value) for own in mesh.broker.records(topics.control(MESH))]


def opened(mesh: MemoryMesh) -> int:
    return sum(isinstance(own, f.TaskOpened) for own in mesh.facts())


async def test_a_loop_is_halted_before_its_twelfth_turn_and_goes_on_when_it_is_lifted() -> None:
    async with watched() as (mesh, driver):
        begun = await mesh.begin("buying.ask", Question(text="who?"), Answer, budget=BUDGET)
        await driver.until(lambda: bool(driver.watchman.halted))
        await mesh.settle()
        (order,) = orders(mesh)
        turns = opened(mesh)
        assert turns < TURNS
        assert order.target == f"workflow/{begun.workflow}"
        stopped = [own for own in mesh.facts() if isinstance(own, f.WorkSuspended)]
        assert {wait.kind for own in stopped for wait in own.waiting_for} == {WAIT}
        assert incidents(mesh.broker)[0].id == order.incident

        await mesh.lift(order.target, because="go on")
        await driver.until(lambda: opened(mesh) > turns + 2)
        found = [own.incident for own in orders(mesh) if own.halted]
        assert len(found) == len(set(found)), "nothing is halted twice for one finding"
        reserved = [own.task for own in mesh.facts() if isinstance(own, f.SpendReserved)]
        assert len(reserved) == len(set(reserved)), "what was paid for stands in the journal"


async def test_by_another_policy_it_is_only_told() -> None:
    kinds = ("loop", "ping-pong", "retry-storm", "depth", "no-progress")
    warns = "".join(f"{kind} = 'warn'\n" for kind in kinds)
    async with watched(f"[incidents]\n{warns}") as (mesh, driver):
        result = await mesh.submit("buying.ask", Question(text="who?"), Answer, budget=BUDGET)
        await driver.until(lambda: not any(driver.watchman.lag().values()))
        assert result.value.turns > TURNS
        assert orders(mesh) == []
        told = incidents(mesh.broker)
        assert {(own.response, own.policy) for own in told if own.kind in kinds} == {("warn", 1)}
