from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastavro.schema import fingerprint as fastavro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from mesh.wire import schemas
from mesh.wire.schemas import MARKER, PREFIX, canonical_form, current, fingerprint, released

SCHEMAS = current()


@pytest.mark.parametrize("name", SCHEMAS)
def test_form_and_fingerprint_are_those_of_fastavro(name: str) -> None:
    schema = SCHEMAS[name]
    form = to_parsing_canonical_form(dict(schema.definition))

    assert canonical_form(schema.definition) == form
    assert len(schema.prefix) == PREFIX
    assert schema.prefix == MARKER + bytes.fromhex(fastavro_fingerprint(form, "CRC-64-AVRO"))


def test_fingerprint_of_the_specification() -> None:
    # "null" in the table of test cases that comes with Avro's Java implementation
    assert fingerprint(b'"null"') == (7195948357588979594).to_bytes(8, "little")
    assert fingerprint(b"") == (0xC15D213AA4D7A795).to_bytes(8, "little")


def test_what_was_never_released_is_not_there() -> None:
    assert all(schema.prefix not in {s.prefix for s in SCHEMAS.values()} for schema in released())


def test_released_schemas_are_those_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = dict(SCHEMAS["AwardDeclined"].definition)
    older = {**own, "fields": own["fields"][:-1]}
    put(tmp_path, own)
    monkeypatch.setattr(schemas, "_folder", lambda: tmp_path)
    assert releases() == []

    put(tmp_path / "released" / "0.1", older)
    put(tmp_path / "released" / "0.2", older)
    put(tmp_path / "released" / "0.3", own)
    assert releases() == [older]


def put(folder: Path, definition: schemas.Definition) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "AwardDeclined.avsc").write_text(json.dumps(definition))
    (folder / "README.md").write_text("no schema")


def releases() -> list[schemas.Definition]:
    """Look again: the answers are kept."""
    current.cache_clear()
    released.cache_clear()
    try:
        return [schema.definition for schema in released()]
    finally:
        current.cache_clear()
        released.cache_clear()


def test_an_installed_package_brings_its_schemas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "schemas").mkdir()
    monkeypatch.setattr(schemas, "files", lambda package: tmp_path)
    assert schemas._folder() == tmp_path / "schemas"


def test_a_clone_has_them_at_its_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "files", lambda package: tmp_path)
    assert schemas._folder() == Path(schemas.__file__).parents[2] / "schemas"
