"""Shared state laid out for a terminal: entries, histories, differences, the check."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from mesh.cli import state_shapes
from mesh.cli.histories import UNKNOWN, Event, History, Kind
from mesh.cli.output import table
from mesh.core.shared import ACCEPTING, Entry, Verdict
from mesh.telling import words
from mesh.wire.headers import format_time

if TYPE_CHECKING:
    from mesh.cli.checking import Checked
    from mesh.cli.differing import Changed
    from mesh.cli.policies import Plan

MAX_VALUE = 60
"""Characters of a value in a table."""
STYLES = {
    Verdict.CONTESTED: "yellow",
    Verdict.CONFLICT: "red",
    Verdict.REFUSED: "red",
    Verdict.PREFERRED: "cyan",
    Verdict.MERGED: "cyan",
    Verdict.ACCEPTED: "green",
    Verdict.SETTLED: "green",
}


def value(content: bytes | None, limit: int = words.MAX_TEXT) -> str:
    """Return a value as one line of JSON."""
    if content is None:
        return "deleted"
    shown = json.dumps(state_shapes.value(content), ensure_ascii=False)
    return words.clip(shown, limit)


def author(entry: Entry) -> str:
    """Return who wrote an entry."""
    return entry.agent or f"{entry.writer} (a person)"


# --- entries ------------------------------------------------------------------------------------


def entries(found: Iterable[Entry], *, wide: bool) -> RenderableType:
    """Return entries as a table."""
    columns = ["key", "version", "value", "by", "at", "because", ""]
    columns += ["serves", "task", "verdict", "change"] if wide else []
    rows = []
    for own in found:
        state = f"contested by {len(own.candidates)}" if own.contested else ""
        row: list[object] = [
            own.key,
            own.version,
            value(own.value, MAX_VALUE),
            author(own),
            format_time(own.append_ms),
            words.clip(own.because, MAX_VALUE),
            state,
        ]
        row += [own.objective, own.task, own.verdict, own.change] if wide else []
        rows.append([escape(str(cell)) for cell in row])
    return table(columns, rows, right=("version",))


def one(entry: Entry, partition: int) -> RenderableType:
    """Return one entry with all that is known of it, and how a person settles it."""
    style = STYLES[entry.verdict] if entry.contested else "default"
    state = "contested" if entry.contested else str(entry.verdict)
    task = f" in task {entry.task} of {entry.workflow}" if entry.task else ""
    instance = f" ({entry.writer})" if entry.agent else ""
    facts = [
        ("value", value(entry.value)),
        ("by", f"{author(entry)}{instance}{task}"),
        ("at", f"{format_time(entry.append_ms)}, change {partition}/{entry.source}"),
        ("serves", entry.objective),
        ("because", entry.because),
    ]
    lines = [
        Text.assemble((entry.key, "bold"), f"  version {entry.version}  ", (state, style)),
        *(Text(f"  {name:9} {said}") for name, said in facts if said),
    ]
    return Group(*lines, *_choices(entry))


def _choices(entry: Entry) -> Iterator[Text]:
    if not entry.contested:
        return
    whose = (author(entry), entry.objective, entry.because)
    yield _choice(0, value(entry.value), *whose)
    for take, own in enumerate(entry.candidates, 1):
        yield _choice(take, value(own.value), own.agent, own.objective, own.because)
    yield Text(f"  a person settles it: mesh state settle {entry.key} --take N --because …")


def _choice(take: int, shown: str, who: str, objective: str, because: str) -> Text:
    serves = f" for {objective}" if objective else ""
    why = f", because {words.clip(because)}" if because else ""
    return Text(f"  take {take}    {shown}  by {who}{serves}{why}", "yellow")


def line(entry: Entry, before: Entry | None) -> str:
    """Return an entry that has just come as one line."""
    was = f"{value(before.value, MAX_VALUE)} → " if before is not None else ""
    contested = f", contested by {len(entry.candidates)}" if entry.contested else ""
    why = f": {words.clip(entry.because)}" if entry.because else ""
    return (
        f"{words.clock(entry.append_ms)}  {entry.key}  version {entry.version}{contested}  "
        f"{was}{value(entry.value, MAX_VALUE)}  by {author(entry)}{why}"
    )


# --- a key's history ----------------------------------------------------------------------------


def history(told: History) -> RenderableType:
    """Return the history of a key: each proposal, from all sides."""
    return Group(*_history(told))


def _history(told: History) -> Iterator[Text]:
    version = f"version {told.entry.version}" if told.entry is not None else "no version"
    count = words.plural(sum(own.kind is not Kind.RULES for own in told.events), "proposal")
    yield Text.assemble((told.key, "bold"), f"  {version}, {count}, partition {told.partition}")
    if told.cut:
        yield Text(
            f"  the log's records below {told.partition}/{told.low} are gone (retention): the "
            "story begins there",
            "yellow",
        )
    if told.base is not None:
        base = told.base
        yield Text(f"  version {base.version} stood then: {value(base.value)} by {author(base)}")
    by_place = {own.where: own for own in told.events}
    for own in told.events:
        yield Text("")
        yield _head(own)
        yield from (Text(f"    {said}") for said in _body(own, by_place))
    if told.behind:
        yield Text("")
        kept = f"version {told.kept.version}" if told.kept is not None else "nothing"
        yield Text(
            f"  M.state still has {kept}: the processor is behind, or does not run", "yellow"
        )


def _head(own: Event) -> Text:
    who = own.agent or own.person or "nobody"
    verdict, style = (
        _VERDICTS[own.verdict],
        STYLES.get(Verdict(own.verdict), "default") if (own.verdict != UNKNOWN) else "dim",
    )
    if own.kind is Kind.RULES:
        return Text(f"  {own.where}  {format_time(own.at_ms)}  {who} changes the rule here")
    number = f" {own.version}" if own.verdict in _MAKING and own.version else ""
    again = ", sent again and answered as before" if own.again else ""
    return Text.assemble(
        f"  {own.where}  {format_time(own.at_ms)}  ", (who, "bold"), "  ",
        (f"{verdict}{number}{again}", style),
    )  # fmt: skip


_MAKING = frozenset({*ACCEPTING, Verdict.CONTESTED})
_VERDICTS = {
    Verdict.ACCEPTED: "accepted as version",
    Verdict.MERGED: "merged into version",
    Verdict.PREFERRED: "preferred as version",
    Verdict.SETTLED: "settled as version",
    Verdict.CONTESTED: "contested in version",
    Verdict.CONFLICT: "refused, a conflict",
    Verdict.REFUSED: "refused",
    UNKNOWN: "not judged",
}


def _body(own: Event, by_place: dict[str, Event]) -> Iterator[str]:
    if own.kind is Kind.RULES:
        yield f"to {own.rule}, by version {own.version} of the rules"
        yield from ([f"because {words.clip(own.because)}"] if own.because else [])
        return
    done = own.verdict in ACCEPTING
    if own.value is None:
        what = "deleted it" if done else "wanted to delete it"
    else:
        what = f"{'wrote' if done else 'wanted'} {value(own.value)}"
    over = f"over version {own.expected}" if own.expected else "where nothing was"
    for_ = f", for {own.objective}" if own.objective else ""
    task = f", in task {own.task}" if own.task else ""
    yield f"{what} {over}{for_}{task}"
    if own.together:
        yield f"together with {words.listed(own.together)}"
    if own.because:
        yield f"because {words.clip(own.because)}"
    if own.reason:
        yield f"verdict: {words.clip(own.reason, 3 * words.MAX_TEXT)}"
    if own.reason and own.verdict not in (Verdict.REFUSED, UNKNOWN):
        yield f"rule: {own.rule}"
    yield from (_side(word, own, other) for word, other in opponents(own, by_place))


def opponents(own: Event, by_place: Mapping[str, Event]) -> Iterator[tuple[str, Event]]:
    """Yield the changes that one met, each with what came of that in a word."""
    for word, places in (("won against", own.beat), ("lost to", own.lost_to)):
        yield from ((word, by_place[place]) for place in places)
    for place in own.met:
        other = by_place[place]
        if Verdict.CONTESTED not in (own.verdict, other.verdict):
            word = "merged with"
        else:
            word = "contests" if own.verdict == Verdict.CONTESTED else "contested by"
        yield word, other


def _side(word: str, own: Event, other: Event) -> str:
    """Name the other side; say why, where the other one's verdict says it."""
    task = f" in task {other.task}" if other.task else ""
    later = _offset(other.where) > _offset(own.where)
    why = f": {words.clip(other.reason, 3 * words.MAX_TEXT)}" if later and other.reason else ""
    return f"{word} {other.where}, {other.agent or other.person}{task}{why}"


def _offset(where: str) -> int:
    return int(where.partition("/")[2])


# --- differences --------------------------------------------------------------------------------


def changed(found: Sequence[Changed]) -> RenderableType:
    """Return what changed: each key, and in it each member."""
    lines: list[RenderableType] = []
    for own in found:
        before = f"version {own.before.version}" if own.before is not None else "nothing"
        if not own.known:
            before = "what is not known (retention)"
        after = own.after
        lines.append(Text.assemble((own.key, "bold"), f"  {before} → version {after.version}"))
        why = f", because {words.clip(after.because)}" if after.because else ""
        lines.append(Text(f"  last by {author(after)} at {format_time(after.append_ms)}{why}"))
        if after.contested:
            lines.append(Text(f"  contested by {len(after.candidates)}", "yellow"))
        for member in own.members:
            where = f"{member.pointer}: " if member.pointer else ""
            lines.append(Text(f"    {where}{_json(member.before)} → {_json(member.after)}"))
    return Group(*lines)


def _json(shown: Any) -> str:
    return "nothing" if shown is None else words.clip(json.dumps(shown, ensure_ascii=False))


# --- the check ----------------------------------------------------------------------------------


def verified(view: str, log: str, checks: Sequence[Checked], shown: int) -> RenderableType:
    """Return what the check came to: each partition, then the differences."""
    return Group(*_verified(view, log, checks, shown))


def _verified(
    view: str, log: str, checks: Sequence[Checked], shown: int
) -> Iterator[RenderableType]:
    found = [own for one in checks for own in one.differences]
    entries = sum(own.entries for own in checks)
    changes = sum(own.changes for own in checks)
    differ = words.plural(len(found), "difference")
    yield Text(
        f"{view}: {words.plural(entries, 'entry', 'entries')} equal what "
        f"{words.plural(changes, 'record')} of {log} make, {differ}",
        "red" if found else "green",
    )
    rows = [
        (
            own.partition,
            f"{own.low} to {own.high}",
            own.through if own.through >= 0 else "nothing",
            own.rows,
            own.entries,
            own.unchecked,
            len(own.differences),
        )
        for own in checks
    ]
    columns = ("partition", "log", "view names", "rows", "equal", "not checkable", "differences")
    yield table(columns, rows, right=columns[2:])
    yield from (Text(f"  {said}", "yellow") for said in remarks(checks))
    if found:
        cells = [
            [escape(str(own)) for own in (one.where, one.source, one.key, one.version, one.text)]
            for one in found[:shown]
        ]
        yield table(("view", "log", "key", "version", "what"), cells)
    if len(found) > shown:
        yield Text(f"and {len(found) - shown:,} more; -o json has them all")


def remarks(checks: Sequence[Checked]) -> Iterator[str]:
    """Yield what a person should know of a check besides its differences."""
    empty = [str(own.partition) for own in checks if not own.rows and not own.changes]
    if empty:
        yield f"nothing was found in partition {words.listed(empty)}"
    cut = [f"{own.partition}/{own.low}" for own in checks if own.low > 0]
    if cut:
        yield (
            f"the log's records below {words.listed(cut)} are gone (retention): what was made "
            "before them cannot be checked"
        )
    unfinished = sum(own.unfinished for own in checks)
    behind = sum(own.behind for own in checks)
    if unfinished or behind:
        yield (
            f"{words.plural(behind, 'change')} and {words.plural(unfinished, 'row')} of one half "
            "written are still to come: the processor is behind, or does not run"
        )


# --- the policy ---------------------------------------------------------------------------------


def plan(made: Plan) -> RenderableType:
    """Return what a policy changes or has changed, and which partitions are to be told."""
    lines: list[RenderableType] = []
    if made.differences:
        rows = [
            [escape(cell or "–") for cell in (own.what, own.before, own.after, own.note)]
            for own in made.differences
        ]
        lines.append(table(("what", "before", "after", ""), rows))
    waiting = [str(own.partition) for own in made.steps if own.pending]
    version = f"version {made.rules.version}"
    if not made.pending:
        lines.append(
            Text(f"{version} holds in {words.plural(len(made.steps), 'partition')}", "green")
        )
    else:
        held = f" after version {made.held}" if made.held and made.document else ""
        where = ["M.policy"] if made.document else []
        where += [f"partition {words.listed(waiting)}"] if waiting else []
        lines.append(Text(f"{version}{held} is to be told to {words.listed(where)}"))
    return Group(*lines)
