"""Shared state by the command, on real Kafka: a policy, two writers, a processor that is away."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.bootstrap import connect
from mesh.config import Config
from mesh.core.shared import Entry
from mesh.ports import Place
from mesh.wire import topics
from mesh.wire.state import decode_kept, encode_kept, kept_key
from tests.e2e.conftest import Ran, Running, Shell, Until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
TARGETS = ("scribes:ann", "scribes:bob")
POLICY = """
version = 1
objectives = ["risk", "cost"]
[[state]]
prefix = "stock/"
resolution = "reject"
[[state]]
prefix = "suppliers/"
resolution = "arbitrate"
"""


@pytest.fixture
def scribes(shell: Shell, kafka: str, unique: str) -> Shell:
    shutil.copy(Path(__file__).with_name("scribes.py"), shell.folder)
    (shell.folder / "policy.toml").write_text(POLICY)
    shell.environ |= {"MESH_BOOTSTRAP": kafka, "MESH_NAME": unique}
    assert shell.run("topics", "apply", *TARGETS, "-q").code == 0
    return shell


def processor(shell: Shell) -> Running:
    running = shell.start("processor", "--health", "127.0.0.1:0")
    running.wait_for("health at ")
    return running


def note(shell: Shell, who: str, **fields: object) -> tuple[int, str]:
    given = json.dumps(fields)
    ran = shell.run("submit", f"{who}.note", "--json", given, "--wait", "-o", "json")
    assert ran.code == 0, ran.err
    result = ran.json["result"]
    return result["version"], result["said"]


def put(shell: Shell, old: bytes, new: bytes) -> None:
    """Forge the latest row of the view that holds a value."""
    config = Config(mesh=shell.environ["MESH_NAME"], bootstrap=shell.environ["MESH_BOOTSTRAP"])

    async def forge() -> None:
        log = connect(config, client_id="forger")
        await log.open()
        topic = topics.state(config.mesh)
        for partition in await log.ends(topic):
            async for batch in log.scan(Place(topic, partition), 0):
                for own in batch:
                    kept = decode_kept(own.value)
                    if isinstance(kept, Entry) and kept.value == old:
                        forged = replace(kept, value=new)
                        log.append(Place(topic, partition), kept_key(kept), encode_kept(forged))
        assert await log.flush(10)
        await log.close()

    asyncio.run(forge())


def state(shell: Shell, *given: str) -> Ran:
    return shell.run("state", *given, "-o", "json")


def test_from_a_policy_to_a_view_that_was_tampered_with(scribes: Shell, until: Until) -> None:
    assert scribes.run("policy", "plan", "policy.toml").code == 5
    applied = scribes.run("policy", "apply", "policy.toml", "--because", "to begin with")
    assert applied.code == 0, applied.err
    assert scribes.run("policy", "plan", "policy.toml").code == 0

    agents = scribes.start("run", *TARGETS, "--health", "127.0.0.1:0")
    agents.wait_for("health at ")
    running = processor(scribes)
    check_conflict(scribes)
    check_contest(scribes)
    verified = state(scribes, "verify")
    assert (verified.code, verified.json["entries"]) == (0, 2), verified.err
    assert running.end() == 0
    check_settlement(scribes, until)

    put(scribes, b"4", b"5")
    verified = state(scribes, "verify")
    (difference,) = verified.json["differences"]
    assert (verified.code, difference["key"], difference["version"]) == (5, "suppliers/acme", 3)
    assert "value 4, not 5" in difference["text"]


def check_conflict(shell: Shell) -> None:
    """Let both write the same version of a key; its history tells of both."""
    assert note(shell, "ann", key="stock/bolts", value=1) == (1, "accepted")
    assert note(shell, "bob", key="stock/bolts", value=2) == (1, "Conflict")
    _, won, lost = state(shell, "history", "stock/bolts").json["events"]
    assert (won["agent"], won["verdict"], won["beat"]) == ("ann", "accepted", [lost["where"]])
    assert (lost["agent"], lost["verdict"], lost["lost_to"]) == ("bob", "conflict", [won["where"]])
    assert "ann wrote version 1 in task" in lost["reason"]
    for own, word, other in ((won, "won against", "bob"), (lost, "lost to", "ann")):
        (met,) = shell.run("trace", own["workflow"], "-o", "json").json["conflicts"]
        assert (met["key"], met["own"]["agent"]) == ("stock/bolts", own["agent"])
        assert [(one["side"], one["agent"]) for one in met["others"]] == [(word, other)]
        told = " ".join(shell.run("trace", own["workflow"]).out.replace("│", " ").split())
        assert f"{word} {other} in workflow" in told
        assert "under stock/ conflicts are rejected" in told


def check_contest(shell: Shell) -> None:
    """Let both write for the same objective; the entry is contested."""
    supplier = {"key": "suppliers/acme", "objective": "risk"}
    assert note(shell, "ann", value=3, **supplier) == (1, "accepted")
    assert note(shell, "bob", value=4, **supplier)[1] == "Contested"
    (entry,) = state(shell, "get", "suppliers/acme").json
    assert (entry["value"], entry["contested"]) == (3, True)


def check_settlement(shell: Shell, until: Until) -> None:
    """Settle the contest while no processor runs; the next one judges it."""
    given = ("settle", "suppliers/acme", "--take", "1", "--because", "bob was there")
    away = state(shell, *given, "--timeout", "2")
    assert (away.code, "no processor answered within 2 s" in away.err) == (3, True)
    assert state(shell, "verify").json["behind"] == 1
    running = processor(shell)
    until(lambda: state(shell, "get", "suppliers/acme").json[0]["version"] == 3)
    (entry,) = state(shell, "get", "suppliers/acme").json
    assert (entry["value"], entry["verdict"], entry["because"]) == (4, "settled", "bob was there")
    again = state(shell, *given)
    assert (again.code, "is not contested: version 3" in again.err) == (2, True)
    (changed,) = state(shell, "diff", "suppliers", "--since", "1h").json
    assert (changed["versions"], changed["after"]["value"]) == (3, 4)
    assert running.end() == 0
    assert state(shell, "verify").code == 0
