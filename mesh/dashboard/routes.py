"""The API as a table: every route with who may ask, what may be asked, and what is answered.

The web server is made from it, and so is the OpenAPI document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.dashboard.access import Role
from mesh.dashboard.forms import Schema, ref
from mesh.dashboard.schemas import SCHEMAS

BASE = "/api/v1"
MAX_LIMIT = 1_000
"""Items of one answer: a list that a page can hold at once."""
MAX_OFFSET = 100_000
MAX_FILTER = 300
"""Characters of a filter or a name."""
VERSION = "1"


class BadParameter(ValueError):
    """A parameter of a request is missing, unknown, or out of range."""


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter; `choices` empty allows every text. `path` ones are part of the address."""

    name: str
    meaning: str
    kind: str = "string"
    path: bool = False
    default: str | int | bool = ""
    least: int = 0
    most: int = MAX_FILTER
    choices: tuple[str, ...] = ()
    required: bool = False

    def parse(self, text: str) -> str | int | bool:
        """Return the value that a text stands for.

        Raises:
            BadParameter: It is out of range.
        """
        if self.kind == "integer":
            number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
            if not self.least <= number <= self.most:
                raise BadParameter(f"{self.name} must be {self.least} to {self.most}")
            return number
        if self.kind == "boolean":
            if text not in ("true", "false"):
                raise BadParameter(f"{self.name} must be true or false")
            return text == "true"
        if self.choices and text not in self.choices:
            raise BadParameter(f"{self.name} must be one of {', '.join(self.choices)}")
        if not self.least <= len(text) <= self.most:
            raise BadParameter(f"{self.name} must have {self.least} to {self.most} characters")
        return text

    def schema(self) -> Schema:
        """Return this parameter as OpenAPI has it."""
        schema: Schema = {"type": self.kind}
        if self.kind == "integer":
            schema |= {"minimum": self.least, "maximum": self.most}
        elif self.kind == "string":
            schema |= {"maxLength": self.most}
            schema |= {"minLength": self.least} if self.least else {}
            schema |= {"enum": list(self.choices)} if self.choices else {}
        if not self.path and not self.required and self.default != "":
            schema["default"] = self.default
        return {
            "name": self.name,
            "in": "path" if self.path else "query",
            "description": self.meaning,
            "required": self.path or self.required,
            "schema": schema,
        }


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route. `name` is its handler's and its operation's; `answer` names a schema.

    `lacks` says in which cases there is nothing (404), "" for none.
    """

    path: str
    name: str
    role: Role
    summary: str
    answer: str
    params: tuple[Param, ...] = ()
    method: str = "GET"
    body: str = ""
    lacks: str = ""
    media_type: str = "application/json"

    def parse(self, path: dict[str, str], query: list[tuple[str, str]]) -> dict[str, Any]:
        """Return the parameters of a request, defaults filled in.

        Raises:
            BadParameter: One is unknown, there twice, missing or out of range.
        """
        known = {param.name: param for param in self.params}
        values: dict[str, Any] = {
            param.name: param.default for param in self.params if not param.required
        }
        seen = set()
        for name, text in (*path.items(), *query):
            if name not in known or (known[name].path and name not in path):
                raise BadParameter(f"there is no parameter {name[:60]!r} here")
            if name in seen:
                raise BadParameter(f"{name} is given twice")
            seen.add(name)
            values[name] = known[name].parse(text)
        missing = [name for name in known if name not in values]
        if missing:
            raise BadParameter(f"{missing[0]} is missing")
        return values


def _text(name: str, meaning: str, **more: Any) -> Param:  # fields of Param
    return Param(name=name, meaning=meaning, **more)


OFFSET = Param(
    name="offset", meaning="So many items are left out.", kind="integer", default=0, most=MAX_OFFSET
)
LIMIT = Param(
    name="limit", meaning="At most so many.", kind="integer", default=100, least=1, most=MAX_LIMIT
)
MINUTES = Param(
    name="minutes", meaning="Of the last minutes.", kind="integer", default=60, least=1, most=60
)
STATUSES = (
    "", "open", "working", "suspended", "review", "running", "ended", "completed", "failed",
    "rejected", "expired", "cancelled",
)  # fmt: skip
STATUS = _text(
    "status",
    "Where it stands or how it ended; `running` and `ended` are any of these.",
    choices=STATUSES,
)
FILTERS = (
    STATUS,
    Param(
        name="failing",
        meaning="Only those in which something failed, was sent back, died or expired.",
        kind="boolean",
        default=False,
    ),
    Param(
        name="needs",
        meaning="Only those that wait for a person.",
        kind="boolean",
        default=False,
    ),
    _text("capability", "The capability, or `domain.*`."),
    _text("agent", "Who works or worked on it."),
    _text("text", "A part of the goal, the reason or the id."),
    OFFSET,
    LIMIT,
)
ACT: dict[str, Any] = {
    "name": "X-Parley-Act",
    "in": "header",
    "description": "Says that no other site's form sent this: it must be there, whatever is in it.",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 10},
}
WORKFLOW = _text("workflow", "The workflow's id.", path=True, least=1)

ROUTES: tuple[Route, ...] = (
    Route(
        path="/me",
        name="me",
        role=Role.VIEWER,
        summary="Who asks, and what they may",
        answer="Me",
    ),
    Route(
        path="/now",
        name="now",
        role=Role.VIEWER,
        summary="What runs, what waits for a person, what it costs, what is new",
        answer="Now",
    ),
    Route(
        path="/map",
        name="map",
        role=Role.VIEWER,
        summary="Agents and the delegations between them",
        answer="Map",
        params=(MINUTES,),
    ),
    Route(
        path="/workflows",
        name="workflows",
        role=Role.VIEWER,
        summary="Root tasks, the newest first: the open ones, then those that ended lately",
        answer="Workflows",
        params=FILTERS,
    ),
    Route(
        path="/workflows/{workflow}",
        name="chain",
        role=Role.VIEWER,
        summary="One workflow, told: its tree, and sentence by sentence with the evidence",
        answer="Chain",
        params=(WORKFLOW,),
        lacks="The log has no such workflow.",
    ),
    Route(
        path="/workflows/{workflow}/tasks/{task}/why",
        name="why",
        role=Role.VIEWER,
        summary="Why a task went as it did, recomputed from the log",
        answer="Explanation",
        params=(WORKFLOW, _text("task", "The task's id.", path=True, least=1)),
        lacks="The log has no such task.",
    ),
    Route(
        path="/tasks",
        name="tasks",
        role=Role.VIEWER,
        summary="Tasks at any depth, the newest workflow first",
        answer="Tasks",
        params=(_text("workflow", "Only those of this workflow."), *FILTERS),
    ),
    Route(
        path="/budgets",
        name="budgets",
        role=Role.VIEWER,
        summary="Open workflows by the share of their budget that is gone, and who spends",
        answer="Budgets",
        params=(MINUTES, OFFSET, LIMIT),
    ),
    Route(
        path="/incidents",
        name="incidents",
        role=Role.VIEWER,
        summary="What was found, the newest first",
        answer="Incidents",
        params=(
            _text("kind", "Only of this kind."),
            _text("workflow", "Only about this workflow."),
            _text("detector", "Only by this detector."),
            Param(
                name="open",
                meaning="Only what waits for a person's answer.",
                kind="boolean",
                default=False,
            ),
            OFFSET,
            LIMIT,
        ),
    ),
    Route(
        path="/halts",
        name="halts",
        role=Role.VIEWER,
        summary="What is halted",
        answer="Halts",
    ),
    Route(
        path="/dead-letters",
        name="letters",
        role=Role.VIEWER,
        summary="Records that could not be used, the newest first",
        answer="Letters",
        params=(OFFSET, LIMIT),
    ),
    Route(
        path="/agents",
        name="agents",
        role=Role.VIEWER,
        summary="The registry: cards, living instances, and what fits nowhere",
        answer="Agents",
        params=(
            _text("owner", "Only this owner's."),
            _text("capability", "Only who offers it."),
            _text("text", "A part of the name, owner or purpose."),
            OFFSET,
            LIMIT,
        ),
    ),
    Route(
        path="/agents/{agent}",
        name="agent",
        role=Role.VIEWER,
        summary="One agent",
        answer="Agent",
        params=(_text("agent", "Its name.", path=True, least=1),),
        lacks="There is no such agent.",
    ),
    Route(
        path="/state",
        name="keys",
        role=Role.VIEWER,
        summary="Shared state by key, without the values",
        answer="Keys",
        params=(
            _text("prefix", "Only keys that begin so."),
            Param(
                name="contested",
                meaning="Only what a person must settle.",
                kind="boolean",
                default=False,
            ),
            OFFSET,
            LIMIT,
        ),
    ),
    Route(
        path="/state/entry",
        name="entry",
        role=Role.VIEWER,
        summary="One entry of shared state with its value",
        answer="Entry",
        params=(_text("key", "Its key.", required=True, least=1, most=1_000),),
        lacks="There is no such entry.",
    ),
    Route(
        path="/audit",
        name="audit",
        role=Role.VIEWER,
        summary="The latest facts, judged, the newest first",
        answer="Facts",
        params=(
            _text("kind", "Only of this kind, as `TaskOpened`."),
            _text("workflow", "Only of this workflow."),
            _text("task", "Only about this task."),
            _text("instance", "Only by instances whose id begins so."),
            _text("text", "A part of the sentence."),
            _text(
                "counts",
                "Only what counts, what is void, or what nobody can judge.",
                choices=("", "yes", "void", "unknown", "unreadable"),
            ),
            _text("before", "Only what came before this place, `PARTITION/OFFSET`.", most=40),
            LIMIT,
        ),
    ),
    Route(
        path="/audit/{partition}",
        name="records",
        role=Role.VIEWER,
        summary="A partition of the audit stream, read from the log",
        answer="Records",
        params=(
            Param(name="partition", meaning="Which.", kind="integer", path=True, most=1_000_000),
            Param(
                name="from",
                meaning="The first offset.",
                kind="integer",
                default=0,
                most=2**63 - 1,
            ),
            LIMIT,
        ),
        lacks="There is no such partition.",
    ),
    Route(
        path="/audit/{partition}/{offset}",
        name="record",
        role=Role.AUDITOR,
        summary="One record as it stands in the log, with all of its fields",
        answer="Record",
        params=(
            Param(name="partition", meaning="Which.", kind="integer", path=True, most=1_000_000),
            Param(name="offset", meaning="Where.", kind="integer", path=True, most=2**63 - 1),
        ),
        lacks="No record stands there.",
    ),
    Route(
        path="/health",
        name="health",
        role=Role.VIEWER,
        summary="How far the reading is, and what could not be read",
        answer="Health",
    ),
    Route(
        path="/events",
        name="events",
        role=Role.VIEWER,
        summary="What is new, as server-sent events",
        answer="",
        media_type="text/event-stream",
        params=(
            _text(
                "after",
                "The position to go on from, as `position` in every answer; the header "
                "`Last-Event-ID` goes before it.",
                most=5_000,
            ),
        ),
    ),
    Route(
        path="/halts",
        name="halt",
        method="POST",
        role=Role.OPERATOR,
        summary="Halt a workflow, an agent or a capability",
        answer="Halt",
        body="Order",
        lacks="There is no such target.",
    ),
    Route(
        path="/lifts",
        name="lift",
        method="POST",
        role=Role.OPERATOR,
        summary="Lift a halt",
        answer="Halt",
        body="Order",
        lacks="It is not halted.",
    ),
    Route(
        path="/workflows/{workflow}/cancel",
        name="cancel",
        method="POST",
        role=Role.OPERATOR,
        summary="End a workflow in order; answers when it has ended, or after 20 s how it stands",
        answer="Cancelled",
        body="Because",
        params=(WORKFLOW,),
        lacks="No such workflow is known.",
    ),
    Route(
        path="/openapi.json",
        name="openapi",
        role=Role.VIEWER,
        summary="This document",
        answer="",
    ),
)


def openapi(routes: tuple[Route, ...] = ROUTES) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the API."""
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley dashboard",
            "version": VERSION,
            "description": "What a mesh does, read from its log. See docs/dashboard.md.",
        },
        "servers": [{"url": BASE}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    schema: Schema = ref(route.answer) if route.answer else {}
    answers: dict[str, Any] = {
        "200": {"description": "Done.", "content": {route.media_type: {"schema": schema}}},
        "400": _problem("The request makes no sense; the detail says why."),
        "401": _problem("Nobody is known to ask."),
        "403": _problem("Who asks may not."),
        "503": _problem("The log cannot be read just now, or too many ask."),
    }
    if route.lacks:
        answers["404"] = _problem(route.lacks)
    made: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"For the role {route.role}.",
        "parameters": [param.schema() for param in route.params],
        "responses": answers,
    }
    if route.body:
        answers["409"] = _problem("It stands otherwise by now: look again.")
        answers["413"] = _problem("The body is too large.")
        answers["415"] = _problem("The body is no JSON.")
        made["parameters"].append(ACT)
        content = {"application/json": {"schema": ref(route.body)}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _problem(meaning: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": meaning, "content": content}
