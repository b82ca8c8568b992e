"""Shared state for stories: judged by a real view, recorded as the runtime records it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.messages import judged
from mesh.core.shared import (
    ACCEPTING,
    Change,
    Judgement,
    Proposal,
    RulesAdopted,
    Settlement,
    Verdict,
    View,
    Write,
)
from mesh.core.values import Body, Effect, Inbox, StepKind
from mesh.runtime.state_steps import Why, read_call, verdict_body, write_call
from mesh.wire.canonical import body_of, canonical_json, parse_json
from tests.detection.story import Part, Story, holder

RULES = Rules(
    1,
    ("risk", "cost", "speed"),
    (
        Rule("stock/", Resolution.REJECT),
        Rule("tags/", Resolution.MERGE, "union"),
        Rule("suppliers/", Resolution.ARBITRATE),
    ),
)


class State:
    """Mutable: shared state as all see it, and the steps of a story's parts that read and write it.

    `old` records a write as a release did that knew of no rivals; `records` is what becomes of a
    record on its way.
    """

    def __init__(self, story: Story, *, old: bool = False) -> None:
        self.story = story
        self.old = old
        self.view = View()
        self.records: Callable[[Body], Body] = lambda own: own
        self.offset = 0
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._judge(RulesAdopted(rules=RULES, person="eve", because="to begin with"))

    def reads(self, part: Part, key: str, *, behind: int = 0, watched: str = "") -> int:
        """Read a key, from a replica that is `behind` by so many versions; return the version."""
        every = [{**NOTHING_THERE, "key": key}, *self._entries.get(key, [])]
        found = every[-1 - behind]
        call = read_call(part.next_step(), watched or key)
        self._finished(part, call.step, StepKind.READ, call.name, call.input_hash, body_of(found))
        version = found["version"]
        assert isinstance(version, int)
        return version

    def writes(
        self,
        part: Part,
        values: dict[str, object],
        expected: int,
        objective: str = "",
        because: str = "",
    ) -> Verdict:
        """Write keys over one version of each; return the verdict."""
        writes = _writes(values, expected)
        call = write_call(part.next_step(), writes, Why(objective, because))
        signed: dict[str, Any] = {
            "step": call.step,
            "kind": StepKind.WRITE,
            "name": call.name,
            "input_hash": call.input_hash,
        }
        said = part.says()
        self.story.add(f.StepBegun(**said, **signed, effect=Effect.KEYED, reserve=ZERO, until_ms=0))
        change = self._change(writes, part.agent, part.task, call.step, objective, because)
        verdict = judged(change, self.offset, self._judge(change))
        contents = verdict_body(verdict, writes, Why(objective, because))
        if self.old:
            contents = _as_before(contents)
        error = "" if verdict.verdict in ACCEPTING else f"{verdict.verdict}: {verdict.reason}"
        self._finished(part, **signed, contents=contents, error=error)
        return verdict.verdict

    def updates(self, part: Part, key: str, value: object) -> None:
        """Read and write until that comes through, as `ctx.shared.update` does."""
        while self.writes(part, {key: value}, self.reads(part, key)) not in ACCEPTING:
            pass

    def elsewhere(
        self,
        key: str,
        value: object,
        agent: str,
        objective: str = "",
        because: str = "",
        *,
        over: int | None = None,
    ) -> None:
        """Let a task of another workflow write a key over its latest version, or that given."""
        known = self.view.entries.get(key)
        latest = known.version if known is not None else 0
        writes = _writes({key: value}, latest if over is None else over)
        change = self._change(writes, agent, f"9-{agent}", "0", objective, because)
        self._judge(change, workflow="9-other")

    def settles(self, key: str, value: object) -> None:
        """Let a person settle a contested key."""
        version = self.view.entries[key].version
        content = canonical_json(value)
        self._judge(
            Settlement(
                change=f"s{self.offset}",
                key=key,
                expected=version,
                value=content,
                person="eve",
                because="I asked them",
            )
        )

    def _change(
        self,
        writes: tuple[Write, ...],
        agent: str,
        task: str,
        step: str,
        objective: str,
        because: str,
    ) -> Change:
        return Change(
            change=f"c{self.offset}",
            by=holder(agent),
            agent=agent,
            scope=("*",),
            workflow=self.story.root.task,
            task=task,
            step=step,
            writes=writes,
            objective=objective,
            because=because,
            inbox=Inbox("inbox", 0),
        )

    def _judge(self, proposal: Proposal, **other: Any) -> Judgement:
        if isinstance(proposal, Change) and other:
            proposal = replace(proposal, **other)
        judgement = self.view.judge(proposal, self.offset, self.story.now_ms)
        self.offset += 1
        assert judgement is not None
        for entry in self.view:
            rows = self._entries.setdefault(entry.key, [])
            if not rows or rows[-1]["version"] < entry.version:
                row = {name: getattr(entry, name) for name in NOTHING_THERE}
                rows.append({**row, "value": parse_json(entry.value or b"null")})
        return judgement

    def _finished(
        self,
        part: Part,
        step: str,
        kind: StepKind,
        name: str,
        input_hash: bytes,
        contents: Body,
        error: str = "",
    ) -> None:
        self.story.add(
            f.StepFinished(
                **part.says(),
                step=step,
                kind=kind,
                name=name,
                input_hash=input_hash,
                spent=ZERO,
                error=error,
                result=self.records(contents),
            )
        )


NOTHING_THERE: dict[str, Any] = {
    "agent": "",
    "contested": False,
    "key": "",
    "task": "",
    "value": None,
    "version": 0,
}


def _writes(values: dict[str, object], expected: int) -> tuple[Write, ...]:
    return tuple(Write(key, expected, canonical_json(value)) for key, value in values.items())


def _as_before(contents: Body) -> Body:
    """Return a verdict as it was recorded before it named its rivals."""
    found = json.loads(contents.content or b"")
    del found["asked"], found["rivals"]
    return body_of(found)
