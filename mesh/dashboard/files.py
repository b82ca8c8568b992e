"""The files of the page, read once: what is not among them is not served, whatever is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""A file of another kind is no part of the page."""
TAG = 16


class File(NamedTuple):
    """One file; `tag` changes with its content."""

    content: bytes
    media_type: str
    tag: str


class Files:
    """The files of a folder, by the path under which they are served."""

    def __init__(self, folder: Path = PAGE) -> None:
        self._files: dict[str, File] = {}
        for path in sorted(folder.rglob("*")):
            media_type = TYPES.get(path.suffix)
            if media_type is not None and path.is_file():
                content = path.read_bytes()
                tag = sha256(content).hexdigest()[:TAG]
                name = f"/{path.relative_to(folder).as_posix()}"
                self._files[name] = File(content, media_type, tag)

    def __repr__(self) -> str:
        return f"Files({len(self._files)})"

    def find(self, path: str) -> File | None:
        """Return the file for a path; one that names no file is the page's own to read."""
        found = self._files.get(path)
        if found is None and "." not in path.rpartition("/")[2]:
            return self._files.get(f"/{INDEX}")
        return found
