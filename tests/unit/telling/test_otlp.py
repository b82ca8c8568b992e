from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.core import facts as f
from mesh.core.values import Acceptance, Cause, Outcome, StepKind
from mesh.telling.otlp import CLIENT, CONSUMER, ERROR, NANOS, OK, SERVER, traces
from mesh.telling.story import Chronicle, tell
from mesh.wire.headers import Trace, format_traceparent, trace_of
from tests.simulation.scribe import ANN, BOB, ROOT, Scribe, terms

GIVEN = Trace("a" * 32, "b" * 16, 1)


def spans(log: Scribe) -> list[dict[str, Any]]:
    """Return every span with its attributes as a dictionary and its service, parents first."""
    chronicle = Chronicle(ROOT)
    for record in log.records:
        chronicle.add(record)
    story = tell(chronicle, 0, log.now_ms + 5)
    assert story is not None
    found = []
    for group in traces(story, chronicle.states[ROOT].opened, "1.2.3")["resourceSpans"]:
        about = plain(group["resource"]["attributes"])
        for scope in group["scopeSpans"]:
            assert scope["scope"] == {"name": "parley", "version": "1.2.3"}
            for span in scope["spans"]:
                own = plain(span["attributes"])
                found.append({**span, "attributes": own, "service": about["service.name"]})
    return found


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {own["key"]: next(iter(own["value"].values())) for own in attributes}


def named(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (only,) = [span for span in found if span["name"] == name]
    return only


def worked(**other: Any) -> Scribe:
    log = Scribe()
    log.begin(**other)
    log.write(log.begun("0"))
    log.write(log.done("0"), after_ms=40)
    log.write(log.decided("1"))
    log.write(log.finished())
    return log


def test_a_root_task_its_award_and_its_step_are_a_tree_of_spans() -> None:
    log = worked()
    found = spans(log)
    assert [span["name"] for span in found] == [
        "invoke_agent ann",
        "attempt 1 demo.work",
        "execute_tool post",
    ]
    root, award, step = found
    assert "parentSpanId" not in root
    assert (award["parentSpanId"], step["parentSpanId"]) == (root["spanId"], award["spanId"])
    assert len({span["traceId"] for span in found}) == 1
    assert (len(root["traceId"]), len(root["spanId"])) == (32, 16)
    assert (root["kind"], step["kind"]) == (CONSUMER, CLIENT)
    assert root["status"] == {"code": OK}
    assert root["attributes"]["messaging.system"] == "kafka"
    assert root["attributes"]["gen_ai.conversation.id"] == ROOT
    assert root["attributes"]["parley.cost.micro_usd"] == "7"
    assert step["attributes"]["gen_ai.tool.name"] == "post"
    assert "parley.open" not in root["attributes"]
    took = int(step["endTimeUnixNano"]) - int(step["startTimeUnixNano"])
    assert took == 40 * NANOS
    (event,) = root["events"]
    assert plain(event["attributes"])["parley.decision.because"] == "it is shorter"


def test_the_submitters_trace_goes_on() -> None:
    given = format_traceparent(GIVEN)
    root = spans(worked(traceparent=given))[0]
    assert (root["traceId"], root["parentSpanId"]) == (GIVEN.trace_id, GIVEN.parent_id)
    log = Scribe()
    log.take()
    context = trace_of(replace(log.opened(), traceparent=given))
    assert context == Trace(GIVEN.trace_id, root["spanId"], 1)


@pytest.mark.parametrize("malformed", ["", "00-zz", "00-" + "0" * 32 + "-" + "b" * 16 + "-01"])
def test_without_a_trace_of_the_submitter_it_is_derived(malformed: str) -> None:
    first, second = spans(worked(traceparent=malformed)), spans(worked())
    assert [span["traceId"] for span in first] == [span["traceId"] for span in second]
    assert "parentSpanId" not in first[0]


def test_a_child_hangs_below_the_step_that_delegated_it() -> None:
    log = Scribe()
    log.begin()
    log.open_child("0", terms(BOB))
    child = log.child_name("0")
    log.write(log.finished(child))
    log.write(log.finished())
    found = spans(log)
    task = named(found, "invoke_agent bob")
    (step,) = [span for span in found if span["attributes"].get("parley.step.kind") == "delegate"]
    assert task["parentSpanId"] == step["spanId"]
    assert (task["kind"], task["service"], step["service"]) == (SERVER, "bob", "ann")
    assert "messaging.system" not in task["attributes"]


def test_a_dead_attempt_and_a_failed_step_are_errors_and_the_rest_is_not() -> None:
    log = Scribe()
    log.begin()
    log.write(log.begun("0", kind=StepKind.MODEL, name="small"))
    log.write(log.done("0", kind=StepKind.MODEL, name="small", error="ModelFailed: busy"))
    log.write(log.awarded(terms(BOB, 2, Cause.DIED, attempt=2)), after_ms=2_000)
    log.write(log.begun("1"))
    log.write(log.done("1"))
    log.write(log.finished())
    found = spans(log)
    first, second = named(found, "attempt 1 demo.work"), named(found, "attempt 2 demo.work")
    assert first["status"]["code"] == ERROR
    assert (first["service"], second["service"]) == ("ann", "bob")
    assert "status" not in second
    model = named(found, "chat small")
    assert model["status"] == {"code": ERROR, "message": "ModelFailed: busy"}
    assert model["parentSpanId"] == first["spanId"]
    assert model["attributes"]["gen_ai.request.model"] == "small"
    assert named(found, "execute_tool post")["parentSpanId"] == second["spanId"]


def test_what_is_open_ends_when_it_is_told_and_says_so() -> None:
    log = Scribe()
    log.begin(acceptance=Acceptance.REVIEWED)
    log.write(log.begun("0"))
    found = spans(log)
    for span in found:
        assert span["attributes"]["parley.open"] is True
        assert int(span["endTimeUnixNano"]) == (log.now_ms + 5) * NANOS
        assert "status" not in span


def test_a_task_that_failed_is_an_error_with_its_reason() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished(outcome=Outcome.FAILED, error="no paper"))
    assert not log.write(f.TaskFailed(**log.rule(), reason="no attempt is left: no paper"))
    root = spans(log)[0]
    assert root["attributes"]["parley.status"] == "failed"
    assert root["status"] == {"code": ERROR, "message": "no attempt is left: no paper"}


def test_nobody_has_it_yet() -> None:
    log = Scribe()
    log.take()
    log.open_root()
    (span,) = spans(log)
    assert (span["name"], span["service"]) == ("task demo.work", "unassigned")
    assert ANN.instance not in str(span)
