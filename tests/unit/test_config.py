from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mesh.config import (
    DEV,
    Config,
    Contexts,
    config_folder,
    core_settings,
    data_folder,
    environment,
    load,
    to_environment,
    wants_color,
)
from mesh.core.settings import Settings
from mesh.errors import UsageError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def contexts(environ: dict[str, str]) -> Contexts:
    return Contexts(config_folder(environ))


def test_the_defaults(environ: dict[str, str]) -> None:
    config = load({}, environ)
    assert (config.mesh, config.bootstrap, config.origin) == (
        "demo", "127.0.0.1:9092", "the default",
    )  # fmt: skip
    assert config.core() == Settings()
    assert config.artifacts == data_folder(environ) / "artifacts"
    assert config.counts().audit == 8


def test_flag_over_environment_over_context(environ: dict[str, str]) -> None:
    own = contexts(environ)
    own.add("staging", {"bootstrap": "file:1", "mesh": "file-mesh", "settings": {"slots": 3}})
    own.use("staging")
    assert load({}, environ).origin == "context staging"
    environ |= {"MESH_BOOTSTRAP": "env:2", "MESH_SET_CANDIDATES": "7"}
    config = load({"bootstrap": None, "mesh": "flag-mesh"}, environ)
    assert (config.bootstrap, config.mesh, config.origin) == (
        "env:2", "flag-mesh", "MESH_BOOTSTRAP",
    )  # fmt: skip
    assert (config.core().slots, config.core().candidates) == (3, 7)
    assert load({"bootstrap": "flag:3"}, environ).origin == "--bootstrap"


def test_security_from_the_environment(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret\n")
    environ |= {
        "MESH_SECURITY_PROTOCOL": "SASL_SSL",
        "MESH_SASL_MECHANISM": "SCRAM-SHA-512",
        "MESH_SASL_USERNAME": "ops",
        "MESH_SASL_PASSWORD_FILE": str(tmp_path / "pw"),
    }
    config = load({}, environ)
    assert config.security.password.get_secret_value() == "secret"
    assert "secret" not in repr(config)
    environ["MESH_SASL_PASSWORD_FILE"] = str(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="MESH_SASL_PASSWORD_FILE"):
        load({}, environ)


def test_a_certificate_and_its_key_go_together(environ: dict[str, str]) -> None:
    environ |= {"MESH_SECURITY_PROTOCOL": "SSL", "MESH_CERTIFICATE_LOCATION": "/tls/user.crt"}
    with pytest.raises(UsageError, match="go together"):
        load({}, environ)
    security = load({}, environ | {"MESH_KEY_LOCATION": "/tls/user.key"}).security
    assert (security.certificate_location, security.key_location) == (
        "/tls/user.crt", "/tls/user.key",
    )  # fmt: skip


def test_where_a_process_tells_of_itself(environ: dict[str, str]) -> None:
    assert load({}, environ).health == ""
    assert load({}, environ | {"MESH_HEALTH": "0.0.0.0:8470"}).health == "0.0.0.0:8470"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MESH_BOOSTRAP", "x", "did you mean MESH_BOOTSTRAP"),
        ("MESH_SET_SLOT", "3", "no setting 'slot'; did you mean slots"),
        ("MESH_SET_SLOTS", "many", "is no number"),
        ("MESH_SET_SLOTS", "0", "must be a number above 0"),
        ("MESH_SET_BUDGET", "3", "must be a table of"),
        ("MESH_SET_BUDGET", '{"usd": 3}', "no dimension of budget 'usd'"),
        ("MESH_PARTITIONS_AUDITS", "3", "did you mean audit"),
        ("MESH_PARTITIONS_AUDIT", "0", "not above 0"),
        ("MESH_NAME", "Not A Mesh", "mesh must be one segment"),
        ("MESH_TIMEOUT", "-1", "timeout_s: "),
        ("MESH_SECURITY_PROTOCOL", "TLS", r"security.protocol: "),
        ("MESH_CONTEXT", "nowhere", "no context 'nowhere'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    environ: dict[str, str], name: str, value: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load({}, environ | {name: value})


def test_variables_of_others_are_nobodys_concern(environ: dict[str, str]) -> None:
    environ |= {"MESH_SERVICE_HOST": "10.0.0.1", "MESH_PORT": "tcp://x", "MESH_TEST_BOOTSTRAP": "y"}
    assert load({}, environ).bootstrap == "127.0.0.1:9092"


def test_a_budget_is_a_table_of_dimensions() -> None:
    settings = core_settings({"budget": {"micro_usd": 5}, "clock_skew_ms": 0})
    assert settings.budget == Settings().budget._replace(micro_usd=5)
    assert settings.clock_skew_ms == 0


def test_contexts_are_kept_for_their_user_alone(environ: dict[str, str]) -> None:
    own = contexts(environ)
    assert own.read() == ("", {})
    security = {"protocol": "SASL_SSL", "username": "ö", "password": 'a"b'}
    own.add("prod", {"bootstrap": "k:1", "security": security, "embedded": False})
    own.use("prod")
    assert stat.S_IMODE(own.path.stat().st_mode) == 0o600
    used, known = own.read()
    assert used == "prod"
    assert known["prod"]["security"] == security
    own.remove("prod")
    own.remove("prod")
    assert own.read() == ("", {})
    with pytest.raises(UsageError, match="no context 'prod'"):
        own.use("prod")
    own.use("")


def test_a_context_that_cannot_be_is_refused(environ: dict[str, str]) -> None:
    own = contexts(environ)
    with pytest.raises(UsageError, match="bootstrop"):
        own.add("prod", {"bootstrop": "k:1"})
    own.path.parent.mkdir(parents=True)
    own.path.write_text("use = [")
    with pytest.raises(UsageError, match="repair it or remove it"):
        own.read()


def test_a_mesh_under_development_stands_in_for_a_missing_context(environ: dict[str, str]) -> None:
    own = contexts(environ)
    own.add(DEV, {"bootstrap": "127.0.0.1:5", "embedded": True, "pid": os.getpid()})
    config = load({}, environ)
    assert (config.bootstrap, config.embedded, config.origin) == (
        "127.0.0.1:5", True, "context dev",
    )  # fmt: skip
    assert load({}, environ, joins=False).origin == "the default"
    assert load({"bootstrap": "127.0.0.1:5"}, environ).embedded
    assert not load({"bootstrap": "other:1"}, environ).embedded
    for gone in (2**22 + 1, 0):
        own.add(DEV, {"bootstrap": "127.0.0.1:5", "pid": gone})
        assert load({}, environ).origin == "the default"


def test_settings_travel_to_another_process(environ: dict[str, str]) -> None:
    given = {
        "mesh": "orders",
        "bootstrap": "k:1",
        "embedded": True,
        "settings": {"slots": 3, "budget": {"tokens": 5}},
        "partitions": {"audit": 2},
        "security": {"protocol": "SASL_SSL", "username": "u", "password": "p"},
    }
    config = Config.model_validate(given)
    handed = to_environment(config, environ | {"MESH_NAME": "x", "PATH": "/bin", "MESH_DEBUG": "1"})
    assert handed["PATH"] == "/bin"
    assert handed["MESH_DEBUG"] == "1"
    again = load({}, handed)
    assert again.core() == config.core()
    assert again.counts() == config.counts()
    assert again.security == config.security
    assert (again.mesh, again.bootstrap, again.embedded) == ("orders", "k:1", True)


def test_folders_and_colours(environ: dict[str, str]) -> None:
    assert config_folder(environ | {"XDG_CONFIG_HOME": "/etc/x"}) == Path("/etc/x/mesh")
    assert config_folder(environ | {"XDG_CONFIG_HOME": "relative"}).parts[-2:] == (
        ".config",
        "mesh",
    )
    assert data_folder(environ).parts[-3:] == (".local", "share", "mesh")
    assert environment() is os.environ
    assert wants_color({})
    assert not wants_color({"NO_COLOR": "1"})
    assert not wants_color({"TERM": "dumb"})
