"""docker-compose.yml against the Compose Specification, and what no schema can say of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agents.procurement.demo import AGENTS
from mesh.bootstrap import load_agents
from mesh.wire.policies import parse
from tests.e2e.conftest import ROOT
from tests.image import compose


@pytest.fixture
def composed() -> Any:
    return compose.load(ROOT / "docker-compose.yml")


def test_it_is_as_the_specification_has_it(composed: Any) -> None:
    assert compose.complaints(composed) == []


@pytest.mark.parametrize(
    ("service", "member", "value"),
    [
        ("kafka", "ports", "9092:9092"),
        ("processor", "read_only", {}),
        ("topics", "depends_on", {"kafka": {"condition": "service_is_healthy"}}),
        ("procurement-lead", "comand", "run"),
    ],
)
def test_what_is_not_so_is_refused(composed: Any, service: str, member: str, value: Any) -> None:
    composed["services"][service][member] = value
    assert any(f"$.services.{service}" in said or member in said
               for said in compose.complaints(composed))  # fmt: skip


def test_every_port_is_on_loopback(composed: Any) -> None:
    ports = [port for own in composed["services"].values() for port in own.get("ports", ())]
    assert len(ports) >= 3
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_each_procurement_agent_is_a_service_and_has_its_topics(composed: Any) -> None:
    services = composed["services"]
    targets = sorted(AGENTS)
    assert sorted(services["topics"]["command"][2:]) == targets
    run = {
        name: compose.words(own["command"])[1:]
        for name, own in services.items()
        if compose.words(own.get("command", ()))[:1] == ["run"]
    }
    assert sorted(run.values()) == [[target] for target in targets]
    for name, (target,) in run.items():
        assert load_agents([target])[0].name == name


def test_who_waits_for_health_waits_for_a_check(composed: Any) -> None:
    services = composed["services"]
    image = re.findall(r"^HEALTHCHECK .*", Path(ROOT, "Dockerfile").read_text(), re.MULTILINE)
    assert image
    for name, own in services.items():
        needs = own.get("depends_on", {})
        for other, how in needs.items() if isinstance(needs, dict) else ():
            assert other in services, name
            if how["condition"] == "service_healthy":
                check = services[other].get("healthcheck")
                if check is None and services[other]["image"] == "parley:local":
                    check = {"test": image}  # it has the image's own
                assert "test" in (check or {}), other


def test_the_agents_wait_for_the_policy_and_that_for_who_judges_by_it(composed: Any) -> None:
    services = composed["services"]
    done = {"condition": "service_completed_successfully"}
    agents = [own for own in services.values() if str(own.get("command", "")).startswith("run ")]
    assert len(agents) == len(AGENTS)
    assert [own for own in agents if own["depends_on"].get("policy") != done] == []
    assert services["policy"]["depends_on"] == {"processor": {"condition": "service_healthy"}}
    words = compose.words(services["policy"]["command"])
    assert words[:2] == ["policy", "apply"]
    assert Path(ROOT, words[2]).is_file()
    assert parse(Path(ROOT, words[2]).read_text(), words[2]).rules().rules


def test_our_own_processes_may_do_little(composed: Any) -> None:
    ours = [own for own in composed["services"].values() if own["image"] == "parley:local"]
    assert len(ours) >= len(AGENTS) + 2
    for own in ours:
        assert own["read_only"] is True
        assert own["cap_drop"] == ["ALL"]
        assert own["security_opt"] == ["no-new-privileges:true"]


def test_what_is_mounted_is_there(composed: Any) -> None:
    mounts = [
        volume.split(":")[0]
        for own in composed["services"].values()
        for volume in own.get("volumes", ())
    ]
    for mount in mounts:
        if mount.startswith("."):
            assert any(Path(ROOT, mount).glob("**/*")) or Path(ROOT, mount).is_file(), mount
        else:
            assert mount in composed["volumes"]
