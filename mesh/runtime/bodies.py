"""Between an author's values and the bodies of facts: JSON in, JSON out, hashed once."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from mesh.core.values import Body
from mesh.errors import InputRejected, UsageError, WireError
from mesh.wire.canonical import JSON, body_of, canonical_json

Model = TypeVar("Model", bound=BaseModel)

_KEYWORDS = frozenset({"$defs", "properties", "items", "prefixItems", "anyOf", "oneOf", "allOf"})

_dumps: Callable[[object], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def body(content: bytes, media_type: str = JSON) -> Body:
    """Return contents with their hash."""
    return Body(sha256(content).digest(), media_type, content)


def encode_input(value: BaseModel) -> Body:
    """Return a model as the input of a task: canonical, so that equal inputs have equal hashes.

    Raises:
        InputRejected: It holds what its own type does not allow, or what JSON has no form for.
    """
    try:
        plain = value.__pydantic_serializer__.to_python(value, mode="json", warnings="error")
        return body_of(plain)
    except (PydanticSerializationError, WireError) as problem:
        raise InputRejected(f"{type(value).__name__} has no JSON form: {problem}") from problem


def encode_value(value: object) -> bytes:
    """Return a value of shared state, a model or plain JSON, in its canonical form.

    Raises:
        UsageError: It has no JSON form, or one that differs between processes.
    """
    try:
        if isinstance(value, BaseModel):
            check_order(type(value))
            plain = value.__pydantic_serializer__.to_python(value, mode="json", warnings="error")
        else:
            plain = to_jsonable_python(_ordered(value), inf_nan_mode="constants")
        return canonical_json(plain)
    except (PydanticSerializationError, WireError) as problem:
        raise UsageError(f"{type(value).__name__} has no JSON form: {problem}") from problem


def decode(model: type[Model], content: bytes) -> Model:
    """Return the model that JSON describes.

    Raises:
        InputRejected: It does not fit; `field` points to the first member that does not.
    """
    try:
        return model.__pydantic_validator__.validate_json(content)  # type: ignore[no-any-return]  # the validator of `model`
    except ValidationError as problem:
        raise InputRejected(*_first(problem)[:1], field=_first(problem)[1]) from problem


def _first(problem: ValidationError) -> tuple[str, str]:
    """Return what is wrong with the first member that does not fit, and a pointer to it."""
    errors = problem.errors(include_url=False, include_context=False, include_input=False)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in errors[0]["loc"])
    return errors[0]["msg"] + more, "".join(f"/{part}" for part in parts)


def encode_output(value: BaseModel, model: type[BaseModel]) -> Body:
    """Return a handler's result as `model` describes it.

    Raises:
        ValueError: It holds what its type does not allow.
    """
    content = model.__pydantic_serializer__.to_json(value, warnings="error")
    if b"null" in content:  # what pydantic writes for NaN and infinity, too
        _check_finite(model.__pydantic_serializer__.to_python(value, mode="json"), model.__name__)
    return body(content)


def _check_finite(value: Any, place: str) -> None:
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{place}: {value} is no JSON number")
    if isinstance(value, dict):
        for key, own in value.items():
            _check_finite(own, f"{place}.{key}")
    elif isinstance(value, list):
        for number, own in enumerate(value):
            _check_finite(own, f"{place}.{number}")


@lru_cache(maxsize=1_024)
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what turns values of a type hint into JSON and back."""
    return TypeAdapter(kind)


def hash_arguments(*arguments: object) -> bytes:
    """Return the hash of a call's arguments: equal arguments have equal hashes in every process.

    Raises:
        ValueError: One of them has no JSON form.
        UsageError: One of them holds a set in a model: its order differs between processes.
    """
    plain = to_jsonable_python(_ordered(arguments), inf_nan_mode="constants")
    return sha256(_dumps(plain).encode()).digest()


def _ordered(value: Any) -> Any:
    """Return `value` with its sets as sorted lists."""
    if isinstance(value, set | frozenset):
        return sorted((to_jsonable_python(_ordered(item)) for item in value), key=_dumps)
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    if isinstance(value, dict):
        return {key: _ordered(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        check_order(type(value))
    return value


@lru_cache(maxsize=1_024)
def check_order(model: type[BaseModel]) -> None:
    """Refuse a model whose JSON form differs between processes.

    Raises:
        UsageError: One of its fields is a set.
    """
    try:
        schema = model.model_json_schema(mode="serialization")
    except PydanticUserError:
        return  # no schema can be had of it; that is nothing against its values
    place = _find_set(schema, model.__name__)
    if place:
        raise UsageError(f"{place} is a set, whose order differs between processes: use a list")


def _find_set(schema: Any, place: str) -> str:
    """Return where a JSON Schema has a set, "" for nowhere."""
    if isinstance(schema, list):
        return next((found for own in schema if (found := _find_set(own, place))), "")
    if not isinstance(schema, dict):
        return ""
    if schema.get("uniqueItems") is True:
        return place
    for key, own in schema.items():
        inner = f"{place}.{key}" if place and key not in _KEYWORDS else place
        if found := _find_set(own, inner):
            return found
    return ""
