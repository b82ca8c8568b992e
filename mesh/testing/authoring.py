"""Draws scripts for the simulator's handlers, each with a name of its own."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import NamedTuple

from mesh.core.budget import ZERO
from mesh.core.values import Amount, Effect, Mode, StepKind
from mesh.testing.programs import (
    Compute,
    Decide,
    Delegated,
    Keep,
    Op,
    Race,
    Raise,
    Reject,
    Script,
    Sleep,
    Spend,
    Together,
    Tool,
    Wiser,
)

SHARED_IN = 8
"""Of so many calls of the outside world one is a read of shared state, and one a write."""


class Fleet(NamedTuple):
    """What scripts may refer to."""

    capabilities: tuple[str, ...]
    agents: tuple[str, ...]


class Author:
    """Mutable: draws scripts by chance, each with a name of its own."""

    def __init__(self, random: Random, fleet: Fleet) -> None:
        self.random = random
        self.fleet = fleet
        self.scripts: dict[bytes, Script] = {}
        self._count = 0

    def write(self, depth: int) -> Script:
        """Return a script that delegates at most `depth` deep."""
        self._count += 1
        name = f"s{self._count}"
        count = self.random.choice((1, 2, 2, 3, 4, 6))
        script = Script(name, tuple(self._op(f"{name}.{place}", depth) for place in range(count)))
        self.scripts[script.input.hash] = script
        return script

    def _op(  # noqa: C901  # one case for each kind of step, nothing more
        self, uid: str, depth: int, nested: bool = False
    ) -> Op:
        random = self.random
        kinds = ["tool"] * 7 + ["spend", "spend", "decide", "keep", "sleep", "compute", "rare"]
        if depth > 0:
            kinds += ["delegate"] * 6
        if not nested:
            kinds += ["together", "together", "race", "wiser"]
        kind = random.choice(kinds)
        match kind:
            case "tool":
                return _perhaps_shared(self.tool(uid))
            case "delegate":
                return self.delegated(depth)
            case "spend":
                return Spend(Amount(micro_usd=random.randint(1, 30)), random.random() < 0.3)
            case "decide":
                return Decide(uid)
            case "keep":
                return Keep(uid)
            case "sleep":
                return Sleep(random.choice((50, 300, 900, 3_000, 6_000)))
            case "compute":
                return Compute(random.choice((1, 20, 200, 1_500)))
            case "together" | "race":
                branches = tuple(
                    tuple(
                        self._op(f"{uid}.{branch}.{place}", depth, nested=True)
                        for place in range(random.choice((1, 1, 2)))
                    )
                    for branch in range(random.choice((2, 2, 3)))
                )
                return Together(branches) if kind == "together" else Race(branches)
            case "wiser":
                return self._wiser(uid, depth)
            case _:
                return self._rare()

    def _wiser(self, uid: str, depth: int) -> Wiser:
        """Return steps that are left out, moved or joined by others after the first verdict."""
        random = self.random
        before = [self._op(f"{uid}.b{place}", depth, nested=True) for place in range(2)]
        after = [op for op in before if random.random() < 0.7]
        after.insert(random.randint(0, len(after)), self._op(f"{uid}.a", depth, nested=True))
        verdict = [Raise("at first", attempts=1)] * (random.random() < 0.6)
        return Wiser((*before, *verdict), tuple(after))

    def _rare(self) -> Op:
        random = self.random
        return random.choice(
            (
                Raise("boom"),
                Raise("at first", attempts=1),
                Raise("at first", attempts=2),
                Reject("unfit"),
                Sleep(9_000),
                Compute(3_000),
            )
        )

    def tool(self, uid: str) -> Tool:
        """Return a call of the outside world."""
        random = self.random
        reserve = Amount(micro_usd=random.choice((0, 5, 20, 60)), tokens=random.choice((0, 0, 50)))
        share = random.choice((0.0, 0.5, 1.0, 1.0))
        return Tool(
            uid=uid,
            effect=random.choice(
                (
                    Effect.KEYED,
                    Effect.KEYED,
                    Effect.KEYED,
                    Effect.IDEMPOTENT,
                    Effect.PURE,
                    Effect.COMPENSABLE,
                    Effect.IRREVERSIBLE,
                )
            ),
            reserve=reserve,
            cost=Amount(*(int(part * share) for part in reserve)),
            ms=random.choice((1, 5, 40, 300, 1_200)),
            error="ToolError" if random.random() < 0.03 else "",
            probe=random.random() < 0.8,
            kind=random.choice((StepKind.TOOL, StepKind.TOOL, StepKind.MODEL)),
            tolerate=random.random() < 0.5,
            flicker=random.random() < 0.004,
        )

    def delegated(self, depth: int) -> Delegated:
        """Return a delegation."""
        random = self.random
        mode = random.choice((Mode.DIRECT, Mode.DIRECT, Mode.AUCTION, Mode.AUCTION, Mode.NAMED))
        capability = random.choice(self.fleet.capabilities)
        nobodys = capability == self.fleet.capabilities[-1]
        return Delegated(
            capability=capability,
            script=self.write(depth - 1),
            mode=mode,
            agent=random.choice(self.fleet.agents) if mode is Mode.NAMED else "",
            grant=random.choice((None, None, None, Amount(200, 200, 8, 3, 2), ZERO)),
            timeout_ms=8_000 if nobodys else random.choice((None, None, None, 8_000, 2_500)),
            from_attempt=random.choice((0, 0, 0, 1, 2)),
            tolerate=random.random() < 0.6,
        )


def _perhaps_shared(tool: Tool) -> Tool:
    """Return some calls of the outside world as reads and writes of shared state instead.

    Which ones is drawn from what was drawn already, so that the rest of a seed stays as it was.
    """
    lot = sha256(repr(tool).encode()).digest()[0] % SHARED_IN
    if lot > 1:
        return tool
    free = tool._replace(reserve=ZERO, cost=ZERO, probe=False, flicker=False)
    if lot:
        return free._replace(kind=StepKind.WRITE, effect=Effect.KEYED)
    return free._replace(kind=StepKind.READ, effect=Effect.PURE)
