"""The digest of a handler's code: which version of it a journal was written with.

It covers the handler's bytecode and, as far as they belong to the same top-level package (or
script), the plain functions, methods and constants that it reaches by name, and so on down. It
leaves out names of files, line numbers and everything that is installed from elsewhere. So it is
the same in every process that runs the same code on the same minor version of Python, and changes
when a helper changes. It is a preference when work is given out again, and never proof that two
versions behave alike: that is what the journal's own comparison is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType

DIGEST_HEX = 16
"""64 bits: it tells versions of one handler apart, and is short enough to read in a table."""

_CONSTANTS = (bool, int, float, str, bytes, Decimal, type(None))


def code_digest(handler: FunctionType) -> str:
    """Return the digest of a function and of what it reaches in its own package."""
    package = _package(handler.__module__)
    digest = sha256()
    seen: set[int] = set()
    pending: list[object] = [handler]
    while pending:
        thing = pending.pop(0)
        if isinstance(thing, FunctionType | type):
            if id(thing) in seen or _package(thing.__module__) != package:
                continue
            seen.add(id(thing))
            pending += _reached(thing, package)
        elif not _is_constant(thing):
            continue
        for text in _describe(thing):
            digest.update(text.encode("utf-8", "backslashreplace") + b"\0")
    return digest.hexdigest()[:DIGEST_HEX]


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_is_constant(item) for item in value)
    return isinstance(value, _CONSTANTS)


def _describe(thing: object) -> Iterator[str]:
    """Yield what `thing` itself adds to the digest, without what it refers to."""
    if isinstance(thing, FunctionType):
        yield from _describe_code(thing.__code__)
        yield _text(thing.__defaults__)
        yield _text(tuple(sorted((thing.__kwdefaults__ or {}).items())))
    elif isinstance(thing, type):
        yield thing.__qualname__
    else:
        yield _text(thing)


def _describe_code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield " ".join((*code.co_names, "|", *code.co_varnames, "|", *code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _describe_code(constant)
        else:
            yield _text(constant)


def _text(value: object) -> str:
    """Return a text that is equal for equal constants in every process."""
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(_text(item) for item in value)) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(_text(item) for item in value) + ")"
    return f"{type(value).__name__}:{value!r}" if _is_constant(value) else type(value).__name__


def _reached(thing: FunctionType | type, package: str) -> Iterator[object]:
    """Yield what `thing` refers to by name, in an order that does not depend on the process."""
    if isinstance(thing, type):
        for name, member in sorted(vars(thing).items()):
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(function, FunctionType) or not name.startswith("__"):
                yield function
        return
    names = sorted(set(_names(thing.__code__)))
    known = thing.__globals__
    own_modules = [
        vars(known[name])
        for name in names
        if isinstance(known.get(name), ModuleType) and _package(known[name].__name__) == package
    ]
    for name in names:
        yield from (scope[name] for scope in (known, *own_modules) if name in scope)
    for cell in thing.__closure__ or ():
        with suppress(ValueError):  # a cell that is not filled yet
            yield cell.cell_contents


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
