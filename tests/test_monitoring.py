"""Rules and dashboards: they name what the code exports, and promtool finds nothing wrong in them.

promtool comes with Prometheus (Debian: apt-get install prometheus).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs import grafana
from mesh.metrics import FAMILIES, HISTOGRAM

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "helm/files"
RULES = sorted((FILES / "rules").glob("*.yaml"))
CASES = sorted((ROOT / "tests/monitoring").glob("*.yaml"))
BOARDS = sorted((FILES / "dashboards").glob("*.json"))
SUFFIXES = ("_bucket", "_count", "_sum")
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus adds, or a histogram's bucket has."""


def expressions(path: Path) -> Iterator[str]:
    """Yield what is asked in a file of rules or a dashboard."""
    if path.suffix == ".json":
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            yield from (target["expr"] for target in panel["targets"])
    else:
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from (rule["expr"] for rule in group["rules"])


def offences(expression: str) -> list[str]:
    """Return the metrics and labels in an expression that no process exports."""
    found = []
    asked = re.findall(r"\b(mesh_\w+)(?:\{([^}]*)\})?", expression)
    labels = set()
    for name, inside in asked:
        family = FAMILIES.get(name)
        for suffix in SUFFIXES:
            base = FAMILIES.get(name.removesuffix(suffix))
            if base is not None and base.kind == HISTOGRAM:
                family = base
        if family is None or (family.kind == HISTOGRAM and family.name == name):
            found.append(name)
            continue
        labels |= set(family.labels)
        wrong = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", inside)) - {*family.labels, *ADDED}
        found += [f"{name}{{{label}}}" for label in sorted(wrong)]
    by = {word for words in re.findall(r"by \(([^)]*)\)", expression) for word in words.split(", ")}
    return found + (sorted(by - labels - ADDED) if labels else [])


@pytest.mark.parametrize("path", [*RULES, *BOARDS], ids=lambda path: path.name)
def test_what_is_asked_is_exported(path: Path) -> None:
    asked = list(expressions(path))
    assert asked
    assert [offences(one) for one in asked] == [[] for _ in asked]


@pytest.mark.parametrize(
    ("expression", "offence"),
    [
        ("rate(mesh_task_ended_total[5m])", "mesh_task_ended_total"),
        ('mesh_tasks_ended_total{state="failed"}', "mesh_tasks_ended_total{state}"),
        ("sum by (workflow) (mesh_ready)", "workflow"),
        ("mesh_loop_lag_seconds", "mesh_loop_lag_seconds"),
    ],
)
def test_what_is_not_exported_is_seen(expression: str, offence: str) -> None:
    assert offences(expression) == [offence]


def test_every_family_but_uptime_is_on_a_dashboard() -> None:
    asked = " ".join(one for path in BOARDS for one in expressions(path))
    assert [name for name in FAMILIES if name not in asked] == ["mesh_uptime_seconds",
                                                                "mesh_state_through"]  # fmt: skip


def test_dashboards_are_up_to_date(rewrite: bool) -> None:
    if rewrite:
        grafana.write()
    assert {path.name: path.read_text("utf-8") for path in BOARDS} == {
        path.name: text for path, text in grafana.dashboards().items()
    }, "run `make docs`"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing; Debian: apt-get install prometheus")
    return found


def run(*command: str) -> tuple[int, str]:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def test_promtool_finds_nothing_wrong(promtool: str) -> None:
    code, said = run(promtool, "check", "rules", *map(str, RULES))
    assert code == 0, said
    code, said = run(promtool, "test", "rules", *map(str, CASES))
    assert code == 0, said


def test_promtool_sees_a_broken_rule_and_an_alert_that_is_late(
    promtool: str, tmp_path: Path
) -> None:
    rules = tmp_path / "work.yaml"
    text = (FILES / "rules/work.yaml").read_text("utf-8")
    rules.write_text(text.replace("sum by (mesh, capability) (rate", "sum by (mesh, ((rate", 1))
    assert run(promtool, "check", "rules", str(rules))[0] != 0
    rules.write_text(text.replace("for: 10m", "for: 40m", 1))
    case = tmp_path / "case.yaml"
    case.write_text(CASES[-1].read_text("utf-8").replace("../../helm/files/rules/", ""))
    code, said = run(promtool, "test", "rules", str(case))
    assert code != 0
    assert "ParleyTasksFail" in said
