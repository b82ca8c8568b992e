"""The command on real Kafka: processes that come and go, permissions, the example as a whole."""

from __future__ import annotations

import json
import re
import shutil
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Ran, Running, Shell, Until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
TARGETS = ("office:desk", "office:ann", "office:bob")
PROCESS = {"MESH_SET_SUPERVISION_LEASE_MS": "3000", "MESH_SET_WORK_LEASE_MS": "2000"}


@pytest.fixture
def office(shell: Shell, kafka: str, unique: str) -> Shell:
    shutil.copy(Path(__file__).with_name("office.py"), shell.folder)
    shell.environ |= {
        "OFFICE_LEDGER": str(shell.folder / "ledger"),
        "OFFICE_HOLD": str(shell.folder / "hold"),
        "MESH_BOOTSTRAP": kafka,
        "MESH_NAME": unique,
        **PROCESS,
    }
    (shell.folder / "ledger").touch()
    return shell


def started(shell: Shell, *targets: str) -> tuple[Running, str]:
    """Start a process of agents; return it with the address of its health."""
    running = shell.start("run", *targets, "--health", "127.0.0.1:0", "--drain", "10")
    line = running.wait_for("health at ")
    return running, line.rpartition("http://")[2].partition("/")[0]


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_killed_workers_task_goes_on(office: Shell, until: Until) -> None:
    planned = office.run("topics", "plan", *TARGETS)
    assert planned.code == 5
    assert office.run("topics", "apply", *TARGETS, "-q").code == 0
    assert office.run("topics", "plan", *TARGETS).code == 0

    first, health = started(office, *TARGETS)
    assert get(health, "/healthz") == (200, "alive\n")
    assert get(health, "/readyz") == (200, "ready\n")
    assert f'mesh_ready{{mesh="{office.environ["MESH_NAME"]}"}} 1.0' in get(health, "/metrics")[1]

    (office.folder / "hold").touch()
    submitted = office.run("submit", "office.steps", "--json", '{"item": "x"}', "-o", "json")
    workflow = submitted.json["workflow"]
    ledger = office.folder / "ledger"
    until(lambda: len(ledger.read_text().splitlines()) == 3)
    first.end(signal.SIGKILL)
    second, health = started(office, *TARGETS)
    (office.folder / "hold").unlink()

    def story() -> Ran:
        return office.run("trace", workflow, "-o", "json")

    until(lambda: story().json["status"] == "completed")
    told = story().json
    assert [own["cause"] for own in told["root"]["awards"]] == ["first", "died"]
    assert told["cost"]["micro_usd"] == 50_000, "no step was paid twice"
    effects = [line.split() for line in ledger.read_text().splitlines()]
    assert [name for name, _ in effects] == [f"step-{number}" for number in range(5)]
    assert len({key for _, key in effects}) == 5
    text = get(health, "/metrics")[1]
    counted = re.findall(r"(mesh_(?:tasks_ended|awards|steps_replayed)_total){(.*)} (.*)", text)
    of = {
        (name, *re.findall(r'(?:status|cause)="(\w+)"', labels)): n for name, labels, n in counted
    }
    assert of["mesh_tasks_ended_total", "completed"] == "1.0"
    assert of["mesh_awards_total", "died"] == "1.0"
    assert float(of["mesh_steps_replayed_total",]) >= 2, "the first two were finished for sure"
    assert office.run("why", workflow, "-q").code == 0
    with_code = [word for target in TARGETS for word in ("--with", target)]
    assert office.run("replay", "--all", *with_code, "-q").code == 0
    assert office.run("audit", "check", "--all-ended", "-q").code == 0
    assert second.end(signal.SIGTERM) == 0
    second.wait_for("draining")


def test_a_drain_hands_over_what_waits(office: Shell) -> None:
    office.run("topics", "apply", *TARGETS, "-q")
    first, _ = started(office, *TARGETS)
    second, _ = started(office, *TARGETS)
    ran = office.run("submit", "office.order", "--json", '{"item": "desk"}', "--wait", "-q")
    assert json.loads(ran.out)["decision"] == "buy"
    assert first.end(signal.SIGTERM) == 0
    ran = office.run("submit", "office.order", "--json", '{"item": "desk"}', "--wait", "-q")
    assert ran.code == 0, ran.err
    doctor = office.run("doctor", *TARGETS)
    assert doctor.code == 0, doctor.out
    assert "brokers' clocks differ by" in doctor.out
    assert "3 agents, 3 instances alive" in doctor.out
    assert second.end(signal.SIGTERM) == 0


def test_what_is_missing_is_said_with_what_to_do(office: Shell) -> None:
    ran = office.run("run", "office:desk", "--health", "off")
    assert ran.code == 4
    assert "`mesh topics apply`" in ran.err
    ran = office.run("agents")
    assert ran.code == 4
    assert "there is no mesh" in ran.err
    ran = office.run("agents", "--bootstrap", "127.0.0.1:9", "--timeout", "1")
    assert ran.code == 3
    assert ran.err.startswith("mesh: connect to 127.0.0.1:9") or "ask 127.0.0.1:9" in ran.err


def test_a_broker_of_ones_own_with_permissions(shell: Shell, kafka: str) -> None:
    folder = str(shell.folder / "kafka")
    shell.environ["XDG_CACHE_HOME"] = str(Path.home() / ".cache")
    begun = shell.run("broker", "start", "--directory", folder, "--scram", "-o", "json")
    assert begun.code == 0, begun.err
    try:
        assert begun.json["running"] is True
        refused = shell.run("agents", "--bootstrap", begun.json["bootstrap"])
        assert refused.code in (3, 7)
        assert shell.run("context", "use", "local").code == 0
        assert shell.run("topics", "apply", "-q").code == 0
        assert shell.run("agents", "-o", "json").json == []
        shell.environ |= {
            "MESH_BOOTSTRAP": begun.json["bootstrap"],
            "MESH_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "MESH_SASL_MECHANISM": "SCRAM-SHA-256",
            "MESH_SASL_USERNAME": "admin",
            "MESH_SASL_PASSWORD": "wrong",
        }
        wrong = shell.run("agents", "--timeout", "3")
        assert wrong.code == 7, wrong.err
        assert "check user, password and mechanism" in wrong.err
    finally:
        stopped = shell.run("broker", "stop", "--directory", folder, "-o", "json")
    assert stopped.json["running"] is False


def test_the_example_replays(shell: Shell, kafka: str, unique: str) -> None:
    shell.folder = ROOT
    shell.environ["MESH_NAME"] = unique
    given = ("--example", "procurement", "--broker", kafka, "--exit-when-done", "-o", "json")
    ran = shell.run("dev", *given, limit_s=240)
    assert ran.code == 0, ran.err
    assert ran.json["workflows"] >= 60
    assert ran.json["completed"] == ran.json["workflows"]
    shell.environ["MESH_BOOTSTRAP"] = kafka
    replayed = shell.run("replay", "--all", "--example", "procurement", "-o", "json", limit_s=240)
    assert replayed.code == 0, replayed.err
    assert replayed.json["diverging"] == 0
    assert replayed.json["tasks"] == ran.json["tasks"]
    checked = shell.run("audit", "check", "--all-ended", "-o", "json", limit_s=120)
    assert checked.code == 0, checked.out
    assert checked.json["tasks"] == ran.json["tasks"]
