from __future__ import annotations

import inspect

import jsonschema
import pytest

from mesh.dashboard.access import Role
from mesh.dashboard.acts import Acts
from mesh.dashboard.api import Api
from mesh.dashboard.routes import LIMIT, ROUTES, BadParameter, Param, openapi
from mesh.dashboard.schemas import SCHEMAS


def test_every_route_has_a_handler_a_role_and_a_schema() -> None:
    elsewhere = {"me", "events"}
    for route in ROUTES:
        assert route.role in Role
        assert not route.answer or route.answer in SCHEMAS
        if route.name not in elsewhere:
            handlers = Acts if route.body else Api
            assert inspect.iscoroutinefunction(getattr(handlers, route.name))
        inside = {part[1:-1] for part in route.path.split("/") if part.startswith("{")}
        assert inside == {param.name for param in route.params if param.path}
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)


def test_the_document_names_every_route_and_every_reference_leads_somewhere() -> None:
    document = openapi()
    told = {(path, method) for path, own in document["paths"].items() for method in own}
    assert told == {(route.path, route.method.lower()) for route in ROUTES}
    assert document["openapi"] == "3.1.0"

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [ref for inner in value.values() for ref in references(inner)]
        if isinstance(value, list):
            return [ref for inner in value for ref in references(inner)]
        return []

    found = references(document)
    assert found
    assert {ref.rpartition("/")[2] for ref in found} <= SCHEMAS.keys()
    for name, schema in SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert name


@pytest.mark.parametrize(
    ("param", "text"),
    [
        (LIMIT, "0"),
        (LIMIT, "1001"),
        (LIMIT, "-1"),
        (LIMIT, "²"),
        (LIMIT, "1" * 99),
        (Param(name="b", meaning="", kind="boolean"), "yes"),
        (Param(name="c", meaning="", choices=("", "a")), "b"),
        (Param(name="t", meaning="", least=1), ""),
        (Param(name="t", meaning="", most=3), "abcd"),
    ],
)
def test_what_is_out_of_range_is_refused(param: Param, text: str) -> None:
    with pytest.raises(BadParameter):
        param.parse(text)


def test_parameters_are_known_once_and_there() -> None:
    route = next(own for own in ROUTES if own.name == "entry")
    assert route.parse({}, [("key", "a/b")]) == {"key": "a/b"}
    for query in ([], [("key", "a"), ("key", "b")], [("key", "a"), ("other", "b")]):
        with pytest.raises(BadParameter):
            route.parse({}, query)
    chain = next(own for own in ROUTES if own.name == "chain")
    with pytest.raises(BadParameter, match="no parameter"):
        chain.parse({}, [("workflow", "0-a")])
