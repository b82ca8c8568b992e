from __future__ import annotations

import pytest

from mesh.cli.serving import Server
from mesh.transport.memory import MemoryBroker
from tests.unit.cli.conftest import Cli
from tests.unit.cli.office import TARGETS


def test_topics_are_created_first_if_asked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(self: Server) -> bool:
        self.serving.told("served")
        self.serving.ready()
        return True

    monkeypatch.setattr(Server, "run", run)
    broker = MemoryBroker(lambda: 0)
    ran = cli("run", *TARGETS, "--create-topics", "--health", "off", broker=broker)
    assert ran.code == 0, ran.err
    assert {"test.tasks.office.order", "test.inbox.bob", "test.audit"} <= set(broker.topics)
    assert ran.err.endswith("served\n")
    assert ran.out == ""


def test_a_drain_that_was_too_short_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(self: Server) -> bool:
        return False

    monkeypatch.setattr(Server, "run", run)
    ran = cli("run", TARGETS[0], "-q", broker=MemoryBroker(lambda: 0))
    assert ran.code == 1
    assert "the drain's limit passed with work unfinished" in ran.err


def test_an_agent_that_is_not_there(cli: Cli) -> None:
    ran = cli("run", "tests.unit.cli.office:boss")
    assert ran.code == 2
    assert "there is tests.unit.cli.office:desk" in ran.err
