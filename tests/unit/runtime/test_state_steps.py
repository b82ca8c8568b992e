from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from mesh.core import calls as c
from mesh.core.keys import Resolution
from mesh.core.messages import MAX_RIVALS, MAX_WORDS, Current, Judged, Rival
from mesh.core.settings import MAX_BODY_BYTES, MAX_REASON
from mesh.core.shared import MAX_VALUE_BYTES, Change, Verdict, Write
from mesh.core.values import NOTHING, Amount, Body, Effect, Status, StepKind
from mesh.errors import StateError, WireError
from mesh.runtime import state_steps
from mesh.runtime.proposals import Proposals
from mesh.runtime.replica import Replica
from mesh.runtime.services import Part, Services
from mesh.runtime.state_steps import Looking, Reading, Why, Writing, answer, read_call, write_call
from mesh.runtime.threads import Threads
from mesh.testing.clock import ManualClock
from tests.unit.runtime.contexts import count
from tests.unit.runtime.entries import ENTRY, INBOX, ME, RIVAL, entry, judged, record, replica
from tests.unit.runtime.fake_core import START_MS, TASK, opened
from tests.unit.runtime.test_proposals import Line

WRITES = (Write("a/b", 3, b'{"x":1}'),)
WHY = Why("risk", "two sources agree")
NO_COST = Amount()
WORK = c.Work(TASK, TASK, 77, 1, 1, "", opened(count, b"{}"), START_MS, 0)
STOOD = Rival(
    key="a/b",
    version=4,
    agent="other",
    person="",
    workflow=TASK,
    task=TASK,
    objective="cost",
    because="it was cheaper",
    same=False,
    prefix="a/",
    resolution=Resolution.ARBITRATE,
)
LONG = b'"%b"' % (b"x" * 4_000)


class Judge(Proposals):
    """Mutable: judges at once, as the test says."""

    def __init__(self, verdict: Judged | WireError) -> None:
        clock = ManualClock()
        super().__init__(ME, INBOX, log=Line(), mesh="demo", partitions=1, clock=clock)
        self.verdict = verdict
        self.asked: list[Change] = []
        self.again: list[bool] = []

    async def propose(self, change: Change, *, again: bool = False) -> Judged:
        self.asked.append(change)
        self.again.append(again)
        if isinstance(self.verdict, WireError):
            raise self.verdict
        return self.verdict


def services(judge: Proposals | None = None, held: Replica | None = None) -> Services:
    return Services(
        agent="tester",
        tools=frozenset(),
        threads=Threads(1, "test"),
        artifacts=None,
        progress=lambda *_: None,
        reads=("a",),
        writes=("a",),
        part=Part(judge, held),
    )


def told(contents: Body) -> Any:
    assert contents.content is not None
    return json.loads(contents.content)


async def written(verdict: Judged | WireError) -> tuple[str, Body]:
    writing = Writing(services(Judge(verdict)), WORK, "0", WRITES, WHY)
    error, cost, contents = await writing.perform("key")
    assert cost == NO_COST
    return error, contents


def test_what_is_asked_of_the_core() -> None:
    read, write = read_call("0", "a/b"), write_call("1", WRITES, WHY)
    assert (read.kind, read.name, read.effect) == (StepKind.READ, "a/b", Effect.PURE)
    assert (write.kind, write.name, write.effect) == (StepKind.WRITE, "a/b", Effect.KEYED)
    assert read.reserve == write.reserve == NO_COST
    assert read.input_hash == read_call("7", "a/b").input_hash
    assert read.input_hash != read_call("0", "a/c").input_hash
    assert write_call("1", (*WRITES, Write("a/c", 0, None)), WHY).name == "a/*"
    assert write_call("1", (Write("b", 0, None), Write("c", 0, None)), WHY).name == "/*"


@pytest.mark.parametrize(
    ("writes", "why"),
    [
        ((Write("a/c", 3, b'{"x":1}'),), WHY),
        ((Write("a/b", 4, b'{"x":1}'),), WHY),
        ((Write("a/b", 3, b'{"x":2}'),), WHY),
        ((Write("a/b", 3, None),), WHY),
        ((Write("a/b", 3, b"null"),), WHY),
        ((*WRITES, Write("a/c", 0, None)), WHY),
        (WRITES, Why("cost", "two sources agree")),
        (WRITES, Why("risk", "three do")),
    ],
)
def test_a_write_is_another_if_anything_of_it_differs(writes: tuple[Write, ...], why: Why) -> None:
    known = write_call("1", WRITES, WHY).input_hash
    assert write_call("2", WRITES, WHY).input_hash == known
    assert write_call("1", writes, why).input_hash != known


async def test_a_read_tells_the_entry_as_it_stands() -> None:
    held = replica(entry(value=b'{"x":[1.50,"\\u00e9"]}', version=3, candidates=(RIVAL,)))
    error, cost, contents = await Reading(services(held=held), "a/b", 0).perform("")
    assert (error, cost) == ("", NO_COST)
    assert told(contents) == {
        "agent": "other",
        "contested": True,
        "key": "a/b",
        "task": "0-t",
        "value": {"x": [1.5, "é"]},
        "version": 3,
    }
    assert contents.content is not None
    assert b'"value":{"x":[1.50,"\\u00e9"]}}' in contents.content


async def test_a_read_waits_for_the_version_that_it_must_see() -> None:
    held = replica(ENTRY)
    reading = asyncio.ensure_future(Reading(services(held=held), "a/b", 2).perform(""))
    await asyncio.sleep(0)
    assert not reading.done()
    held.take(record(entry(version=2, value=None)))
    assert told((await reading)[2])["value"] is None


async def test_what_is_not_there_is_told_too() -> None:
    found = told((await Reading(services(held=replica()), "a/b", 0).perform(""))[2])
    assert (found["version"], found["value"], found["agent"]) == (0, None, "")


async def test_a_value_that_is_no_json_is_a_step_that_failed() -> None:
    held = replica(entry(value=b"{"))
    error, _, contents = await Reading(services(held=held), "a/b", 0).perform("")
    assert error.startswith("version 1 of a/b: no JSON")
    assert contents == NOTHING


async def test_a_watch_tells_what_was_not_seen() -> None:
    seen = {"a/b": 1}
    looking = Looking(services(held=replica(ENTRY, entry("a/c"))), "a", seen)
    assert told((await looking.perform(""))[2])["key"] == "a/c"
    assert told((await looking.perform(""))[2])["key"] == "a/c"


async def test_a_write_proposes_under_the_key_of_its_step() -> None:
    judge = Judge(judged(7))
    await Writing(services(judge), WORK, "0.1", WRITES, WHY).perform("key")
    assert judge.asked == [
        Change(
            change="key",
            by=ME,
            agent="tester",
            scope=("a",),
            workflow=TASK,
            task=TASK,
            step="0.1",
            writes=WRITES,
            objective="risk",
            because="two sources agree",
            inbox=INBOX,
        )
    ]


async def test_an_accepted_write_tells_its_versions_and_entries() -> None:
    error, contents = await written(judged(7))
    assert error == ""
    assert told(contents) == {
        "asked": {"because": "two sources agree", "expected": [3], "objective": "risk"},
        "rivals": [],
        "verdict": "accepted",
        "reason": "",
        "versions": [1],
        "entries": [
            {
                "agent": "tester",
                "contested": False,
                "key": "a/b",
                "task": "0-t",
                "value": 1,
                "version": 1,
            }
        ],
    }


@pytest.mark.parametrize("verdict", [Verdict.CONFLICT, Verdict.REFUSED, Verdict.CONTESTED])
async def test_one_that_is_not_in_force_is_a_step_that_failed_with_all_that_is_known(
    verdict: Verdict,
) -> None:
    error, contents = await written(replace(judged(7, verdict), reason="too late"))
    assert error == f"{verdict}: too late"
    assert told(contents)["entries"][0]["version"] == 1


async def test_who_stood_against_a_write_is_recorded() -> None:
    _, contents = await written(replace(judged(7, Verdict.CONFLICT), rivals=(STOOD,)))
    assert told(contents)["rivals"] == [
        {
            "agent": "other",
            "because": "it was cheaper",
            "key": "a/b",
            "objective": "cost",
            "person": "",
            "prefix": "a/",
            "resolution": "arbitrate",
            "same": False,
            "task": TASK,
            "version": 4,
            "workflow": TASK,
        }
    ]


@pytest.mark.parametrize(("epoch", "restart", "again"), [(1, 0, False), (2, 0, True), (1, 1, True)])
async def test_only_the_first_start_is_sure_to_be_the_first(
    epoch: int, restart: int, again: bool
) -> None:
    judge = Judge(judged(7))
    work = WORK._replace(epoch=epoch, restart=restart)
    await Writing(services(judge), work, "0", WRITES, WHY).perform("key")
    assert judge.again == [again]


async def test_what_nobody_can_tell_is_recorded_as_that() -> None:
    late = replace(judged(7, Verdict.CONFLICT), reason="too much came since", forgotten=True)
    error, contents = await written(late)
    assert error == "unknown: too much came since"
    assert (told(contents)["verdict"], told(contents)["forgotten"]) == ("conflict", True)
    _, contents = await written(replace(late, forgotten=False))
    assert "forgotten" not in told(contents)


async def test_a_verdict_stays_one_event_however_much_is_told() -> None:
    keys = [f"a/{number}" for number in range(32)]
    entries = tuple(Current(key, 1, LONG, "o", "t", contested=False) for key in keys)
    error, contents = await written(
        Judged(
            change="c1",
            offset=1,
            verdict=Verdict.CONFLICT,
            reason="r" * MAX_REASON,
            versions=(),
            entries=entries,
            rivals=(STOOD._replace(because="w" * MAX_WORDS),) * MAX_RIVALS,
        )
    )
    assert len(error) == MAX_REASON
    assert len(contents.content or b"") < MAX_BODY_BYTES
    values = [own["value"] is None for own in told(contents)["entries"]]
    assert values == sorted(values)
    assert values[0] is False
    assert values[-1] is True


async def test_the_largest_value_is_told() -> None:
    value = b'"%b"' % (b"x" * (MAX_VALUE_BYTES - 2))
    entries = (Current("a/b", 1, value, "o", "t", contested=False),)
    _, contents = await written(replace(judged(7), entries=entries))
    assert len(told(contents)["entries"][0]["value"]) == MAX_VALUE_BYTES - 2


async def test_somebody_s_value_that_is_no_json_is_left_out() -> None:
    entries = (Current("a/b", 1, b"{", "o", "t", contested=False),)
    _, contents = await written(replace(judged(7), entries=entries))
    assert told(contents)["entries"][0]["value"] is None


async def test_what_cannot_be_proposed_is_a_step_that_failed() -> None:
    error, contents = await written(WireError("too large"))
    assert (error, contents) == ("it cannot be proposed: too large", NOTHING)


async def test_a_process_without_a_part_in_it_says_so() -> None:
    alone = services()
    for doer in (
        Reading(alone, "a/b", 0),
        Looking(alone, "a", {}),
        Writing(alone, WORK, "0", WRITES, WHY),
    ):
        assert await doer.perform("key") == (state_steps.NO_STATE, NO_COST, NOTHING)
        assert doer.interruptible
        assert doer.reserve == NO_COST
        with pytest.raises(AssertionError):
            await doer.probe("key")
        with pytest.raises(AssertionError):
            await doer.review("0-u", NOTHING)


def test_an_answer_is_what_was_recorded() -> None:
    recorded = Body(b"h", "application/json", b'{"x":1}')
    assert answer(c.Result(1, 0, Status.COMPLETED, "", recorded)) == {"x": 1}
    assert answer(c.Result(1, 0, Status.FAILED, "conflict", recorded)) == {"x": 1}
    with pytest.raises(StateError, match="cancelled"):
        answer(c.Result(1, 0, Status.FAILED, "cancelled, and its outcome is unknown", NOTHING))
