from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mesh.cli import developing
from mesh.cli.commands import dev
from mesh.cli.commands.dev import Example, example_agents
from mesh.cli.developing import Dev, Plan
from mesh.errors import UsageError
from tests.unit.cli.conftest import Cli

PLANS: list[Plan] = []


class Line:
    source, input, defect, capability = "a:1", {"x": 1}, "", "a.b"


class Eager:
    source, input, defect, capability = "eager", {"y": 1}, "", "c.d"


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    async def run(self: Dev) -> None:
        PLANS.append(self.plan)

    PLANS.clear()
    monkeypatch.setattr(Dev, "run", run)
    monkeypatch.setattr(Dev, "finish", lambda self: None)
    return PLANS


def example(**other: Any) -> ModuleType:
    made = ModuleType("an_example")
    made.AGENTS = ("a:agent", "b:agent")  # type: ignore[attr-defined] # a module is open
    made.CAPABILITY = "a.b"  # type: ignore[attr-defined] # a module is open
    made.releases = other.get("releases", lambda path: [Line()])  # type: ignore[attr-defined] # a module is open
    made.OVEREAGER_AGENTS = ("eager:agent",)  # type: ignore[attr-defined] # a module is open
    made.overeager = lambda: [Eager()]  # type: ignore[attr-defined] # a module is open
    made.POLICY = Path("theirs.toml")  # type: ignore[attr-defined] # a module is open
    made.shown = lambda values: [str(values)]  # type: ignore[attr-defined] # a module is open
    return made


def test_agents_of_ones_own_are_loaded_again_when_saved(cli: Cli, plans: list[Plan]) -> None:
    assert cli("dev", "hello:agent", "--broker", "kafka").code == 0
    (plan,) = plans
    assert (plan.targets, plan.broker, plan.reload) == (("hello:agent",), "kafka", True)
    assert plan.load() == ()
    assert plan.policy is None
    assert list(plan.shows({"a": 1})) == []


def test_a_policy_of_ones_own(cli: Cli, plans: list[Plan]) -> None:
    assert cli("dev", "hello:agent", "--policy", "policy.toml").code == 0
    assert plans[0].policy == Path("policy.toml")


def test_an_example_with_more_agents(
    cli: Cli, plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, dev.MODULES[Example.PROCUREMENT], example())
    given = ("dev", "mine:agent", "--example", "procurement", "--exit-when-done")
    assert cli(*given).code == 0
    (plan,) = plans
    assert plan.targets == ("a:agent", "b:agent", "mine:agent")
    assert (plan.capability, plan.exit_when_done, plan.reload) == ("a.b", True, False)
    assert plan.load() == [developing.Item("a:1", {"x": 1}, "", "a.b")]
    assert plan.policy == Path("theirs.toml")
    assert list(plan.shows({"a": 1})) == ["{'a': 1}"]
    assert example_agents(Example.PROCUREMENT) == ("a:agent", "b:agent")


def test_an_example_with_one_who_never_stops(
    cli: Cli, plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, dev.MODULES[Example.PROCUREMENT], example())
    given = ("--example", "procurement", "--overeager", "--policy", "mine.toml")
    assert cli("dev", *given).code == 0
    (plan,) = plans
    assert plan.targets == ("a:agent", "b:agent", "eager:agent")
    assert [item.capability for item in plan.load()] == ["c.d", "a.b"]
    assert plan.policy == Path("mine.toml")


def test_what_does_not_fit_together_is_refused(
    cli: Cli, plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "name an agent" in cli("dev").err
    for flag in ("--exit-when-done", "--overeager"):
        assert "are for an --example" in cli("dev", "hello:agent", flag).err
    for missing, hint in (
        ("agents", "run from a clone"),
        ("rapidfuzz", "parley-mesh[procurement]"),
    ):

        def fail(name: str, missing: str = missing) -> ModuleType:
            raise ModuleNotFoundError(name=missing)

        monkeypatch.setattr(dev, "import_module", fail)
        ran = cli("dev", "--example", "procurement")
        assert ran.code == 2
        assert hint in ran.err

    def nothing(path: object) -> list[Line]:
        raise FileNotFoundError("nowhere does not exist")

    monkeypatch.setattr(dev, "import_module", lambda name: example(releases=nothing))
    cli("dev", "--example", "procurement")
    with pytest.raises(UsageError, match="--data: nowhere does not exist"):
        plans[-1].load()
