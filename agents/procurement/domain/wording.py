"""Bringing words into one shape before they are compared: case, accents, punctuation, width."""

from __future__ import annotations

import re
import unicodedata

_GAP = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """Return `text` in lower case, without accents, full-width forms or repeated spaces."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(unicodedata.normalize("NFC", bare).casefold().split())


def words(text: str) -> list[str]:
    """Return the words of `text` in plain form, punctuation dropped."""
    return _GAP.sub(" ", plain(text)).split()
