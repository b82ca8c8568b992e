"""`mesh state`: shared state, how it came to be, and whether it follows from the log."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import CommandError, Exit, not_found
from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.cli.differing import Changed
    from mesh.cli.keeping import Replica, StateReader
    from mesh.cli.settling import Word

EXAMPLES_GET = """
mesh state get                        every entry
mesh state get suppliers/             those under a prefix
mesh state get suppliers/acme         one, with the values that contest it
"""
EXAMPLES_HISTORY = """
mesh state history suppliers/acme     who proposed what, and why which one won
"""
EXAMPLES_WATCH = """
mesh state watch suppliers/
mesh state watch -o jsonl | jq .
"""
EXAMPLES_DIFF = """
mesh state diff suppliers/acme                    its last version and the one before
mesh state diff suppliers/acme --from 3 --to 7    two of its versions
mesh state diff suppliers/ --since 10m            what changed under a prefix
mesh state diff --since 2026-03-01T08:00:00Z --until 2026-03-01T09:00:00Z
"""
EXAMPLES_SETTLE = """
mesh state settle suppliers/acme --take 1 --because "the auditor's figure is newer"
mesh state settle suppliers/acme --value '{"risk": "high"}' --because "neither was right"
"""
EXAMPLES_VERIFY = """
mesh state verify
mesh state verify -o json
"""
SHOWN = 50
"""Differences in a table; JSON has them all."""
Target = Annotated[
    str,
    typer.Argument(metavar="KEY|PREFIX", help="A key, or a prefix of keys.", show_default="all"),
]
Key = Annotated[str, typer.Argument(metavar="KEY")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    command(group, "get", examples=EXAMPLES_GET)(get)
    command(group, "history", examples=EXAMPLES_HISTORY)(history)
    command(group, "watch", examples=EXAMPLES_WATCH)(watch)
    command(group, "diff", examples=EXAMPLES_DIFF)(diff)
    command(group, "settle", examples=EXAMPLES_SETTLE)(settle)
    command(group, "verify", examples=EXAMPLES_VERIFY)(verify)
    app.add_typer(group, name="state", short_help="Look at shared state, settle it, check it.")
    group.callback()(_group)


def _group() -> None:
    """Look at shared state: what it is, how it came to be, and whether it follows from the log."""


@asynccontextmanager
async def _reading(session: Session, *, writes: bool = False) -> AsyncIterator[StateReader]:
    from mesh.cli.keeping import StateReader
    from mesh.cli.reading import connected

    config, out = session.config(), session.out
    async with connected(config, out, writes=writes) as log:
        yield StateReader(log, config, out)


# --- get ----------------------------------------------------------------------------------------


def get(
    session: Session,
    target: Target = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Show deleted keys, too.")] = False,
) -> None:
    """Show the latest entries: value, version, who wrote it, when and why; and what is contested.

    One key is shown with all that is known of it.
    """
    session.run(_get(session, target, deleted=deleted))


async def _get(session: Session, target: str, *, deleted: bool) -> None:
    from mesh.cli import state_picture, state_shapes

    config, out = session.config(), session.out
    async with _reading(session) as reader, out.waiting(reader.progress):
        replica = await reader.replica(target)
        every = replica if replica.entries else await reader.replica()
    found = [
        (own, replica.homes[own.key])
        for _, own in sorted(replica.entries.items())
        if deleted or own.value is not None or own.key == target
    ]
    if not found and target:
        raise _nothing(target, every, config.mesh)
    if not found:
        out.say(f"shared state of {config.mesh} is empty")
    shapes = [state_shapes.entry(*own) for own in found]
    if len(found) == 1 and found[0][0].key == target:
        out.data(shapes, lambda: state_picture.one(*found[0]))
        return
    out.data(shapes, lambda: state_picture.entries([own for own, _ in found], wide=out.is_wide))


def _nothing(target: str, every: Replica, mesh: str) -> CommandError:
    near = get_close_matches(target, every.entries, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`mesh state get` lists what is there"
    return not_found(f"nothing is under {target} in {mesh}; {hint}")


# --- history ------------------------------------------------------------------------------------


def history(session: Session, key: Key) -> None:
    """Tell every proposal for a key: who, what it expected, the verdict, and why.

    The log is judged again from its beginning, so both sides of a conflict are seen.
    """
    session.run(_history(session, key))


async def _history(session: Session, key: str) -> None:
    from mesh.cli import state_picture, state_shapes
    from mesh.cli.histories import read_history

    config, out = session.config(), session.out
    async with _reading(session) as reader, out.waiting(reader.progress):
        told = (await read_history(reader, key)).history()
        if not told.events and told.kept is None:
            raise _nothing(key, await reader.replica(), config.mesh)
    out.data(state_shapes.history(told), lambda: state_picture.history(told))


# --- watch --------------------------------------------------------------------------------------


def watch(
    session: Session,
    target: Target = "",
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", min=0, help="End after so many.")
    ] = 0,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the entries that are there.")
    ] = False,
) -> None:
    """Show entries as they are written, each with the value before."""
    session.run(_watch(session, target, count, from_start=from_start))


async def _watch(session: Session, target: str, count: int, *, from_start: bool) -> None:
    from contextlib import aclosing

    from mesh.cli import state_picture, state_shapes
    from mesh.cli.keeping import Replica
    from mesh.core.shared import Entry

    config, out = session.config(), session.out
    async with _reading(session) as reader:
        async with out.waiting(reader.progress):
            known = Replica() if from_start else await reader.replica(target)
            ends = await reader.ends(reader.state)
        start = {partition: known.ends.get(partition, 0) for partition in ends}
        out.say(f"{config.mesh} at {config.bootstrap}: {len(ends)} partitions; Ctrl-C ends it")
        shown = 0
        async with aclosing(reader.follow(start, target)) as rows:
            async for row in rows:
                kept = row.kept
                if not isinstance(kept, Entry):
                    continue
                before = known.entries.get(kept.key)
                if not known.see(row):
                    continue  # a processor that was replaced wrote on
                shape = state_shapes.entry(kept, row.partition)
                style = "yellow" if kept.contested else "default"
                out.item(shape, state_picture.line(kept, before), style)
                shown += 1
                if shown == count:
                    return


# --- diff ---------------------------------------------------------------------------------------


def diff(
    session: Session,
    target: Target = "",
    first: Annotated[
        int | None, typer.Option("--from", metavar="N", min=0, help="A version of the key.")
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--to", metavar="N", min=1, help="A later one.", show_default="the latest"),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="10m ago, or a time like 2026-03-01T08:00:00Z.")
    ] = "",
    until: Annotated[
        str, typer.Option(metavar="TIME", help="As --since.", show_default="now")
    ] = "",
) -> None:
    """Show what changed: between two versions of a key, or between two times under a prefix."""
    if since or until:
        if first is not None or last is not None:
            raise UsageError("give two times (--since, --until) or two versions (--from, --to)")
        if not since:
            raise UsageError("--until: give --since, too: the time to compare with")
        session.run(_diff_times(session, target, since, until))
        return
    if not target:
        raise UsageError("name a key, or say from when: --since 10m")
    session.run(_diff_versions(session, target, first, last))


async def _diff_times(session: Session, target: str, since: str, until: str) -> None:
    from mesh.cli.differing import between, parse_moment
    from mesh.wire.headers import format_time

    out = session.out
    now_ms = int(time.time() * 1_000)
    since_ms = parse_moment(since, now_ms, "--since")
    until_ms = parse_moment(until, now_ms, "--until") if until else None
    if until_ms is not None and until_ms < since_ms:
        raise UsageError(f"--until: {until} lies before --since {since}")
    async with _reading(session) as reader, out.waiting(reader.progress):
        found, gone = await between(reader, target, since_ms, until_ms)
        homes = {own.key: await reader.home(own.key) for own in found}
    for own in gone:
        out.complain(
            f"the log's records below {own.partition}/{own.low} are gone (retention): there the "
            f"comparison begins at {format_time(max(own.begins_ms, 0))}"
        )
    if not found:
        out.say(f"nothing changed{f' under {target}' if target else ''}")
    _show_changed(session, found, homes)


async def _diff_versions(session: Session, key: str, first: int | None, last: int | None) -> None:
    from mesh.cli.differing import Changed
    from mesh.cli.histories import read_history

    config, out = session.config(), session.out
    async with _reading(session) as reader, out.waiting(reader.progress):
        historian = await read_history(reader, key)
        versions = historian.versions
        if not versions:
            near = await reader.replica(key)
            if near.entries:
                raise UsageError(f"{key} is a prefix, which has no versions; give --since 10m")
            raise _nothing(key, await reader.replica(), config.mesh)
    to = max(versions) if last is None else last
    start = to - 1 if first is None else first
    if start >= to:
        raise UsageError(f"--from: {start} is not before version {to}")
    for number in (start, to):
        if number and number not in versions:
            low, high = min(versions), max(versions)
            raise not_found(f"{key} has no version {number} in the log; there are {low} to {high}")
    pair = Changed(key=key, before=versions.get(start), after=versions[to])
    _show_changed(session, [pair], {key: historian.partition})


def _show_changed(session: Session, found: list[Changed], homes: dict[str, int]) -> None:
    from mesh.cli import state_picture, state_shapes

    shapes = [state_shapes.changed(own, homes[own.key]) for own in found]
    session.out.data(shapes, lambda: state_picture.changed(found))


# --- settle -------------------------------------------------------------------------------------


def settle(
    session: Session,
    key: Key,
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, in words; it stands in the log.")
    ],
    take: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="One of its values, as `mesh state get` counts."),
    ] = None,
    value: Annotated[
        str, typer.Option(metavar="JSON", help="Another value: JSON, @FILE or -.")
    ] = "",
) -> None:
    """Settle an entry that is contested: one of its values holds, or another one.

    Waits until the view shows it, for at most --timeout. Exit code 6 if the entry got another
    version first.
    """
    from mesh.cli.asking import read_input
    from mesh.cli.ordering import person, reason
    from mesh.cli.settling import Word, json_value

    if (take is None) == (not value):
        raise UsageError("say which value holds: --take N, or --value JSON")
    word = Word(
        key=key,
        take=take,
        value=json_value(read_input(value)) if value else None,
        person=person(),
        because=reason(because),
    )
    session.run(_settle(session, word))


async def _settle(session: Session, word: Word) -> None:
    from mesh.cli import state_picture, state_shapes
    from mesh.cli.settling import settle as settled

    config, out = session.config(), session.out
    what = f"the processor judges the settlement of {word.key}"
    async with _reading(session, writes=True) as reader, out.waiting(what):
        done = await settled(
            reader, word, config.timeout_s, lambda where: out.say(f"proposed at {where}")
        )
    partition = int(done.where.partition("/")[0])
    shape = state_shapes.entry(done.entry, partition)
    out.data(shape, lambda: state_picture.one(done.entry, partition))


# --- verify -------------------------------------------------------------------------------------


def verify(session: Session) -> None:
    """Rebuild the view from the log, and compare it entry by entry.

    The log is judged from its beginning to the offset that the view names. Exit code 5 if they
    differ; each difference names its coordinates in both.
    """
    session.run(_verify(session))


async def _verify(session: Session) -> None:
    from mesh.cli import state_picture, state_shapes
    from mesh.cli.checking import verify as check

    out = session.out
    async with _reading(session) as reader:
        async with out.waiting(reader.progress):
            checks = await check(reader)
        view, log = reader.state, reader.changes
    shape = state_shapes.verified(view, log, checks)
    out.data(shape, lambda: state_picture.verified(view, log, checks, SHOWN))
    if not shape["holds"]:
        raise CommandError(
            f"{len(shape['differences']):,} differences between {view} and what {log} makes; the "
            "view must not be trusted",
            Exit.NOT_VERIFIED,
        )
