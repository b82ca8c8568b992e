"""A recorded mesh in memory, and the command run against it."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mesh.cli.main import build
from mesh.core.facts import Record
from mesh.ports import Place, TopicPlan
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.facts import decode_fact
from tests.unit.cli.office import AGENTS, Need, order

MESH = "test"


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Recorded(NamedTuple):
    """A mesh that has worked: its broker, and the workflows by what was asked for."""

    broker: MemoryBroker
    workflows: dict[str, str]

    def records(self, workflow: str) -> tuple[int, list[Record]]:
        """Return the audit partition of a workflow, and all its records."""
        number = int(workflow.partition("-")[0])
        found = []
        for incoming in self.broker.records(topics.audit(MESH)):
            if incoming.partition == number:
                decoded = decode_fact(incoming.value)
                found.append(
                    Record(incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact)
                )
        return number, found


def copied(broker: MemoryBroker, without: str = "") -> MemoryBroker:
    """Return a broker with the same records, to be tampered with; but for one topic."""
    made = MemoryBroker(broker.clock)
    for name, topic in broker.topics.items():
        if name == without:
            continue
        made.create_topic(TopicPlan(name=name, partitions=len(topic.partitions)))
        for record in broker.records(name):
            place = Place(name, record.partition)
            made.partition(place).append(record.append_ms, record.key, record.value, record.headers)
    return made


async def _record() -> Recorded:
    async with MemoryMesh(*AGENTS) as mesh:
        workflows = {}
        for item in ("table", "chair", "ghost", "gold"):
            result = await mesh.submit(order, Need(item=item))
            workflows[item] = result.workflow
        submitted = await mesh.begin(order, Need(item="later"))
        await mesh.advance("2m")
        workflows["later"] = submitted.workflow
        return Recorded(mesh.broker, workflows)


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    """Four workflows that ended: one plain, one sent back, two failed; and one that sleeps."""
    return asyncio.run(_record())


Cli = Callable[..., Ran]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Run the command in this process: `cli("trace", broker=...)`."""
    for name in [name for name in os.environ if name.startswith(("MESH_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str, broker: MemoryBroker | None = None, stdin: bytes = b"") -> Ran:
        if broker is not None:
            shared = broker
            monkeypatch.setattr("mesh.bootstrap.connect", lambda *_, **__: MemoryLog(shared))
            monkeypatch.setattr("mesh.bootstrap.administer", lambda *_, **__: MemoryLog(shared))
            monkeypatch.setenv("MESH_NAME", MESH)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            build()(args=list(arguments), prog_name="mesh")
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run
