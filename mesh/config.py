"""Settings of a process: the one place that reads the environment.

What a flag says goes before the environment, that before the context in use (a named mesh in the
user's configuration folder), that before the defaults. While `mesh dev` runs, the mesh that it
started stands in for a missing context, so that a second terminal finds it.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from mesh.core.settings import Settings
from mesh.core.values import Amount
from mesh.errors import UsageError
from mesh.wire.topics import Partitions, check_mesh

DEV: Final = "dev"
"""The context that `mesh dev` keeps while it runs."""
VARIABLE: Final = "MESH_"
SETTING: Final = "MESH_SET_"
"""Before the name of one of the protocol's settings: `MESH_SET_WORK_LEASE_MS=2000`."""
COUNT: Final = "MESH_PARTITIONS_"
"""Before a kind of topic: `MESH_PARTITIONS_AUDIT=16`."""
DEBUG: Final = "MESH_DEBUG"
"""Failures then show the whole traceback."""
PRIVATE: Final = 0o600
"""A context may hold a password."""
ALIKE: Final = 0.88
"""So alike to a known variable that it is a slip of the pen: others are nobody's concern."""


class Security(BaseModel):
    """How to authenticate at the brokers; the defaults are brokers without any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: str = Field(default="PLAINTEXT", pattern=r"^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$")
    mechanism: str = Field(default="", pattern=r"^(|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$")
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_location: str = ""
    certificate_location: str = ""
    key_location: str = ""

    @model_validator(mode="after")
    def _pair(self) -> Security:
        if bool(self.certificate_location) != bool(self.key_location):
            raise UsageError(
                "a certificate and its key go together: MESH_CERTIFICATE_LOCATION and "
                "MESH_KEY_LOCATION"
            )
        return self


class Config(BaseModel):
    """Everything that is set from outside. `origin` says where the address comes from.

    `health` is where a process that serves tells of itself; "" leaves that to the command.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mesh: str = "demo"
    bootstrap: str = Field(default="127.0.0.1:9092", min_length=1)
    embedded: bool = False
    security: Security = Security()
    artifacts: Path = Path()
    timeout_s: float = Field(default=30.0, gt=0)
    health: str = ""
    settings: dict[str, int | dict[str, int]] = Field(default_factory=dict)
    partitions: dict[str, int] = Field(default_factory=dict)
    origin: str = ""

    @field_validator("mesh")
    @classmethod
    def _mesh(cls, name: str) -> str:
        return check_mesh(name)

    @field_validator("settings")
    @classmethod
    def _settings(cls, given: dict[str, int | dict[str, int]]) -> dict[str, int | dict[str, int]]:
        core_settings(given)
        return given

    @field_validator("partitions")
    @classmethod
    def _partitions(cls, given: dict[str, int]) -> dict[str, int]:
        for kind, count in given.items():
            _known(kind, [own.name for own in fields(Partitions)], "kind of topic")
            if count < 1:
                raise UsageError(f"partitions of {kind}: {count} is not above 0")
        return given

    def core(self) -> Settings:
        """Return the protocol's settings."""
        return core_settings(self.settings)

    def counts(self) -> Partitions:
        """Return how many partitions topics have that are created now."""
        return Partitions(**self.partitions)


def core_settings(given: Mapping[str, int | Mapping[str, int]]) -> Settings:
    """Return the protocol's settings with some of them changed.

    Raises:
        UsageError: There is no such setting, or it is out of range.
    """
    settings = Settings()
    names = [own.name for own in fields(Settings)]
    changed: dict[str, Any] = {}
    for name, value in given.items():
        _known(name, names, "setting")
        current = getattr(settings, name)
        if isinstance(current, Amount):
            if not isinstance(value, Mapping):
                raise UsageError(f"setting {name}: must be a table of {', '.join(Amount._fields)}")
            for dimension in value:
                _known(dimension, Amount._fields, f"dimension of {name}")
            changed[name] = current._replace(**value)
        elif isinstance(value, Mapping) or value < (0 if name == "clock_skew_ms" else 1):
            raise UsageError(f"setting {name}: {value} must be a number above 0")
        else:
            changed[name] = value
    return replace(settings, **changed)


def load(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    joins: bool = True,
) -> Config:
    """Return the settings of this process.

    Args:
        flags: Fields of `Config` by name, and `context`; None stands for "not given".
        environ: Instead of the process's own.
        joins: Whether a mesh that `mesh dev` runs stands in for a missing context.

    Raises:
        UsageError: One of them is unknown or malformed; the message says where it came from.
    """
    environ = environment() if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    variables = _from_environment(environ)
    named = given.pop("context", None) or environ.get("MESH_CONTEXT", "")
    base, origin = _context(Contexts(config_folder(environ)), named, joins=joins)
    merged: dict[str, Any] = {"artifacts": data_folder(environ) / "artifacts"}
    for layer in (base, variables, given):
        merged.update({k: v for k, v in layer.items() if k not in ("settings", "partitions")})
        for table in ("settings", "partitions"):
            if table in layer:
                merged[table] = {**merged.get(table, {}), **layer[table]}
    if "bootstrap" in variables or "bootstrap" in given:
        origin = "--bootstrap" if "bootstrap" in given else "MESH_BOOTSTRAP"
        if not any("embedded" in layer for layer in (variables, given)):
            merged["embedded"] = base.get("embedded", False) and (
                base.get("bootstrap") == merged["bootstrap"]
            )
    try:
        return Config(**merged, origin=origin)
    except ValidationError as error:
        raise _unfit(error) from error


def to_environment(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a process that shall have these settings and no others."""
    kept = {name: value for name, value in environ.items() if not name.startswith(VARIABLE)}
    own = config.model_dump(mode="json")
    for name, field in _VARIABLES.items():
        kept[name] = str(own[field])
    for name, field in _SECURITY.items():
        kept[name] = own["security"][field]
    kept["MESH_SASL_PASSWORD"] = config.security.password.get_secret_value()
    kept |= {f"{SETTING}{name.upper()}": json.dumps(own) for name, own in config.settings.items()}
    kept |= {f"{COUNT}{name.upper()}": str(own) for name, own in config.partitions.items()}
    if DEBUG in environ:
        kept[DEBUG] = environ[DEBUG]
    # Whoever goes without a context must not find one that happens to be in use.
    return kept | {"XDG_CONFIG_HOME": os.devnull}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    security: dict[str, str] = {}
    for name, value in environ.items():
        if name in _VARIABLES:
            found[_VARIABLES[name]] = value
        elif name in _SECURITY:
            security[_SECURITY[name]] = value
        elif name == "MESH_SASL_PASSWORD_FILE":
            security["password"] = _secret(Path(value))
        elif name.startswith(SETTING):
            found.setdefault("settings", {})[name[len(SETTING) :].lower()] = _number(name, value)
        elif name.startswith(COUNT):
            found.setdefault("partitions", {})[name[len(COUNT) :].lower()] = _number(name, value)
        elif name.startswith(VARIABLE):
            _check_spelling(name)
    if security:
        found["security"] = security
    return found


_VARIABLES: Final = {
    "MESH_NAME": "mesh",
    "MESH_BOOTSTRAP": "bootstrap",
    "MESH_EMBEDDED": "embedded",
    "MESH_ARTIFACTS": "artifacts",
    "MESH_TIMEOUT": "timeout_s",
    "MESH_HEALTH": "health",
}
_SECURITY: Final = {
    "MESH_SECURITY_PROTOCOL": "protocol",
    "MESH_SASL_MECHANISM": "mechanism",
    "MESH_SASL_USERNAME": "username",
    "MESH_SASL_PASSWORD": "password",
    "MESH_CA_LOCATION": "ca_location",
    "MESH_CERTIFICATE_LOCATION": "certificate_location",
    "MESH_KEY_LOCATION": "key_location",
}
_ELSEWHERE: Final = ("MESH_CONTEXT", "MESH_SASL_PASSWORD_FILE", "MESH_DASHBOARD_TOKENS")
"""Variables that are no field of `Config`."""


def _check_spelling(name: str) -> None:
    known = (*_VARIABLES, *_SECURITY, *_ELSEWHERE)
    near = [] if name in known else get_close_matches(name, known, n=1, cutoff=ALIKE)
    if near:
        raise UsageError(f"environment: {name} is unknown; did you mean {near[0]}?")


def _number(name: str, value: str) -> int | dict[str, int]:
    try:
        number = json.loads(value)
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | dict):
        raise UsageError(f"environment: {name}={value!r} is no number")
    return number


def _secret(path: Path) -> str:
    try:
        return path.read_text("utf-8").rstrip("\n")
    except OSError as error:
        raise UsageError(f"MESH_SASL_PASSWORD_FILE: {path}: {error.strerror}") from error


def _known(name: str, names: tuple[str, ...] | list[str], what: str) -> None:
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
        raise UsageError(f"there is no {what} {name!r}; {hint}")


def _unfit(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    reason = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{where}: {reason}, not {first['input']!r}")


# --- places -------------------------------------------------------------------------------------


def environment() -> Mapping[str, str]:
    """Return the process's environment, for what must hand it on."""
    return os.environ


def wants_color(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment allows colours (https://no-color.org)."""
    environ = environment() if environ is None else environ
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def config_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's configuration folder of the mesh (XDG base directories)."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config")


def data_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the user's data folder of the mesh: brokers, artifacts."""
    environ = environment() if environ is None else environ
    return _folder(environ, "XDG_DATA_HOME", ".local/share")


def _folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    base = environ.get(variable, "")
    home = Path(environ.get("HOME", "") or Path.home())
    return (Path(base) if base.startswith("/") else home / default) / "mesh"


# --- contexts -----------------------------------------------------------------------------------


class Contexts:
    """The named meshes of a user: `contexts.toml` in the configuration folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "contexts.toml"

    def __repr__(self) -> str:
        return f"Contexts({str(self.path)!r})"

    def read(self) -> tuple[str, dict[str, dict[str, Any]]]:
        """Return the name of the one in use ("" for none), and all by name.

        Raises:
            UsageError: The file cannot be read.
        """
        try:
            found = tomllib.loads(self.path.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return "", {}
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path}: {error}; repair it or remove it") from error
        contexts = found.get("contexts", {})
        return str(found.get("use", "")), contexts if isinstance(contexts, dict) else {}

    def add(self, name: str, context: Mapping[str, Any]) -> None:
        """Add a context, or replace it.

        Raises:
            UsageError: One of its fields is unknown or malformed.
        """
        check_mesh(name)
        try:
            Config(**{key: value for key, value in context.items() if key != "pid"})
        except ValidationError as error:
            raise _unfit(error) from error
        used, contexts = self.read()
        contexts[name] = dict(context)
        self._write(used, contexts)

    def use(self, name: str) -> None:
        """Use a context from now on; "" uses none.

        Raises:
            UsageError: There is none of that name.
        """
        _, contexts = self.read()
        if name:
            _known(name, list(contexts), "context")
        self._write(name, contexts)

    def remove(self, name: str) -> None:
        """Remove a context; nothing happens if there is none."""
        used, contexts = self.read()
        if contexts.pop(name, None) is not None:
            self._write("" if used == name else used, contexts)

    def _write(self, used: str, contexts: Mapping[str, Mapping[str, Any]]) -> None:
        text = f"use = {_toml(used)}\n"
        for name, context in contexts.items():
            text += f"\n[contexts.{name}]\n"
            text += "".join(f"{key} = {_toml(value)}\n" for key, value in context.items())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".new")
        scratch.touch(mode=PRIVATE)
        scratch.write_text(text, "utf-8")
        scratch.replace(self.path)


def _context(contexts: Contexts, named: str, *, joins: bool) -> tuple[dict[str, Any], str]:
    used, known = contexts.read()
    if named:
        _known(named, list(known), "context")
    name = named or used or (DEV if joins and _runs(known.get(DEV)) else "")
    if not name:
        return {}, "the default"
    context = {key: value for key, value in known.get(name, {}).items() if key != "pid"}
    return context, f"context {name}"


def _runs(context: Mapping[str, Any] | None) -> bool:
    """Tell whether the process that wrote a context for its own time is still there."""
    pid = context.get("pid") if context is not None else None
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _toml(value: object) -> str:
    """Return a value as TOML has it: texts, numbers, truth and tables of these."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(own)}" for key, own in value.items()) + "}"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
