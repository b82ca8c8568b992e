"""JSON pointers (RFC 6901): how every finding says where in the release it looked."""

from __future__ import annotations

from collections.abc import Sequence

from agents.procurement.documents import Json


def join(parent: str, *tokens: str | int) -> str:
    """Return the pointer of a member below `parent`, each token escaped."""
    escaped = (str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
    return "".join([parent, *(f"/{token}" for token in escaped)])


def split(pointer: str) -> list[str]:
    """Return the unescaped tokens of `pointer`; raises `ValueError` where it is no pointer."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"not a JSON pointer, it must begin with a slash: {pointer!r}")
    tokens = pointer.split("/")[1:]
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def resolve(document: Json, pointer: str) -> Json:
    """Return what stands at `pointer`; raises `LookupError` where nothing does."""
    here = document
    for token in split(pointer):
        if isinstance(here, dict) and token in here:
            here = here[token]
        elif isinstance(here, list) and _is_index(token) and int(token) < len(here):
            here = here[int(token)]
        else:
            raise LookupError(f"nothing stands at {pointer}")
    return here


def exists(document: Json, pointer: str) -> bool:
    """Tell whether `pointer` is a pointer and something stands there, null included."""
    try:
        resolve(document, pointer)
    except (LookupError, ValueError):
        return False
    return True


def nearest(document: Json, pointer: str) -> str:
    """Return the deepest ancestor of `pointer` (or itself) at which something stands."""
    tokens = split(pointer)
    while tokens and not exists(document, join("", *tokens)):
        tokens.pop()
    return join("", *tokens)


def dangling(document: Json, pointers: Sequence[str]) -> list[str]:
    """Return those of `pointers` that do not resolve, in order, each once."""
    return [pointer for pointer in dict.fromkeys(pointers) if not exists(document, pointer)]


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and (part == "0" or not part.startswith("0"))
