"""Runs of other people's agents, told as workflows of the mesh.

They stand with the tests, for they are a measure and no product: the runs are not shipped. Each
turn of an agent is a task that the run's root delegates to it, with what was said to it as the
input and what it said as the result; each call of a tool is a tool step, with its arguments and its
answer. The runs have no times and no costs, so what rests on these cannot be seen in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.core.detectors.limits import LimitTable
from tests.detection.story import SMALL, Story

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WHO_WHEN = DATA / "traces" / "whowhen-algorithm-generated.jsonl"
AIRLINE = DATA / "traces" / "tau-bench-airline-even.jsonl"
RETAIL = DATA / "agentrx-tau-retail" / "tau_dataset_full.json"
RETAIL_LABELS = DATA / "agentrx-ground-truth" / "tau_retail.json"
FILES = (WHO_WHEN, AIRLINE, RETAIL, RETAIL_LABELS)

STEP_LIMIT = 30
"""τ-bench ends a run after so many steps of the assistant."""
TURN_LIMIT = 10
"""The group chats of Who&When end after so many messages."""
TERMINAL = "Computer_terminal"
REPEATS = ("again", "repeat", "loop", "stuck", "same step")
"""Words with which whoever labelled a run says that it went round in circles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run, and what is known of it without looking for loops.

    `failed`: it did not reach its goal. `cut`: it was ended by the limit of turns, so it did not
    come to an end by itself. `labelled`: a person's words about its mistakes say that something was
    done again in vain; None where no person looked.
    """

    name: str
    messages: list[dict[str, Any]]
    failed: bool
    cut: bool
    labelled: bool | None
    tools: bool

    def story(self, limits: LimitTable) -> Story:
        """Return the run as a workflow under these limits."""
        return _tool_run(self, limits) if self.tools else _group_chat(self, limits)


def retail() -> list[Run]:
    """Return the 100 runs of τ-bench retail of AgentRx; a person looked at 24 that failed."""
    labels = {own["trajectory_id"]: own["failures"] for own in _json(RETAIL_LABELS)}
    return [
        _tau(f"retail {run['task_id']}", run, _invalid_again(labels.get(run["task_id"])))
        for run in _json(RETAIL)
    ]


def airline() -> list[Run]:
    """Return the 100 runs of τ-bench airline; of these only the reward is known."""
    runs = (json.loads(line) for line in AIRLINE.read_text("utf-8").splitlines())
    return [_tau(f"airline {run['task_id']}.{run['trial']}", run, None) for run in runs]


def who_when() -> list[Run]:
    """Return the 126 group chats of Who&When; all of them failed, and a person says why."""
    runs = (json.loads(line) for line in WHO_WHEN.read_text("utf-8").splitlines())
    return [
        Run(
            name=f"chat {run['question_ID'][:8]}",
            messages=run["history"],
            failed=not run["is_correct"],
            cut=len(run["history"]) >= TURN_LIMIT
            and "TERMINATE" not in run["history"][-1]["content"],
            labelled=any(word in run["mistake_reason"].lower() for word in REPEATS),
            tools=False,
        )
        for run in runs
    ]


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _tau(name: str, run: dict[str, Any], labelled: bool | None) -> Run:
    steps = sum(message["role"] == "assistant" for message in run["traj"])
    return Run(
        name=name,
        messages=run["traj"],
        failed=run["reward"] < 1,
        cut=steps >= STEP_LIMIT,
        labelled=labelled,
        tools=True,
    )


def _invalid_again(failures: list[dict[str, Any]] | None) -> bool | None:
    """Tell whether a person marked more than one call as invalid: the first taught nothing."""
    if failures is None:
        return None
    categories = [str(own["failure_category"]) for own in failures]
    return categories.count("Invalid Invocation") > 1


# --- into the event model -----------------------------------------------------------------------


def _tool_run(run: Run, limits: LimitTable) -> Story:
    """Tell a run of an assistant, a user and tools."""
    messages = [own for own in run.messages if own["role"] != "system"]
    story = Story({"asked": _said(messages[0])}, agent="assistant", limits=limits)
    answers = {own["tool_call_id"]: _said(own) for own in messages if own["role"] == "tool"}
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        story.turn += 1
        for name, given, answer in _calls(message, answers):
            if answer.startswith("Error"):
                story.root.calls(name, given, error=answer)
            else:
                story.root.calls(name, given, answer)
        following = messages[at + 1] if at + 1 < len(messages) else None
        if following is not None and following["role"] == "user":
            story.root.gets("user.reply", {"to": _said(message)}, _said(following), "user")
    return story


def _calls(message: dict[str, Any], answers: dict[str, str]) -> Iterator[tuple[str, Any, str]]:
    for call in message.get("tool_calls") or ():
        given = call["function"]["arguments"]
        yield call["function"]["name"], given, answers.get(call["id"], "")


def _group_chat(run: Run, limits: LimitTable) -> Story:
    """Tell a chat of experts and a terminal that runs their code."""
    story = Story({"asked": _said(run.messages[0])}, agent="manager", limits=limits)
    before = ""
    for message in run.messages:
        story.turn += 1
        said, name = _said(message), message["name"]
        if name != TERMINAL:
            part = story.root.asks("team.turn", {"to": before}, name, grant=SMALL)
            part.finishes(said)
        elif said.startswith("exitcode: 0"):
            story.root.calls("terminal", before, said)
        else:
            story.root.calls("terminal", before, error=said[:500])
        before = said
    return story


def _said(message: dict[str, Any]) -> str:
    return str(message.get("content") or "").encode("utf-8", "replace").decode()
