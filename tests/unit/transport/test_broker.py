"""Mostly on a Kafka that is a shell script; once on a real one."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.errors import TransportError, UsageError
from mesh.transport import broker
from mesh.transport.broker import PORTS, BrokerSettings

# Formats by doing nothing; as a broker it listens where its configuration says.
JAVA = f"""#!{sys.executable}
import re, socket, sys, time
if "kafka.tools.StorageTool" in sys.argv:
    sys.exit(0)
text = open(sys.argv[-1]).read()
fault = re.search(r"^fault=(.*)$", text, re.M)
if fault and fault[1] == "taken":
    print("java.net.BindException: Address already in use"); sys.exit(1)
if fault and fault[1] == "bad":
    print("Invalid value for configuration fault"); sys.exit(1)
if fault and fault[1] == "stubborn":
    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)
port = int(re.search(r"CLIENT://127.0.0.1:(\\d+)", text)[1])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port)); listener.listen()
time.sleep(600)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "kafka"
    (home / "libs").mkdir(parents=True)
    (home / "libs/kafka-clients-4.3.1.jar").touch()
    java = tmp_path / "java/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text(JAVA, "utf-8")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return {
        "PATH": os.environ["PATH"],
        "KAFKA_HOME": str(home),
        "JAVA_HOME": str(tmp_path / "java"),
    }


def properties(directory: Path) -> dict[str, str]:
    lines = (directory / "server.properties").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_broker_is_started_once_and_keeps_its_address(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    directory = tmp_path / "broker"
    assert broker.status(directory) is None
    assert broker.stop(directory) is None
    first = broker.start(directory, environ=environ)
    assert first.running
    assert int(first.bootstrap.split(":")[1]) in PORTS
    assert broker.start(directory, environ=environ) == first
    assert broker.status(directory) == first
    stopped = broker.stop(directory)
    assert stopped is not None
    assert not stopped.running
    again = broker.start(directory, environ=environ)
    assert (again.bootstrap, again.pid != first.pid) == (first.bootstrap, True)
    killed = broker.kill(directory)
    assert killed is not None
    assert not killed.running


def test_a_broker_that_was_killed_by_somebody_else(tmp_path: Path, environ: dict[str, str]) -> None:
    started = broker.start(tmp_path / "b", environ=environ)
    assert started.pid is not None
    os.kill(started.pid, signal.SIGKILL)
    os.waitpid(started.pid, 0)
    status = broker.status(tmp_path / "b")
    assert status is not None
    assert not status.running


def test_another_process_with_the_old_number_is_not_the_broker(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with broker.running(tmp_path / "b", environ=environ):
        pass
    state = tmp_path / "b/broker.json"
    known = json.loads(state.read_text("utf-8"))
    with subprocess.Popen(["sleep", "600"]) as stranger:
        state.write_text(json.dumps(known | {"pid": stranger.pid}), "utf-8")
        status = broker.status(tmp_path / "b")
        assert status is not None
        assert not status.running
        broker.kill(tmp_path / "b")
        assert stranger.poll() is None, "a stranger was killed"
        stranger.kill()


def test_one_that_does_not_end_is_killed(tmp_path: Path, environ: dict[str, str]) -> None:
    settings = BrokerSettings(extra={"fault": "stubborn"})
    said: list[str] = []
    broker.start(tmp_path / "b", settings, environ=environ)
    stopped = broker.stop(tmp_path / "b", limit_s=1.3, progress=said.append)
    assert stopped is not None
    assert not stopped.running
    assert said == ["stopping Kafka, 1 s"]


def test_one_that_does_not_start_says_its_last_words(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    settings = BrokerSettings(extra={"fault": "bad"})
    with pytest.raises(TransportError, match=r"(?s)ended while it started.*Invalid value"):
        broker.start(tmp_path / "b", settings, environ=environ)


def test_a_port_that_is_taken(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[int, int, int]] = []
    choose = broker._free_ports

    def note(wanted: int) -> tuple[int, int, int]:
        tried.append(choose(wanted))
        return tried[-1]

    monkeypatch.setattr(broker, "_free_ports", note)
    settings = BrokerSettings(extra={"fault": "taken"})
    with pytest.raises(TransportError, match="already in use"):
        broker.start(tmp_path / "b", settings, environ=environ)
    assert len(set(tried)) == broker.PORT_ATTEMPTS
    status = broker.status(tmp_path / "b")
    assert status is not None
    assert not status.running


def test_settings_go_into_the_configuration(tmp_path: Path, environ: dict[str, str]) -> None:
    directory = tmp_path / "b"
    settings = BrokerSettings(port=PORTS.stop - 1, extra={"log.cleaner.backoff.ms": "500"})
    with broker.running(directory, settings, environ=environ) as status:
        assert status.bootstrap == f"127.0.0.1:{PORTS.stop - 1}"
        assert properties(directory)["log.cleaner.backoff.ms"] == "500"
        assert "CLIENT:PLAINTEXT" in properties(directory)["listener.security.protocol.map"]
    for other in (BrokerSettings(scram=True), BrokerSettings(port=PORTS.start)):
        with pytest.raises(UsageError, match="choose another directory"):
            broker.start(directory, other, environ=environ)
    with broker.running(directory, BrokerSettings(extra={"a": "b"}), environ=environ):
        assert properties(directory)["a"] == "b"
        assert "log.cleaner.backoff.ms" not in properties(directory)


def test_scram(tmp_path: Path, environ: dict[str, str]) -> None:
    directory = tmp_path / "b"
    with broker.running(directory, BrokerSettings(scram=True), environ=environ) as status:
        assert status.security.mechanism == "SCRAM-SHA-256"
        assert status.security.password
        assert status.security.password not in repr(status)
        assert status.internal != status.bootstrap
        assert "authorizer.class.name" in properties(directory)
        assert (directory / "broker.json").stat().st_mode & 0o077 == 0


@pytest.mark.broker
def test_a_real_one_keeps_its_data(kafka: str, tmp_path: Path) -> None:
    assert kafka
    from confluent_kafka import Producer

    directory = tmp_path / "broker"
    said: list[str] = []
    first = broker.start(directory, environ=os.environ, progress=said.append)
    try:
        assert all(line.startswith("starting Kafka") for line in said)
        client = Producer({"bootstrap.servers": first.bootstrap})
        cluster = client.cluster_id(10)
        stopped = broker.stop(directory)
        assert stopped is not None
        assert not stopped.running
        again = broker.start(directory, environ=os.environ)
        assert again.bootstrap == first.bootstrap
        client = Producer({"bootstrap.servers": again.bootstrap})
        assert client.cluster_id(10) == cluster
    finally:
        broker.kill(directory)
