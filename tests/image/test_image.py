"""`make image-check`: the Dockerfile's own lines, then its processes, without Docker.

Each runs as the first process of a space of its own, as the image's user without any right, in a
root that cannot be written to. What only an engine could show is listed in docs/deploy.md.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from mesh.bootstrap import load_agents, topic_plans
from mesh.config import Config
from mesh.transport.embedded import EmbeddedBroker
from tests.image.conftest import ARTIFACTS, Image

pytestmark = [pytest.mark.shipped, pytest.mark.slow, pytest.mark.timeout(400)]
MESH = "image"
INTAKE = "agents.procurement.intake:agent"
SIZE_MB = 150
"""What the image adds to its base: 117 MB when this was written."""


@pytest.fixture
def broker() -> Iterator[str]:
    """An embedded broker with the topics of one agent."""
    started = EmbeddedBroker()
    agents = load_agents([INTAKE])
    names = [name for agent in agents for name in agent.capabilities]
    for plan in topic_plans(Config(mesh=MESH), names, [agent.name for agent in agents]):
        started.create_topic(plan.name, plan.partitions)
    yield started.bootstrap
    started.close()


def environment(bootstrap: str) -> dict[str, str]:
    """What a container is given to work on the embedded broker, at a port of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    return {
        "MESH_BOOTSTRAP": bootstrap,
        "MESH_NAME": MESH,
        "MESH_EMBEDDED": "true",
        "MESH_HEALTH": f"0.0.0.0:{port}",
    }


def test_it_starts_without_a_word_of_help(image: Image) -> None:
    told = image.run(*image.stage.command)
    assert told.code == 0
    assert told.out.startswith("Usage: mesh")
    assert image.run("--version").out.startswith("parley-mesh ")


def test_its_user_can_write_large_bodies_and_nothing_else(image: Image) -> None:
    shown = "import os; print(os.getuid(), os.getgid(), os.getpid())"
    assert image.plain("python", "-c", shown).out == "10001 10001 1\n"
    found = ("find", "/", "-xdev", "-writable", "!", "-type", "l", "-not", "-path", "/proc/*")
    assert image.plain(*found).out == f"{ARTIFACTS}\n"
    assert image.plain("touch", f"{ARTIFACTS}/here").code == 0
    for place in ("/app/here", "/tmp/here", "/opt/parley/here"):
        assert "Read-only file system" in image.plain("touch", place).err


def test_what_installs_and_what_tests_stays_behind(image: Image) -> None:
    for module in ("pip", "setuptools", "hatchling", "pytest", "tests"):
        assert image.plain("python", "-c", f"import {module}").code == 1, module
    assert image.plain("python", "-c", "import mesh, agents, rapidfuzz").code == 0
    measured = subprocess.run(
        ["du", "-sm", str(image.stage.inside("/opt/parley"))], capture_output=True, check=True
    )
    assert int(measured.stdout.split()[0]) < SIZE_MB


@pytest.mark.parametrize("command", [("run", INTAKE), ("processor",)], ids=["agents", "processor"])
def test_it_serves_until_sigterm(image: Image, broker: str, command: tuple[str, ...]) -> None:
    given = environment(broker)
    before = image.healthy(**given)
    assert (before.code, "refused" in before.out) == (1, True)
    running = image.start(*command, **given)
    running.wait_for("health at ")
    assert image.healthy(**given) == (0, "ready\n", "")
    assert running.end(signal.SIGTERM) == 0
    assert image.healthy(**given).code == 1


def test_what_does_not_serve_ends_at_sigterm_too(image: Image, broker: str) -> None:
    running = image.start("watch", **environment(broker))
    running.wait_for("Ctrl-C ends it")
    assert running.end(signal.SIGTERM) == 143


def test_a_large_body_goes_where_it_may(image: Image, broker: str) -> None:
    given = environment(broker)
    running = image.start("run", INTAKE, **given)
    running.wait_for("health at ")
    release = {"ocid": "a", "tender": {"description": "x" * 300_000}}
    asked = image.artifacts / "asked.json"
    asked.write_text(json.dumps({"release": release}))
    words = ("submit", "procurement.normalise", f"@{ARTIFACTS}/asked.json", "--wait", "-o", "json")
    told = image.run(*words, **given)
    assert (told.code, told.json["status"]) == (0, "completed"), told.err
    assert [one for one in image.artifacts.rglob("*") if one.is_file() and one != asked]
