"""A workflow as one OpenTelemetry trace, in OTLP's JSON encoding.

The spans are told from the audit stream, so they are whole whichever processes did the work, and
cost agents nothing:

- a task, as OpenTelemetry's GenAI conventions have the invocation of an agent; a root task is the
  processing of a message, as its conventions for messaging have it, and goes on with the trace of
  whoever submitted it;
- below it each award that work was done under, and below that the steps: a tool's execution, a
  model's call, and what else a handler does; a delegation holds the task that it made;
- a recorded decision is an event of its task.

Ids are derived, so the same workflow gives the same spans, and a collector that gets them twice
can tell. What has not ended ends when it is told, and says so with `parley.open`.

Sources: opentelemetry-proto 1.x (JSON Protobuf encoding), semantic conventions 1.41 (messaging,
GenAI agent spans; both in development there).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mesh.core.facts import TaskOpened
from mesh.core.values import StepKind
from mesh.telling.story import AwardStory, StepStory, Story, TaskStory
from mesh.wire.headers import Trace, parse_traceparent, span_id, trace_of

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
OK, ERROR = 1, 2
NANOS = 1_000_000
NOBODY: Final = "unassigned"

Json = dict[str, Any]


def traces(story: Story, opened: TaskOpened, version: str) -> Json:
    """Return a workflow's spans as `TracesData`, grouped by the process that did the work.

    `opened` is the fact that opened the root task, `version` this package's.
    """
    groups: dict[tuple[str, str], list[Json]] = {}
    for service, span in _Spans(story, opened).all():
        groups.setdefault(service, []).append(span)
    scope = {"name": "parley", "version": version}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(_resource(*service))},
                "scopeSpans": [{"scope": scope, "spans": spans, "schemaUrl": SCHEMA_URL}],
                "schemaUrl": SCHEMA_URL,
            }
            for service, spans in groups.items()
        ]
    }


def _resource(agent: str, instance: str) -> Mapping[str, Any]:
    return {"service.name": agent or NOBODY, "service.instance.id": instance or None}


class _Spans:
    def __init__(self, story: Story, opened: TaskOpened) -> None:
        self._story = story
        self._opened = opened
        self._trace: Trace = trace_of(opened)
        given = parse_traceparent(opened.traceparent)
        self._above = given.parent_id if given is not None else ""

    def all(self) -> Iterator[tuple[tuple[str, str], Json]]:
        """Yield every span with its agent and instance, parents first."""
        yield from self._task(self._story.root, self._above)

    def _task(self, task: TaskStory, above: str) -> Iterator[tuple[tuple[str, str], Json]]:
        last = task.awards[-1] if task.awards else None
        service = (task.agent, last.instance if last is not None else "")
        own = span_id(task.task)
        is_root = not task.parent
        span = self._span(
            f"invoke_agent {task.agent}" if task.agent else f"task {task.capability}",
            (own, above),
            (task.began_ms, task.ended_ms),
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": task.agent or None,
                "gen_ai.conversation.id": self._story.workflow,
                **(self._messaging() if is_root else {}),
                "parley.capability": task.capability,
                "parley.task": task.task,
                "parley.status": task.status,
                "parley.cost.micro_usd": task.cost.micro_usd,
                "parley.cost.tokens": task.cost.tokens,
                "parley.cost.tool_calls": task.cost.tool_calls,
                "parley.granted.micro_usd": task.grant.micro_usd,
                "parley.confidence": task.confidence_permille / 1_000,
            },
        )
        span["kind"] = CONSUMER if is_root else SERVER
        span["events"] = [_event(step) for step in task.steps if step.kind is StepKind.DECISION]
        if task.ended_ms is not None:
            done = task.status == "completed"
            span["status"] = {"code": OK} if done else _failed(task.reason or task.status)
        yield service, span
        yield from self._awards(task, own)

    def _messaging(self) -> Json:
        source = self._opened.source
        return {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": source.capability,
            "messaging.destination.partition.id": str(source.partition),
            "messaging.kafka.offset": self._opened.offset,
        }

    def _awards(self, task: TaskStory, above: str) -> Iterator[tuple[tuple[str, str], Json]]:
        steps = [step for step in task.steps if step.kind is not StepKind.DECISION]
        for number, award in enumerate(task.awards):
            following = task.awards[number + 1] if number + 1 < len(task.awards) else None
            own = span_id(task.task, award.offset)
            span = self._span(
                f"attempt {award.attempt} {task.capability}",
                (own, above),
                (award.at_ms, award.ended_ms if award.ended_ms is not None else task.ended_ms),
                {
                    "gen_ai.agent.name": award.agent,
                    "parley.task": task.task,
                    "parley.award": award.offset,
                    "parley.award.cause": award.cause.value,
                    "parley.award.mode": award.mode,
                    "parley.award.bids": len(award.offers) or None,
                    "parley.award.why": award.why or None,
                },
            )
            if award.ending in ("failed", "rejected", "died"):
                span["status"] = _failed(award.because or award.ending)
            service = (award.agent, award.instance)
            yield service, span
            until = following.offset if following is not None else None
            for step in steps:
                if step.offset >= award.offset and (until is None or step.offset < until):
                    yield from self._step(task, award, step, own)

    def _step(
        self, task: TaskStory, award: AwardStory, step: StepStory, above: str
    ) -> Iterator[tuple[tuple[str, str], Json]]:
        own = span_id(task.task, step.step)
        span = self._span(
            f"{_VERBS.get(step.kind, step.kind.value)} {step.name}".strip(),
            (own, above),
            (step.began_ms, step.ended_ms),
            {
                **_gen_ai(step),
                "parley.task": task.task,
                "parley.step": step.step,
                "parley.step.kind": step.kind.value,
                "parley.step.tries": step.tries if step.tries > 1 else None,
                "parley.cost.micro_usd": step.cost.micro_usd or None,
                "parley.cost.tokens": step.cost.tokens or None,
            },
        )
        span["kind"] = _KINDS.get(step.kind, INTERNAL)
        if step.error:
            span["status"] = _failed(step.error)
        yield (award.agent, award.instance), span
        if step.child is not None:
            yield from self._task(step.child, own)

    def _span(
        self,
        name: str,
        ids: tuple[str, str],
        times: tuple[int, int | None],
        attributes: Mapping[str, Any],
    ) -> Json:
        own, above = ids
        began_ms, ended_ms = times
        until_ms = max(began_ms, self._story.now_ms if ended_ms is None else ended_ms)
        span: Json = {
            "traceId": self._trace.trace_id,
            "spanId": own,
            "flags": self._trace.flags,
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": str(began_ms * NANOS),
            "endTimeUnixNano": str(until_ms * NANOS),
            "attributes": _attributes(
                {**attributes, "parley.open": True if ended_ms is None else None}
            ),
        }
        if above:
            span["parentSpanId"] = above
        return span


def _gen_ai(step: StepStory) -> Json:
    match step.kind:
        case StepKind.TOOL:
            return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": step.name}
        case StepKind.MODEL:
            return {"gen_ai.operation.name": "chat", "gen_ai.request.model": step.name}
        case _:
            return {}


_VERBS: Final = {StepKind.TOOL: "execute_tool", StepKind.MODEL: "chat"}
_KINDS: Final = {StepKind.TOOL: CLIENT, StepKind.MODEL: CLIENT, StepKind.DELEGATE: PRODUCER}


def _event(step: StepStory) -> Json:
    return {
        "timeUnixNano": str(step.began_ms * NANOS),
        "name": "parley.decision",
        "attributes": _attributes(
            {"parley.decision.choice": step.name, "parley.decision.because": step.text}
        ),
    }


def _failed(message: str) -> Json:
    return {"code": ERROR, "message": message}


def _attributes(values: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": _value(own)} for key, own in values.items() if own is not None]


def _value(own: Any) -> Json:
    match own:
        case bool():
            return {"boolValue": own}
        case int():
            return {"intValue": str(own)}
        case float():
            return {"doubleValue": own}
        case _:
            return {"stringValue": str(own)}
