"""Reads docker-compose.yml as Compose would, as far as the tests need it."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from json import loads
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Services = dict[str, dict[str, Any]]


def schema() -> dict[str, Any]:
    """Return the Compose Specification's schema, which `check-jsonschema` carries.

    It is found and not imported: its command wants a newer click than Faust allows.
    """
    spec = find_spec("check_jsonschema")
    assert spec is not None, "it is in requirements/dev.txt"
    assert spec.origin is not None
    place = Path(spec.origin).with_name("builtin_schemas") / "vendor/compose-spec.json"
    found: dict[str, Any] = loads(place.read_text("utf-8"))
    return found


def load(path: Path) -> Any:
    """Return a compose file, its anchors merged, its variables at their defaults."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", path.read_text("utf-8"))
    return yaml.safe_load(text)


def complaints(composed: Any) -> list[str]:
    """Return what the schema says against a compose file."""
    found = sorted(
        jsonschema.Draft202012Validator(schema()).iter_errors(composed),
        key=lambda error: list(error.absolute_path),
    )
    return [f"{error.json_path}: {error.message}" for error in found]


def words(command: Any) -> list[str]:
    """Return a service's command as words."""
    return shlex.split(command) if isinstance(command, str) else list(command)
