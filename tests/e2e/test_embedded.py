"""The command on the embedded broker: one terminal runs `mesh dev`, others ask."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Running, Shell, Until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
TARGETS = ("office:desk", "office:ann", "office:bob")
HELLO = """
from pydantic import BaseModel
from mesh import Agent, Context

class Word(BaseModel):
    text: str

agent = Agent("hello", owner="me")

@agent.capability("hello.say")
async def say(ctx: Context, word: Word) -> Word:
    return Word(text=word.text + "!")
"""


@pytest.fixture
def dev(shell: Shell) -> Running:
    shutil.copy(Path(__file__).with_name("office.py"), shell.folder)
    shell.environ |= {
        "OFFICE_LEDGER": str(shell.folder / "ledger"),
        "OFFICE_HOLD": str(shell.folder / "hold"),
    }
    running = shell.start("dev", *TARGETS)
    running.wait_for("submit ")
    return running


def test_a_workflow_from_its_submission_to_its_replay(shell: Shell, dev: Running) -> None:
    assert "embedded" in dev.wait_for("broker ")
    agents = shell.run("agents", "-o", "json").json
    assert [own["agent"] for own in agents] == ["ann", "bob", "desk"]
    assert all(len(own["instances"]) == 1 for own in agents)

    ran = shell.run("submit", "office.order", "--json", '{"item": "desk", "qty": 10}', "--wait")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out) == {"decision": "buy", "total": "42.00"}
    assert "awarded to ann." in ran.err

    story = shell.run("trace", "-o", "json").json
    workflow = story["workflow"]
    assert (story["status"], story["tasks"]) == ("completed", 2)
    bids = story["root"]["steps"][0]["task"]["awards"][0]["bids"]
    assert [own["agent"] for own in bids] == ["ann", "bob"]
    assert "→ score" in shell.run("trace", workflow[:12]).out

    reasons = shell.run("why", workflow, "--all", "-o", "json").json
    assert all(own["agrees"] for own in reasons)
    checked = shell.run("audit", "check", "-o", "json")
    assert checked.code == 0
    assert (checked.json["holds"], checked.json["workflows"]) == (True, 1)
    given = [word for target in TARGETS for word in ("--with", target)]
    replayed = shell.run("replay", workflow, *given, "-o", "json")
    assert replayed.code == 0, replayed.err
    assert (replayed.json["tasks"], replayed.json["diverging"]) == (2, 0)
    watched = shell.run("watch", "--from-start", "-n", "3", "-o", "jsonl")
    assert len(watched.out.splitlines()) == 3
    assert shell.run("doctor", "-q").code == 0
    assert dev.end(signal.SIGINT) == 0
    assert "no topic" in (away := shell.run("agents", "--timeout", "1")).err or away.code == 3


def test_bad_input_is_answered_in_one_line(shell: Shell, dev: Running) -> None:
    unknown = shell.run("submit", "office.ordre", "--json", "{}")
    assert (unknown.code, unknown.out) == (4, "")
    assert "nobody offers office.ordre; did you mean office.order" in unknown.err
    unfit = shell.run("submit", "office.order", "--json", '{"qty": 1}', "--wait", "-o", "json")
    assert unfit.code == 6
    assert (unfit.json["status"], unfit.json["result"]) == ("rejected", None)
    assert unfit.json["error"].startswith("/item: ")
    missing = shell.run("trace", "0-0000")
    assert missing.code == 4
    assert missing.err.count("\n") == 1


def test_a_workflow_is_cancelled(shell: Shell, dev: Running) -> None:
    submitted = shell.run("submit", "office.order", "--json", '{"item": "later"}', "-o", "json")
    workflow = submitted.json["workflow"]
    ran = shell.run("cancel", workflow, "--because", "ordered twice", "-o", "json")
    assert ran.code == 0, ran.err
    assert (ran.json["status"], ran.json["reason"]) == ("cancelled", "ordered twice")
    assert "cancellation asked for: ordered twice" in shell.run("trace", workflow).out
    assert shell.run("audit", "check", "-q").code == 0
    again = shell.run("cancel", workflow, "--because", "once more")
    assert again.code == 0


def test_agents_are_loaded_again_when_they_are_saved(shell: Shell) -> None:
    (shell.folder / "hello.py").write_text(HELLO)
    running = shell.start("dev", "hello:agent")
    running.wait_for("submit ")
    given = ("submit", "hello.say", "--json", '{"text": "hi"}', "--wait", "-q")
    assert json.loads(shell.run(*given).out) == {"text": "hi!"}
    (shell.folder / "hello.py").write_text("not python")
    running.wait_for("waiting for the next save")
    (shell.folder / "hello.py").write_text(HELLO.replace('"!"', '"?"'))
    running.wait_for("ready again: hello")
    assert json.loads(shell.run(*given).out) == {"text": "hi?"}
    assert running.end(signal.SIGTERM) == 0


def test_a_new_agent_runs_as_written(shell: Shell, until: Until) -> None:
    assert shell.run("new", "order-desk").code == 0
    shell.folder = shell.folder / "order-desk"
    assert shell.run("doctor", "order_desk:agent").code == 0
    running = shell.start("dev", "order_desk:agent")
    running.wait_for("submit ")
    ran = shell.run("submit", "order-desk.greet", "--json", '{"name": "Ada"}', "--wait", "-q")
    assert json.loads(ran.out) == {"words": "Hello, Ada!"}
    until(lambda: any("✓" in line for line in running.lines))


def test_the_example_ends_with_one_json_object(shell: Shell) -> None:
    shell.folder = ROOT
    samples = ROOT / "agents/procurement/samples"
    data = sorted(samples.glob("*.jsonl"))[0]
    given = ("--example", "procurement", "--data", str(data), "--exit-when-done", "-o", "json")
    ran = shell.run("dev", *given, limit_s=120)
    assert ran.code == 0, ran.err
    figures = ran.json
    lines = [line for line in data.read_text("utf-8").splitlines() if line.strip()]
    assert figures["workflows"] == figures["completed"] == len(lines) - figures["not_submitted"]
    assert figures["failed"] == 0
    assert figures["tasks"] > 4 * figures["workflows"]
    assert set(figures) >= {
        "workflows", "completed", "failed", "tasks", "auctions", "sent_back", "reawards", "wall_s",
        "outcomes",
    }  # fmt: skip
    assert sum(figures["outcomes"].values()) == figures["workflows"]
    assert set(figures["shared"]) == {"writes", "arbitrated", "contested"}
    assert (figures["halted"], figures["incidents"]) == (0, 0)


def test_an_agent_that_never_stops_is_found_and_halted_and_the_others_go_on(shell: Shell) -> None:
    shell.folder = ROOT
    data = ROOT / "agents/procurement/samples/dnipro.jsonl"
    given = ("--example", "procurement", "--data", str(data), "--exit-when-done", "-o", "json")
    ran = shell.run("dev", *given, "--overeager", limit_s=120)
    assert ran.code == 0, ran.err
    figures = ran.json
    assert figures["halted"] == 1
    assert figures["incidents"] >= 1
    lines = [line for line in data.read_text("utf-8").splitlines() if line.strip()]
    assert figures["completed"] == len(lines) - figures["not_submitted"], "the others went on"
    assert figures["shared"]["writes"]["accepted"] > 0
    assert "✗ incident no-progress after $" in ran.err
    assert "procurement.source stops: workflow/" in ran.err
