"""What a handler's signature says; every mistake is one line that tells what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel

from mesh.errors import DefinitionError, UsageError
from mesh.runtime.bodies import check_order


class Signature(NamedTuple):
    """The types of a handler, and whether it is plain: no context, in a thread."""

    input_type: type[BaseModel]
    output_type: type[BaseModel]
    plain: bool


def read_signature(
    handler: Callable[..., Any], context: type, names: Mapping[str, Any], what: str
) -> Signature:
    """Return the types of `async (ctx, In) -> Out` or of the plain function `(In) -> Out`.

    Args:
        handler: The author's function.
        context: The type that the first argument of an async handler has.
        names: What is visible where the handler is defined, beside its module.
        what: How messages begin.

    Raises:
        DefinitionError: It is neither.
    """
    if not isinstance(handler, FunctionType):
        raise DefinitionError(f"{what}: decorate a function, not {handler!r}")
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
        raise DefinitionError(f"{what}: a handler returns its result, it does not yield")
    plain = not inspect.iscoroutinefunction(handler)
    parameters = _parameters(handler, what)
    want = "(input)" if plain else "(ctx, input)"
    if len(parameters) != (1 if plain else 2):
        hint = "; write `async def` to get a context" if plain and len(parameters) == 2 else ""
        raise DefinitionError(f"{what}: must take {want}, not {len(parameters)} arguments{hint}")
    hints = _hints(handler, names, what)
    if not plain and hints.get(parameters[0], context) is not context:
        raise DefinitionError(f"{what}: its first argument, {parameters[0]}, must be a Context")
    given = _model(hints, parameters[-1], f"{what}: its input")
    output = _model(hints, "return", f"{what}: its result")
    try:
        check_order(given)
    except UsageError as problem:
        raise DefinitionError(f"{what}: {problem}") from None
    return Signature(given, output, plain)


def _parameters(handler: FunctionType, what: str) -> list[str]:
    """Return the names of the positional parameters without a default."""
    names = []
    for name, parameter in inspect.signature(handler).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            if required:
                names.append(name)
        elif parameter.kind is not parameter.KEYWORD_ONLY or required:
            raise DefinitionError(f"{what}: takes {parameter}, which nobody would pass")
    return names


def _hints(handler: FunctionType, names: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        return get_type_hints(handler, localns=dict(names))
    except NameError as problem:
        raise DefinitionError(
            f"{what}: {problem.name} in its type hints is not defined when the module is imported"
        ) from None


def _model(hints: Mapping[str, Any], name: str, what: str) -> type[BaseModel]:
    if name not in hints:
        raise DefinitionError(f"{what} needs a type hint: a class derived from pydantic.BaseModel")
    hint = hints[name]
    if not (isinstance(hint, type) and issubclass(hint, BaseModel)):
        shown = getattr(hint, "__name__", hint)
        raise DefinitionError(
            f"{what} is {shown}: declare a class derived from pydantic.BaseModel instead"
        )
    return hint
