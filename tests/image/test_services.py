"""The services of docker-compose.yml on a real Kafka, as they stand there, without Docker."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

import pytest

from tests.e2e.conftest import ROOT
from tests.image import compose
from tests.image.conftest import First, Image

pytestmark = [
    pytest.mark.shipped,
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.timeout(500),
]
RELEASE = {"ocid": "ocds-213czf-1", "tender": {"title": "Benches"}}


def given(service: Any, kafka: str, mesh: str) -> dict[str, str]:
    """Return a service's environment, with this Kafka, this mesh, and a health port of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    assert service["environment"].keys() == {"MESH_BOOTSTRAP", "MESH_NAME"}
    return {"MESH_BOOTSTRAP": kafka, "MESH_NAME": mesh, "MESH_HEALTH": f"0.0.0.0:{port}"}


def status(page: str, token: str) -> int:
    """Ask the dashboard's API what runs now; return the status of its answer."""
    url = f"http://127.0.0.1:{page.rstrip('/;,').rpartition(':')[2]}/api/v1/now"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_mesh_of_the_compose_file(image: Image, kafka: str, unique: str) -> None:
    services = compose.load(ROOT / "docker-compose.yml")["services"]
    ours = {name: own for name, own in services.items() if own["image"] == "parley:local"}
    topics = ours.pop("topics")
    created = image.run(*compose.words(topics["command"]), **given(topics, kafka, unique))
    assert created.code == 0, created.err
    policy = ours.pop("policy")

    # The dashboard's own port is this machine's here, and may be taken: any other does.
    ours["dashboard"]["command"] += " --port 0"
    people = next(own for own in ours["dashboard"]["volumes"] if "people" in own).split(":")
    image.volumes[people[1]] = ROOT / people[0]
    environs = {name: given(own, kafka, unique) for name, own in ours.items()}
    running: dict[str, First] = {
        name: image.start(*compose.words(own["command"]), **environs[name])
        for name, own in ours.items()
    }
    for name, process in running.items():
        process.wait_for("health at ")
        assert image.healthy(**environs[name]).out == "ready\n", name
    for _ in range(2):  # the second time there is nothing to do
        applied = image.run(*compose.words(policy["command"]), **given(policy, kafka, unique))
        assert applied.code == 0, applied.err

    # as `docker compose exec procurement-lead mesh ...` asks
    inside = environs["procurement-lead"]
    asked = (
        "submit",
        "procurement.review",
        json.dumps({"release": RELEASE}),
        "--wait",
        "-o",
        "json",
    )
    told = image.run(*asked, **inside)
    assert (told.code, told.json["status"]) == (0, "completed"), told.err
    assert len(image.run("agents", "-o", "json", **inside).json) == 10
    assert image.run("audit", "check", "-q", **inside).code == 0

    page = running["dashboard"].wait_for("dashboard at ").partition("dashboard at ")[2].split()[0]
    assert status(page, "") == HTTPStatus.UNAUTHORIZED
    assert status(page, "for-this-machine-alone-0001") == HTTPStatus.OK

    codes = {name: process.end(signal.SIGTERM) for name, process in running.items()}
    assert set(codes.values()) == {0}, codes
