"""Changes for tests, the plain fold that judges them again, and what stands on the topics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mesh.core import messages as m
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Change, Entry, Proposal, RulesAdopted, RulesEntry, View, Write
from mesh.core.values import Holder, Inbox
from mesh.errors import WireError
from mesh.ports import Incoming, TopicPlan
from mesh.processor.inputs import read_proposal, view_of
from mesh.wire import topics
from mesh.wire.messages import decode_envelope
from mesh.wire.state import decode_kept

MESH = "demo"
PARTITIONS = 2
WRITER = Holder("writer.host-1", 1)
KEEPER = Holder("processor.host-2", 1)
INBOX = Inbox(topics.inbox(MESH, "writer"), 0)
RULES = RulesAdopted(
    rules=Rules(
        1,
        ("risk", "cost"),
        (
            Rule("*", Resolution.REJECT),
            Rule("merged", Resolution.MERGE, "max"),
            Rule("weighed", Resolution.ARBITRATE),
        ),
    ),
    person="eve",
    because="a test",
)


def change(
    name: str,
    *writes: Write,
    inbox: Inbox = INBOX,
    objective: str = "",
) -> Change:
    return Change(
        change=name,
        by=WRITER,
        agent="writer",
        scope=("*",),
        workflow="0-w",
        task="0-t",
        step="0.1",
        writes=writes,
        objective=objective,
        because="a test",
        inbox=inbox,
    )


def plans(mesh: str = MESH, partitions: int = PARTITIONS) -> tuple[TopicPlan, ...]:
    """Return the topics that a processor and one writer need."""
    counts = {
        topics.changes(mesh): partitions,
        topics.state(mesh): partitions,
        topics.dead_letters(mesh): 1,
        topics.inbox(mesh, "writer"): 1,
        topics.audit(mesh): 2,
        topics.open_workflows(mesh): 2,
        topics.standing(mesh): 2,
        topics.incidents(mesh): 1,
        topics.control(mesh): 1,
        topics.policy(mesh): 1,
    }
    return tuple(TopicPlan(name=name, partitions=count) for name, count in counts.items())


def fold(changes: Iterable[Incoming], partitions: int = PARTITIONS) -> dict[int, View]:
    """Judge everything that stands on `M.changes`, by a plain loop."""
    views = {number: view_of(number, partitions) for number in range(partitions)}
    for record in sorted(changes, key=lambda one: (one.partition, one.offset)):
        try:
            proposal: Proposal = read_proposal(record, partitions)
        except WireError:
            continue
        views[record.partition].judge(proposal, record.offset, record.append_ms)
    return views


def kept(
    state: Iterable[Incoming], choose: Callable[[Entry, Entry], Entry]
) -> dict[tuple[int, str], Entry]:
    """Return the entry of each partition and key; `choose` says which of two, the later second."""
    found: dict[tuple[int, str], Entry] = {}
    for record in sorted(state, key=lambda one: (one.partition, one.offset)):
        entry = decode_kept(record.value)
        if isinstance(entry, RulesEntry):
            continue
        name = (record.partition, entry.key)
        found[name] = choose(found[name], entry) if name in found else entry
    return found


def highest(one: Entry, other: Entry) -> Entry:
    return max(one, other, key=lambda entry: entry.version)


def latest(_: Entry, other: Entry) -> Entry:
    return other


def entries(views: Mapping[int, View]) -> dict[tuple[int, str], Entry]:
    return {(number, entry.key): entry for number, view in views.items() for entry in view}


def verdicts(inbox: Iterable[Incoming]) -> list[m.Judged]:
    told = [decode_envelope(record.value).content for record in inbox]
    return [content for content in told if isinstance(content, m.Judged)]
