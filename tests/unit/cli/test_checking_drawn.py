"""Drawn histories: the check accuses nobody wrongly, and finds what was forged."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from mesh.cli.checking import Checked, verify
from mesh.cli.keeping import StateReader
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Entry, Write
from mesh.ports import Place
from mesh.wire.state import decode_kept
from tests.unit.cli.shared_world import CHANGES, PARTITIONS, STATE, SharedWorld
from tests.unit.cli.test_keeping import reading

KEYS = [f"{group}/{name}" for group in "ab" for name in "xyz"]
RULES = [
    Rule("*", Resolution.REJECT),
    Rule("*", Resolution.MERGE, "max"),
    Rule("*", Resolution.ARBITRATE),
]


class Drawn(SharedWorld):
    """Mutable: a world in which anything may happen."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = Random(seed)
        self._version = 0
        self.draw_rules()
        for _ in range(self.random.randrange(5, 60)):
            self.random.choices(
                (self.draw_change, self.draw_rules, self.draw_settlement, self.draw_late_row),
                (84, 5, 8, 3),
            )[0]()
            if self.random.random() < 0.6:
                self.process()
        if self.random.random() < 0.8:
            self.process()

    def version(self, key: str) -> int:
        entry = self.views[self.home(key)].entries.get(key)
        return entry.version if entry is not None else 0

    def draw_rules(self) -> None:
        self._version += self.random.choice((0, 1)) if self._version else 1
        self.adopt(Rules(self._version, ("risk", "cost"), (self.random.choice(RULES),)))

    def draw_change(self) -> None:
        key = self.random.choice(KEYS)
        behind = self.random.choice((-1, 0, 0, 0, 0, 1, 2, 3))
        value = self.random.choice((b"1", b"2", b"3", None))
        also = []
        if self.random.random() < 0.2:
            other = self.random.choice([own for own in KEYS if own[0] == key[0] and own != key])
            also = [Write(other, self.version(other), value)]
        self.write(
            self.random.choice("pq"),
            max(0, self.version(key) - behind),
            value,
            key=key,
            objective=self.random.choice(("risk", "cost", "")),
            also=also,
            change=self.random.choice(("", "", "", "c1", "c2")),
        )

    def draw_settlement(self) -> None:
        key = self.random.choice(KEYS)
        self.settle(self.version(key), self.random.choice((b"4", None)), key=key)

    def draw_late_row(self) -> None:
        """Let a worker that was replaced write an old row again; the owner writes the latest."""
        rows = self.broker.records(STATE)
        if not rows:
            return
        old = self.random.choice(rows)
        kept = decode_kept(old.value)
        self.put(kept, old.partition)
        view = self.views[old.partition]
        self.put(view.entries[kept.key] if isinstance(kept, Entry) else view.rules, old.partition)

    def draw_retention(self) -> None:
        """Take the beginning of the log, as far as it was judged."""
        for partition in range(PARTITIONS):
            through = max(0, self.views[partition].through)
            self.broker.trim(Place(CHANGES, partition), self.random.randint(0, through))

    def check(self) -> list[Checked]:
        async def work(reader: StateReader) -> list[Checked]:
            return await verify(reader)

        found: list[Checked] = reading(self.broker, work)
        return found


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_a_view_that_follows_is_never_accused_and_a_forged_row_is_found(
    seed: int, *, cut: bool
) -> None:
    world = Drawn(seed)
    if cut:
        world.draw_retention()
    if world.random.random() < 0.5:
        world.broker.compact(STATE)
    assert [own.differences for own in world.check()] == [(), ()]
    current = [
        (partition, entry)
        for partition, view in enumerate(world.views)
        for entry in view.entries.values()
    ]
    if cut or not current:
        return
    partition, entry = world.random.choice(current)
    world.put(replace(entry, value=b"999"), partition)
    world.broker.compact(STATE)
    (difference,) = [found for own in world.check() for found in own.differences]
    assert (difference.key, difference.version) == (entry.key, entry.version)
