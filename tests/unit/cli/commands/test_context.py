from __future__ import annotations

import json
from pathlib import Path

from mesh.config import load
from tests.unit.cli.conftest import Cli


def test_a_mesh_is_saved_used_and_listed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret\n")
    added = cli(
        "context", "add", "prod", "--bootstrap", "kafka:9093", "--mesh", "orders",
        "--username", "ops", "--password-file", str(tmp_path / "pw"),
        "--artifacts", str(tmp_path),
    )  # fmt: skip
    assert added.code == 0, added.err
    assert cli("context", "add", "plain", "--bootstrap", "kafka:9092").code == 0
    assert cli("context", "use", "prod").code == 0
    listed = json.loads(cli("context", "ls", "-o", "json").out)
    assert [(own["name"], own["in_use"], own["security"]) for own in listed] == [
        ("plain", False, "PLAINTEXT"),
        ("prod", True, "SASL_SSL"),
    ]
    assert "*   prod    orders   kafka:9093" in cli("context", "ls").out
    config = load({})
    assert (config.mesh, config.bootstrap) == ("orders", "kafka:9093")
    assert config.security.password.get_secret_value() == "secret"
    assert config.security.mechanism == "SCRAM-SHA-256"
    cli("context", "use", "none")
    assert load({}).origin == "the default"


def test_what_is_missing_is_said(cli: Cli) -> None:
    assert "say where the brokers are" in cli("context", "add", "x").err
    ran = cli("context", "add", "x", "--bootstrap", "k:1", "--password-file", "nowhere")
    assert "--password-file: nowhere: No such file" in ran.err
    assert cli("context", "use", "nowhere").code == 2
