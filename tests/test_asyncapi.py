"""The AsyncAPI document is up to date, whole, and valid by AsyncAPI's own JSON schema.

`make docs` writes it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from docs import asyncapi
from mesh.wire.schemas import current
from mesh.wire.topics import Kind

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "asyncapi.yaml"
OFFICIAL = Path(__file__).parent / "asyncapi" / "asyncapi-3.0.0.json"
SHA256 = "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626"
Spoil = Callable[[dict[str, Any]], object]


def violations(document: object) -> list[str]:
    """Return what AsyncAPI's own schema has against a document."""
    validator = jsonschema.Draft7Validator(json.loads(OFFICIAL.read_text("utf-8")))
    return [error.json_path for error in validator.iter_errors(document)]


def dangling(document: object) -> list[str]:
    """Return the references that lead nowhere: the schema does not look for these."""
    whole = document

    def walk(value: object) -> list[str]:
        if isinstance(value, list):
            return [found for item in value for found in walk(item)]
        if not isinstance(value, dict):
            return []
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        inner = [found for item in value.values() for found in walk(item)]
        return [ref for ref in own if not _leads(whole, ref)] + inner

    return walk(document)


def _leads(document: object, ref: str) -> bool:
    at: Any = document
    for name in ref.removeprefix("#/").split("/"):
        if not isinstance(at, dict) or name not in at:
            return False
        at = at[name]
    return ref.startswith("#/")


def test_the_document_is_up_to_date(rewrite: bool) -> None:
    if rewrite:
        PAGE.write_text(asyncapi.text(), "utf-8")
    assert PAGE.read_text("utf-8") == asyncapi.text(), "run `make docs` and read the diff"


def test_it_is_valid_by_the_schema_of_asyncapi() -> None:
    assert hashlib.sha256(OFFICIAL.read_bytes()).hexdigest() == SHA256
    document = yaml.safe_load(PAGE.read_text("utf-8"))
    assert violations(document) == []
    assert dangling(document) == []


def test_every_topic_and_every_schema_is_in_it() -> None:
    document = yaml.safe_load(PAGE.read_text("utf-8"))
    assert set(document["channels"]) == {kind.value for kind in Kind}
    placed = {name for kind in Kind for name in asyncapi.names(kind)}
    assert placed == {*current(), "SubmittedTask", "Reply"}
    assert placed == set(document["components"]["messages"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("info"),
        lambda document: document.update(asyncapi="2.6.0"),
        lambda document: document["channels"]["audit"].update(adress="typo"),
        lambda document: document["operations"]["send-tasks"].update(action="publish"),
        lambda document: document["components"]["messages"]["Bid"]["payload"]["schema"].update(
            type="rekord"
        ),
    ],
    ids=["no-info", "version", "unknown-field", "action", "avro"],
)
def test_what_is_broken_is_seen(spoil: Spoil) -> None:
    document = yaml.safe_load(PAGE.read_text("utf-8"))
    spoil(document)
    assert violations(document) != []


def test_a_reference_that_leads_nowhere_is_seen() -> None:
    document = yaml.safe_load(PAGE.read_text("utf-8"))
    del document["components"]["messages"]["Bid"]
    assert dangling(document) == ["#/components/messages/Bid"]
