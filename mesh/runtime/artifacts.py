"""Contents too large for an event, stored under their hash where every host can read them."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from mesh.errors import MeshError


class Artifact(BaseModel):
    """A reference to stored contents; put it into your models, it is small.

    `ctx.load(artifact)` returns the contents.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    media_type: str
    size: int = Field(ge=0)


class Artifacts(Protocol):
    """Where contents are kept; called from threads. What is stored under a hash never changes."""

    def put(self, content: bytes) -> bytes:
        """Store `content` and return its SHA-256; what is there already is left alone."""

    def get(self, digest: bytes) -> bytes:
        """Return what was stored under a hash.

        Raises:
            MeshError: There is nothing, or not what the hash says.
        """


class FileArtifacts:
    """Artifacts in a directory, which hosts may share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __repr__(self) -> str:
        return f"FileArtifacts({str(self._directory)!r})"

    def put(self, content: bytes) -> bytes:
        """Store `content` and return its SHA-256."""
        digest = sha256(content).digest()
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            begun = path.with_name(f"{path.name}.{os.getpid()}.part")
            begun.write_bytes(content)
            begun.replace(path)  # whole or not at all, also for who reads meanwhile
        return digest

    def get(self, digest: bytes) -> bytes:
        """Return what was stored under a hash."""
        try:
            content = self._path(digest).read_bytes()
        except OSError as problem:
            text = f"artifact {digest.hex()} is not in {self._directory}: {problem.strerror}"
            raise MeshError(text) from problem
        if sha256(content).digest() != digest:
            raise MeshError(f"artifact {digest.hex()} in {self._directory} was changed")
        return content

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._directory / name[:2] / name


class MemoryArtifacts:
    """Artifacts of one process, for tests and for agents that share a process."""

    def __init__(self) -> None:
        self._contents: dict[bytes, bytes] = {}

    def put(self, content: bytes) -> bytes:
        """Store `content` and return its SHA-256."""
        digest = sha256(content).digest()
        self._contents[digest] = content
        return digest

    def get(self, digest: bytes) -> bytes:
        """Return what was stored under a hash."""
        try:
            return self._contents[digest]
        except KeyError:
            raise MeshError(f"artifact {digest.hex()} is not stored here") from None
