from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.transport.broker import BrokerStatus
from mesh.transport.kafka_settings import Security
from tests.unit.cli.conftest import Cli

SCRAM = Security(
    protocol="SASL_PLAINTEXT", mechanism="SCRAM-SHA-256", username="admin", password="pw"
)


def status(folder: Path, *, running: bool, security: Security | None = None) -> BrokerStatus:
    return BrokerStatus(
        directory=folder,
        pid=7 if running else None,
        bootstrap="127.0.0.1:5",
        internal="127.0.0.1:6",
        security=security or Security(),
        origin="jars",
    )


def test_it_starts_stops_and_tells(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def start(folder: Path, **given: object) -> BrokerStatus:
        asked.append((folder, given["port"], given["scram"]))
        return status(folder, running=True, security=SCRAM)

    monkeypatch.setattr("mesh.bootstrap.start_broker", start)
    monkeypatch.setattr("mesh.bootstrap.stop_broker", lambda f, **_: status(f, running=False))
    monkeypatch.setattr("mesh.bootstrap.broker_status", lambda f: status(f, running=True))
    folder = tmp_path / "kafka"
    ran = cli("broker", "start", "--directory", str(folder), "--port", "5", "--scram")
    assert ran.code == 0
    assert asked == [(folder, 5, True)]
    assert "127.0.0.1:5 runs, process 7" in ran.out
    assert "mesh context use local" in ran.err
    listed = json.loads(cli("context", "ls", "-o", "json").out)
    assert [(own["name"], own["security"]) for own in listed] == [("local", "SASL_PLAINTEXT")]
    shape = json.loads(cli("broker", "status", "-o", "json").out)
    assert (shape["running"], shape["bootstrap"]) == (True, "127.0.0.1:5")
    assert "is stopped" in cli("broker", "stop").out


def test_there_is_none(cli: Cli, tmp_path: Path) -> None:
    for name in ("status", "stop"):
        ran = cli("broker", name, "--directory", str(tmp_path / "nix"))
        assert ran.code == 4
        assert "`mesh broker start` makes one" in ran.err
