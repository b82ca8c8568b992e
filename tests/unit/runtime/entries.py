"""Entries of shared state, and verdicts, as a processor writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh.core.messages import Current, Envelope, Judged
from mesh.core.shared import Candidate, Change, Entry, Past, Verdict, Write
from mesh.core.values import Holder, Inbox
from mesh.ports import Incoming
from mesh.runtime.replica import Replica
from mesh.wire.state import codecs, encode_kept, kept_key

codecs()  # files are read for it, and no test may do that on its loop

ME = Holder("tester.1", 1)
INBOX = Inbox("demo.inbox.tester", 0)
PROCESSOR = Holder("processor", 1)

ENTRY = Entry(
    key="a/b",
    version=1,
    value=b"1",
    agent="other",
    writer="other.1",
    workflow="0-w",
    task="0-t",
    step="0",
    objective="",
    because="",
    source=0,
    append_ms=0,
    candidates=(),
    recent=(Past(1, "c1", Verdict.ACCEPTED, ""),),
)
RIVAL = Candidate(b"2", "c2", "rival", "0-u", "", "")


def entry(key: str = "a/b", version: int = 1, **other: Any) -> Entry:
    return replace(ENTRY, key=key, version=version, **other)


def record(own: Entry) -> Incoming:
    return Incoming("demo.state", 0, own.source, 0, kept_key(own), encode_kept(own), ())


def replica(*entries: Entry, prefixes: tuple[str, ...] = ("a",)) -> Replica:
    made = Replica(prefixes)
    for own in entries:
        made.take(record(own))
    return made


def change(change_id: str = "c1", key: str = "a/b") -> Change:
    return Change(
        change=change_id,
        by=ME,
        agent="tester",
        scope=("a",),
        workflow="0-w",
        task="0-t",
        step="0",
        writes=(Write(key, 0, b"1"),),
        objective="",
        because="",
        inbox=INBOX,
    )


def judged(offset: int, verdict: Verdict = Verdict.ACCEPTED, change_id: str = "c1") -> Judged:
    accepted = verdict is not Verdict.CONFLICT
    return Judged(
        change=change_id,
        offset=offset,
        verdict=verdict,
        reason="" if accepted else "a/b: version 0 was expected, and other wrote version 1",
        versions=(1,) if accepted else (),
        entries=(Current("a/b", 1, b"1", "tester", "0-t", contested=False),),
    )


def envelope(content: Judged, to: Holder = ME) -> Envelope:
    return Envelope(to=to, sender=PROCESSOR, sender_inbox=Inbox("", 0), content=content)
