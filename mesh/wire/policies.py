"""The policy of a mesh as it is written: TOML, on `M.policy` under one name.

It has rules of shared state, limits of the detectors, and what answers each kind of incident. The
operator's command refuses a word that it does not know: a rule that nobody follows is worse than
none. Whoever obeys a policy that stands in the log (`understood`) may be of an older release than
the one that applied it: it obeys what it understands, item by item, and says what it does not.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mesh.core.detectors.limits import NAMES, Limits, LimitTable
from mesh.core.keys import MAX_RULES, Resolution, Rule, Rules, check_rules
from mesh.core.merges import MERGES
from mesh.core.responses import DEFAULTS, Response, Responses
from mesh.core.settings import MAX_NAME
from mesh.errors import DefinitionError, UsageError
from mesh.wire.entries import PolicyDocument
from mesh.wire.primitives import MAX_LONG

NAME: Final = "mesh"
"""The key of the one policy there is so far: the whole mesh's."""
MAX_SHOWN = 3
"""Mistakes that one line names: the others come to light when these are mended."""
GROUPS = ("agents", "capabilities", "workflows")
"""Tables of `[limits]`: whose limits they are."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class StateRule(BaseModel):
    """One `[[state]]` table: how conflicts are resolved under a prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prefix: Name
    resolution: Literal["reject", "merge", "arbitrate"]
    merge: str = ""


class Document(BaseModel):
    """The whole file. `limits` and `incidents` are the tables as they are written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = Field(ge=1, le=MAX_LONG)
    objectives: list[Name] = Field(default_factory=list, max_length=MAX_RULES)
    state: list[StateRule] = Field(default_factory=list, max_length=MAX_RULES)
    limits: dict[str, Any] = Field(default_factory=dict)
    incidents: dict[str, Any] = Field(default_factory=dict)

    def rules(self) -> Rules:
        """Return what is said about shared state; in an order, so that equal ones are equal."""
        found = (Rule(own.prefix, Resolution(own.resolution), own.merge) for own in self.state)
        return Rules(self.version, tuple(self.objectives), tuple(sorted(found)))

    def watching(self) -> Mapping[str, str]:
        """Return what is said to the watchman: each limit and each response, by its field."""
        items = _items(self.limits, self.incidents)
        return {own.where: str(own.value) for own in items if isinstance(own, _Item)}


def parse(text: str, where: str) -> Document:
    """Return what the text of a policy says.

    Raises:
        UsageError: Something in it is wrong; the message begins with `where`, names the field and
            says what to do.
    """
    try:
        document = Document(**tomllib.loads(text))
        check_rules(document.rules()._replace(rules=_as_written(document)))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: no TOML: {error}") from error
    except ValidationError as error:
        mistakes = [_mistake(own["loc"], own["type"], own["msg"]) for own in error.errors()]
        raise UsageError(f"{where}: {_some(mistakes)}") from error
    except DefinitionError as error:
        raise UsageError(f"{where}: {str(error).replace('rules[', 'state[', 1)}") from error
    items = _items(document.limits, document.incidents)
    wrong = [str(own) for own in items if isinstance(own, _Wrong)]
    if wrong:
        raise UsageError(f"{where}: {_some(wrong)}")
    return document


def _as_written(document: Document) -> tuple[Rule, ...]:
    """Return the rules in the order of the file, so that a mistake has the number it has there."""
    return tuple(Rule(own.prefix, Resolution(own.resolution), own.merge) for own in document.state)


# --- for the watchman ---------------------------------------------------------------------------


class Understood(NamedTuple):
    """What a policy in the log says to the watchman; `mistakes` is what is not understood of it."""

    limits: LimitTable
    responses: Responses
    mistakes: str = ""


def understood(entry: PolicyDocument) -> Understood | None:
    """Return as much of a policy in the log as this release understands.

    None where the text is no TOML at all: nothing of it can be understood.
    """
    try:
        data = tomllib.loads(entry.document)
    except tomllib.TOMLDecodeError:
        return None
    mistakes = ""
    try:
        parse(entry.document, entry.name)
    except UsageError as error:
        mistakes = str(error)
    items = _items(data.get("limits", {}), data.get("incidents", {}))
    kept = [own for own in items if isinstance(own, _Item)]
    chosen = {own.name: Response(own.value) for own in kept if own.group == "incidents"}
    return Understood(_table(kept), Responses(version=entry.version, chosen=chosen), mistakes)


def _table(items: Iterable[_Item]) -> LimitTable:
    mesh: dict[str, int] = {}
    groups: dict[str, dict[str, dict[str, int]]] = {own: {} for own in GROUPS}
    for own in items:
        if own.group in GROUPS:
            groups[own.group].setdefault(own.target, {})[own.name] = own.value
        elif own.group == "limits":
            mesh[own.name] = own.value
    return LimitTable(mesh=Limits(**mesh), **groups)


class _Item(NamedTuple):
    """One limit, or one response; `group` is `limits`, one of `GROUPS`, or `incidents`."""

    where: str
    group: str
    target: str
    name: str
    value: Any


class _Wrong(NamedTuple):
    """What is no limit and no response, and what to do about it."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def _items(limits: Any, incidents: Any) -> Iterator[_Item | _Wrong]:
    """Yield what the two tables say, one after the other, right or wrong."""
    if isinstance(limits, dict):
        for name, value in limits.items():
            if name in GROUPS:
                yield from _group(name, value)
            elif isinstance(value, dict):
                yield _Wrong(f"limits.{name}", _unknown("table", name, GROUPS))
            else:
                yield _limit("limits", "", name, value)
    if isinstance(incidents, dict):
        for name, value in incidents.items():
            yield _response(name, value)


def _group(group: str, table: Any) -> Iterator[_Item | _Wrong]:
    one = group.removesuffix("s") if group != "capabilities" else "capability"
    for target, limits in table.items() if isinstance(table, dict) else (("", None),):
        if not isinstance(limits, dict):
            what = f'a table for each {one}: [limits.{group}."NAME"]'
            yield _Wrong(f"limits.{group}" + (f".{target}" if target else ""), f"it is {what}")
            continue
        for name, value in limits.items():
            yield _limit(group, target, name, value)


def _limit(group: str, target: str, name: str, value: Any) -> _Item | _Wrong:
    where = f"limits.{group}.{target}.{name}" if target or group in GROUPS else f"limits.{name}"
    if name not in NAMES:
        return _Wrong(where, _unknown("limit", name, sorted(NAMES)))
    if type(value) is not int or not 1 <= value <= MAX_LONG:
        return _Wrong(where, "it is a whole number from 1 on, the most that is allowed")
    return _Item(where, group, target, name, value)


def _response(name: str, value: Any) -> _Item | _Wrong:
    where = f"incidents.{name}"
    if name not in DEFAULTS:
        return _Wrong(where, _unknown("kind of incident", name, sorted(DEFAULTS)))
    if value not in list(Response):
        return _Wrong(where, f"it is one of {', '.join(Response)}")
    return _Item(where, "incidents", "", name, value)


# --- mistakes -----------------------------------------------------------------------------------

_HINTS: Mapping[str, str] = {
    "version": "a number above 0 that grows with each change of the file",
    "objectives": 'names, the most important first: objectives = ["risk", "cost"]',
    "state": "one [[state]] table for each prefix of keys",
    "prefix": "`*`, or segments parted by `/`, like suppliers/",
    "resolution": f"one of {', '.join(Resolution)}",
    "merge": f"one of {', '.join(sorted(MERGES))}, and only where resolution is merge",
    "limits": 'a table: [limits], [limits.agents."NAME"] and so on',
    "incidents": f"a table [incidents] that says {', '.join(Response)} to kinds of incidents",
}


def _some(mistakes: list[str]) -> str:
    more = len(mistakes) - MAX_SHOWN
    return "; ".join(mistakes[:MAX_SHOWN] + [f"and {more} more"] * (more > 0))


def _mistake(place: tuple[int | str, ...], kind: str, message: str) -> str:
    where = "".join(f"[{own}]" if isinstance(own, int) else f".{own}" for own in place).lstrip(".")
    names = [own for own in place if isinstance(own, str)]
    name = names[-1] if names else ""
    if kind == "extra_forbidden":
        known = list((StateRule if len(names) > 1 else Document).model_fields)
        return f"{where}: {_unknown('field', name, known)}"
    said = "it is missing" if kind == "missing" else message[:1].lower() + message[1:]
    return f"{where}: {said}; it is {_HINTS[name]}"


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"there is no such {what}; {hint}"
