from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import ValidationError

from mesh.errors import MeshError
from mesh.runtime.artifacts import Artifact, Artifacts, FileArtifacts, MemoryArtifacts


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    return FileArtifacts(tmp_path / "kept") if request.param == "file" else MemoryArtifacts()


def test_contents_come_back_by_their_hash(store: Artifacts) -> None:
    digest = store.put(b"hello")
    assert digest == sha256(b"hello").digest()
    assert store.put(b"hello") == digest
    assert store.get(digest) == b"hello"


def test_what_is_not_there_is_said(store: Artifacts) -> None:
    with pytest.raises(MeshError, match="artifact 6161"):
        store.get(b"a" * 32)


def test_changed_files_are_noticed(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path)
    digest = store.put(b"hello")
    (path,) = (own for own in tmp_path.rglob("*") if own.is_file())
    path.write_bytes(b"other")
    with pytest.raises(MeshError, match="was changed"):
        store.get(digest)
    assert str(tmp_path) in repr(store)


def test_references_are_small_frozen_models() -> None:
    artifact = Artifact(name="a", sha256="0" * 64, media_type="x", size=1)
    assert Artifact.model_validate_json(artifact.model_dump_json()) == artifact
    with pytest.raises(ValidationError):
        Artifact(name="a", sha256="0", media_type="x", size=1)
    with pytest.raises(ValidationError):
        artifact.name = "b"
