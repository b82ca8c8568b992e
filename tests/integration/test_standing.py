"""Standing while workers of the processor are killed: it equals a replay, whoever was killed."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from mesh.cli import standings
from mesh.cli.output import Out
from mesh.cli.reading import AuditReader
from mesh.config import Config
from mesh.processor.inputs import load_schemas
from tests.integration.test_processor import Mesh as Fleet
from tests.integration.world import LEASE, World
from tests.unit.processor.quarrel import BUDGET, Question, agents

ROUNDS = 4
QUESTIONS = 6
WITHIN_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def schemas() -> None:
    """Read the schemas before a loop runs."""
    load_schemas()


async def ask(world: World, number: int) -> str:
    """Submit a question that is answered after three turns; return its workflow."""
    headers = {"budget": json.dumps(BUDGET, default=str), "timeout-ms": "60000"}
    question = Question(text=f"question {number}?", turns=3)
    return (await world.submit("buying.ask", question, headers)).workflow


async def checked(world: World) -> list[standings.Checked]:
    """Compare what is written with what the log makes, as `mesh agents --verify` does."""
    config, out = Config(mesh=world.mesh), Out(quiet=True)
    written = await standings.read_standings(world.client, config, out)
    reader = AuditReader(world.client, config, out)
    return await standings.verify(world.client, reader, config, written)


@pytest.mark.timeout(240)
async def test_killed_workers_leave_what_a_replay_makes(world: World, tmp_path: Path) -> None:
    await world.run(*agents(LEASE, lambda: asyncio.sleep(0.05)))
    fleet = Fleet(world.site, world.mesh, tmp_path)
    workers = []
    try:
        for number in range(ROUNDS):
            workers.append(fleet.start())
            await workers[-1].ready()
            asked = [await ask(world, number * QUESTIONS + each) for each in range(QUESTIONS)]
            await world.ended(asked[number % QUESTIONS])
            workers[-1].signal(signal.SIGKILL)
            for workflow in asked:
                await world.ended(workflow)
            for own in await checked(world):
                assert not own.differences, "a killed worker has left something else"
        workers.append(fleet.start())
        await workers[-1].ready()
        async with asyncio.timeout(WITHIN_S):
            while any(own.behind for own in await checked(world)):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.2)
    finally:
        for worker in workers:
            await worker.stop()

    checks = await checked(world)
    assert [own.differences for own in checks if own.differences] == []
    assert sum(own.behind for own in checks) == 0
    written = await standings.read_standings(world.client, Config(mesh=world.mesh), Out(quiet=True))
    finished = sum(own.finished for name in ("buyer", "lawyer") for own in written.of(name))
    print(f"{finished} results, {sum(own.entries for own in checks)} entries, {ROUNDS} kills")
    assert finished == ROUNDS * QUESTIONS * 4
