from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import bootstrap
from mesh.bootstrap import (
    administer,
    artifacts,
    compare_topics,
    connect,
    embedded_broker,
    ensure_topics,
    load_agents,
    process,
    topic_plans,
)
from mesh.config import Config
from mesh.errors import DefinitionError, UsageError
from mesh.transport import broker
from mesh.transport.memory import MemoryBroker, MemoryLog
from tests.unit.cli.office import TARGETS, desk

AGENT = """
from pydantic import BaseModel
from mesh import Agent, Context

class Word(BaseModel):
    text: str

agent = Agent("{name}", owner="team")

@agent.capability("word.{name}")
async def say(ctx: Context, word: Word) -> Word:
    return word
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_agents_are_found_in_the_current_folder(folder: Path) -> None:
    (folder / "first_agent.py").write_text(AGENT.format(name="first"))
    assert [own.name for own in load_agents(["first_agent:agent"])] == ["first"]
    assert [own.name for own in load_agents(["first_agent"])] == ["first"]
    assert load_agents([TARGETS[0]]) == [desk]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("hello.py", "write module:attribute"),
        ("nowhere:agent", "no module nowhere"),
        ("broken_a:agent", "its import raised ZeroDivisionError"),
        ("broken_b:agent", "it imports nowhere_at_all, which is not installed"),
        ("fine:other", "has no 'other'; there is fine:agent"),
        ("fine:say", "is a Capability, not a mesh.Agent"),
        ("empty_module", "say which agent; there is none"),
    ],
)
def test_a_target_that_names_no_agent_says_why(folder: Path, target: str, message: str) -> None:
    (folder / "broken_a.py").write_text("1 / 0")
    (folder / "broken_b.py").write_text("import nowhere_at_all")
    (folder / "fine.py").write_text(AGENT.format(name="fine"))
    (folder / "empty_module.py").write_text("")
    with pytest.raises(UsageError, match=message):
        load_agents([target])


def test_a_wrong_declaration_and_one_agent_twice(folder: Path) -> None:
    (folder / "wrong.py").write_text("from mesh import Agent\nagent = Agent('X', owner='o')")
    with pytest.raises(DefinitionError, match="wrong:agent: agent must be lower case"):
        load_agents(["wrong:agent"])
    (folder / "one.py").write_text(AGENT.format(name="one"))
    with pytest.raises(UsageError, match="agent one is given twice"):
        load_agents(["one:agent", "one"])
    (folder / "other.py").write_text(AGENT.format(name="one").replace('"team"', '"thieves"'))
    with pytest.raises(
        DefinitionError, match="agent one is declared by 2 owners, team and thieves"
    ):
        load_agents(["one:agent", "other:agent"])


def test_the_parts_are_put_together_from_the_settings(tmp_path: Path) -> None:
    security = {"protocol": "SASL_SSL", "username": "u", "password": "p"}
    config = Config.model_validate(
        {"mesh": "orders", "bootstrap": "k:1", "security": security, "artifacts": tmp_path}
    )
    assert "k:1" in repr(connect(config, client_id="x", writes=False))
    made = process(config, [desk])
    assert (made.mesh, [own.name for own in made.agents]) == ("orders", ["desk"])
    store = artifacts(config)
    assert store.get(store.put(b"large")) == b"large"
    with pytest.raises(UsageError, match="embedded broker"):
        administer(Config(embedded=True))


async def test_topics_are_compared_and_closed() -> None:
    log = MemoryLog(MemoryBroker(lambda: 0))
    plans = topic_plans(Config(mesh="orders"), ["a.b", "a.b"], ["desk"], ["billing"])
    names = [plan.name for plan in plans]
    assert {"orders.tasks.a.b", "orders.inbox.desk", "orders.replies.billing"} <= set(names)
    assert len(set(names)) == len(names)
    before = await compare_topics(log, plans)
    assert {change.verdict.value for change in before} == {"create"}
    told: list[str] = []
    await ensure_topics(log, plans, lambda change: told.append(change.plan.name))
    assert told == names
    after = await compare_topics(log, plans)
    assert {change.verdict.value for change in after} == {"ok"}


def test_the_embedded_broker_has_its_own_administration() -> None:
    started, admin = embedded_broker()
    try:
        asyncio.run(ensure_topics(admin, topic_plans(Config(mesh="orders"), [], [])))
        assert "orders.audit" in started.topics
    finally:
        started.close()


def test_a_broker_on_this_machine_is_asked_for_with_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def start(directory: Path, settings: object, **other: object) -> str:
        asked.append((directory, settings, sorted(other)))
        return "started"

    monkeypatch.setattr(broker, "start", start)
    monkeypatch.setattr(broker, "stop", lambda directory, progress: "stopped")
    assert str(bootstrap.start_broker(tmp_path)) == "started"
    assert str(bootstrap.start_broker(tmp_path, port=5, scram=True)) == "started"
    assert asked[0] == (tmp_path, None, ["environ", "progress"])
    assert str(bootstrap.stop_broker(tmp_path)) == "stopped"
    assert bootstrap.broker_status(tmp_path) is None
