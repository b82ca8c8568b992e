"""What fits into an entry of shared state: texts and values, by their length."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SURROGATE = re.compile("[\ud800-\udfff]")


def unfit(texts: Iterable[tuple[str, str, int, int]]) -> str:
    """Say which text is too short or long, or none at all; "" if all fit.

    Each is given with its name before it, and the least and most characters that it may have.
    """
    for name, text, least, most in texts:
        if not least <= len(text) <= most:
            return f"{name} has {len(text)} characters, {least} to {most} are allowed"
        if not text.isascii() and _SURROGATE.search(text):
            return f"{name} holds half of a surrogate pair, which is no text"
    return ""


def too_large(values: Iterable[bytes | None], most: int) -> str:
    """Say which value has more bytes than it may; "" if none has."""
    for value in values:
        if value is not None and len(value) > most:
            return f"a value has {len(value)} bytes, {most} are allowed"
    return ""
