from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from mesh.cli import state_picture as picture
from mesh.cli.checking import Checked
from mesh.cli.differing import Changed
from mesh.cli.policies import Held, plan
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Write
from mesh.wire.policies import parse
from tests.unit.cli.shared_world import ACME, ARBITRATE, REJECT, STATE, SharedWorld, contested
from tests.unit.cli.test_histories import history
from tests.unit.cli.test_policies import RULES, TEXT, held
from tests.unit.cli.test_state_shapes import CHECKED


def drawn(picture: RenderableType) -> str:
    console = Console(width=200, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(picture)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


CONFLICT = f"""\
suppliers/acme  version 2, 3 proposals, partition {{home}}

  {{home}}/0  2025-11-21T04:40:0{{first}}.000Z  eve changes the rule here
    to reject (under suppliers/), by version 1 of the rules
    because it must be

  {{home}}/1  2025-11-21T04:40:03.000Z  ann  accepted as version 1
    wrote {{{{"risk": "low"}}}} where nothing was, in task 3-ann
    because ann says so

  {{home}}/2  2025-11-21T04:40:04.000Z  ann  accepted as version 2
    wrote {{{{"risk": "high"}}}} over version 1, in task 3-ann
    because ann says so
    won against {{home}}/3, bob in task 3-bob: {ACME}: version 1 was expected, and ann wrote \
version 2 in task 3-ann; under suppliers/ conflicts are rejected

  {{home}}/3  2025-11-21T04:40:05.000Z  bob  refused, a conflict
    wanted {{{{"risk": "none"}}}} over version 1, in task 3-bob
    because bob says so
    verdict: {ACME}: version 1 was expected, and ann wrote version 2 in task 3-ann; under \
suppliers/ conflicts are rejected
    rule: reject (under suppliers/)
    lost to {{home}}/2, ann in task 3-ann"""


def test_a_conflict_from_both_sides() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b'{"risk":"low"}')
    world.write("ann", 1, b'{"risk":"high"}')
    world.write("bob", 1, b'{"risk":"none"}')
    world.process()
    home = world.home()
    lines = drawn(picture.history(history(world)))
    wrapped = " ".join(lines.split())
    golden = CONFLICT.format(home=home, first=home + 1)
    assert wrapped == " ".join(golden.split())


PREFERRED = """\
  {home}/1  2025-11-21T04:40:03.000Z  ann  accepted as version 1
    wrote 1 where nothing was, for cost, in task 3-ann
    because ann says so
    lost to {home}/2, bob in task 3-bob: risk comes before cost

  {home}/2  2025-11-21T04:40:04.000Z  bob  preferred as version 2
    wrote 2 where nothing was, for risk, in task 3-bob
    because bob says so
    verdict: risk comes before cost
    rule: arbitrate (under suppliers/)
    won against {home}/1, ann in task 3-ann"""


def test_an_arbitration_from_both_sides() -> None:
    world = SharedWorld()
    world.adopt(ARBITRATE)
    world.write("ann", 0, b"1", objective="cost")
    world.write("bob", 0, b"2", objective="risk")
    world.process()
    assert PREFERRED.format(home=world.home()) in drawn(picture.history(history(world)))


def test_contests_settlements_merges_and_repeats() -> None:
    world = contested()
    world.settle(2, None)
    world.settle(2, None)
    lines = drawn(picture.history(history(world)))
    home = world.home()
    assert f"contested by {home}/2, bob in task 3-bob: {ACME} is contested: both serve" in lines
    assert "bob  contested in version 2" in lines
    assert f"contests {home}/1, ann in task 3-ann\n" in lines
    assert "eve  settled as version 3\n    deleted it over version 2\n" in lines
    assert "eve  settled as version 3, sent again and answered as before\n" in lines
    assert "M.state still has version 2: the processor is behind, or does not run" in lines
    world = SharedWorld()
    world.adopt(Rules(1, (), (Rule("*", Resolution.MERGE, "max"),)))
    world.write("ann", 0, b"1")
    world.write("bob", 0, b"2", also=[Write("suppliers/b", 0, b"1")])
    world.write("bob", 9, b"2")
    lines = drawn(picture.history(history(world)))
    assert "bob  merged into version 2" in lines
    assert "together with suppliers/b" in lines
    assert f"merged with {home}/1, ann in task 3-ann" in lines
    assert f"merged with {home}/2, bob in task 3-bob: merged by max with version 1" in lines
    assert "bob  refused\n" in lines
    assert f"verdict: {ACME} has no version 9; its latest is 2" in lines
    assert "M.state still has nothing" in lines


def test_a_story_without_its_beginning() -> None:
    world = contested()
    world.settle(2, b"4")
    world.process()
    world.trim(3)
    home = world.home()
    lines = drawn(picture.history(history(world)))
    assert f"the log's records below {home}/3 are gone (retention)" in lines
    assert 'version 2 stood then: {"risk": "low"} by ann' in lines
    world.write("bob", 3, b"5")
    world.process()
    world.broker.compact(STATE)
    lines = drawn(picture.history(history(world)))
    assert "stood then" not in lines


def test_what_was_not_judged() -> None:
    world = contested()
    world.write("ann", 1, b"4", objective="cost")
    world.settle(2, b"5")
    world.process()
    world.trim(3)
    world.broker.compact(STATE)
    lines = drawn(picture.history(history(world)))
    assert "ann  not judged" in lines
    assert "verdict: what it met lies before the log's beginning (retention)" in lines


def test_entries_as_a_table() -> None:
    entry = replace(contested().entry(), value=b'["[bold]"]')
    lines = drawn(picture.entries([entry], wide=False))
    assert '["[bold]"]' in lines, "what an agent wrote is no markup"
    assert "contested by 1" in lines
    assert "serves" not in lines
    wide = drawn(picture.entries([replace(entry, candidates=())], wide=True))
    assert "3-ann" in wide
    assert "contested by" not in wide


def test_one_entry() -> None:
    entry = contested().entry()
    lines = drawn(picture.one(entry, 1))
    assert f"{ACME}  version 2  contested\n" in lines
    assert "by        ann (ann.1) in task 3-ann of 3-0a\n" in lines
    assert "at        2025-11-21T04:40:04.000Z, change 1/2\n" in lines
    assert 'take 1    {"risk": "high"}  by bob for risk, because bob says so\n' in lines
    assert f"mesh state settle {ACME} --take N --because …" in lines
    world = contested()
    world.settle(2, None)
    world.process()
    lines = drawn(picture.one(world.entry(), 1))
    assert f"{ACME}  version 3  settled\n  value     deleted\n  by        eve (a person)\n" in lines
    assert "take" not in lines


def test_an_entry_as_it_comes() -> None:
    entry = contested().entry()
    line = picture.line(entry, None)
    assert f'{ACME}  version 2, contested by 1  {{"risk": "low"}}  by ann: ann says so' in line
    line = picture.line(replace(entry, candidates=(), because=""), replace(entry, value=None))
    assert line.endswith('version 2  deleted → {"risk": "low"}  by ann')


def test_differences() -> None:
    entry = contested().entry()
    before = replace(entry, version=1, value=b'{"risk":"none","x":1}')
    found = [
        Changed(key=ACME, before=before, after=entry),
        Changed(key="b", before=None, after=replace(entry, value=b"1", candidates=())),
        Changed(key="c", before=None, after=entry, known=False),
    ]
    lines = drawn(picture.changed(found))
    assert f"{ACME}  version 1 → version 2\n" in lines
    assert '    /risk: "none" → "low"\n    /x: 1 → nothing\n' in lines
    assert "b  nothing → version 2\n" in lines
    assert "    nothing → 1\n" in lines
    assert "c  what is not known (retention) → version 2\n" in lines


def test_the_check() -> None:
    empty = replace(CHECKED, partition=0, low=0, rows=0, changes=0, through=-1, differences=())
    checks: list[Checked] = [empty, replace(CHECKED, unfinished=2)]
    lines = drawn(picture.verified("test.state", "test.changes", checks, 50))
    assert (
        "test.state: 2 entries equal what 7 records of test.changes make, 1 difference\n" in lines
    )
    assert "nothing was found in partition 0\n" in lines
    assert "the log's records below 1/2 are gone (retention)" in lines
    assert "2 changes and 2 rows of one half written are still to come" in lines
    assert "value 1, not 2" in lines
    lines = drawn(picture.verified("v", "l", checks, 0))
    assert "and 1 more; -o json has them all" in lines


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (held("", Rules(0)), "version 2 is to be told to M.policy and partition 0"),
        (held(TEXT, RULES, Rules(1)), "version 2 is to be told to partition 1"),
        (held("", RULES), "version 2 is to be told to M.policy"),
        (held("version = 1", Rules(1)), "version 2 after version 1 is to be told to M.policy and"),
        (held(TEXT, RULES), "version 2 holds in 1 partition"),
    ],
)
def test_a_plan(before: Held, said: str) -> None:
    made = plan(parse(TEXT, "here"), before)
    lines = drawn(picture.plan(made))
    assert said in lines
    assert ("merge by max" in lines) == made.document
    after = drawn(picture.plan(made.done()))
    assert f"version 2 holds in {len(before.partitions)} partition" in after
    assert ("merge by max" in after) == made.document
