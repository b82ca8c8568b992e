"""Inner ceilings: what a block of a handler may spend, whatever the task still has.

They need no step of their own, for a replay counts the same. What a block reserves for tools and
grants to others counts in full, also where less was used in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, Token
from types import TracebackType

from mesh.core.values import Amount
from mesh.errors import BudgetExceeded, UsageError
from mesh.runtime.quantities import Budget, parse_budget

UNSAID = -1
"""A dimension of a grant of which the author said nothing: the core's default applies."""


class Ceiling(AbstractAsyncContextManager["Ceiling"]):
    """Mutable: what may still be spent within a block, in the dimensions that it limits."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._left = dict(limits)
        self._outer: Ceiling | None = None
        self._token: Token[Ceiling | None] | None = None

    def __repr__(self) -> str:
        return f"Ceiling(left={self._left})"

    async def __aenter__(self) -> Ceiling:
        if self._token is not None:
            raise UsageError("a ceiling is entered once")
        self._outer = CEILING.get()
        self._token = CEILING.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        assert self._token is not None
        CEILING.reset(self._token)

    def left(self, dimension: str) -> int | None:
        """Return what is left of a dimension here and in the blocks around, None if unlimited."""
        own = self._left.get(dimension)
        outer = None if self._outer is None else self._outer.left(dimension)
        if own is None or outer is None:
            return own if outer is None else outer
        return min(own, outer)

    def charge(self, amount: Amount, sign: int = 1) -> None:
        """Take `amount` off, here and in the blocks around; with `sign` -1 give it back."""
        for dimension in self._left:
            self._left[dimension] -= sign * getattr(amount, dimension)
        if self._outer is not None:
            self._outer.charge(amount, sign)

    def check(self, amount: Amount) -> None:
        """Refuse what does not fit.

        Raises:
            BudgetExceeded: It names the dimension.
        """
        for dimension, asked in amount._asdict().items():
            free = self.left(dimension)
            if free is not None and asked > free:
                raise BudgetExceeded(dimension, asked=asked, free=free)


CEILING: ContextVar[Ceiling | None] = ContextVar("mesh_ceiling", default=None)


class Charge:
    """Counts an amount against the block's ceiling; gives it back if the core refused it."""

    __slots__ = ("_amount", "_ceiling")

    def __init__(self, amount: Amount) -> None:
        self._amount = amount
        self._ceiling = CEILING.get()

    def __enter__(self) -> None:
        if self._ceiling is not None:
            self._ceiling.check(self._amount)
            self._ceiling.charge(self._amount)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        if self._ceiling is not None and isinstance(problem, BudgetExceeded):
            self._ceiling.charge(self._amount, -1)


def grant_within(budget: Budget | None, ceiling: Ceiling | None) -> Amount:
    """Return what a delegation hands down, and count it: half of what is left if nothing is said.

    Raises:
        BudgetExceeded: The block has not so much left.
        UsageError: The budget is malformed.
    """
    unsaid = Amount(UNSAID, UNSAID, UNSAID, UNSAID, UNSAID)
    grant = parse_budget(budget or {}, unsaid, "budget")
    if not any((grant.micro_usd, grant.tokens, grant.tool_calls)):
        raise UsageError("budget: it is zero: nothing may be spent")
    if ceiling is None:
        return grant
    said = {}
    for dimension, asked in grant._asdict().items():
        left = ceiling.left(dimension)
        if left is not None and asked == UNSAID:
            said[dimension] = left // 2
    grant = grant._replace(**said)
    counted = Amount(*(max(0, part) for part in grant))
    ceiling.check(counted)
    ceiling.charge(counted)
    return grant
