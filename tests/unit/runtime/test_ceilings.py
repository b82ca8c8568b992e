from __future__ import annotations

import pytest

from mesh.core.values import Amount
from mesh.errors import BudgetExceeded, UsageError
from mesh.runtime.ceilings import CEILING, UNSAID, Ceiling, Charge, grant_within


async def test_what_is_left_is_the_least_of_all_blocks() -> None:
    async with Ceiling({"micro_usd": 10}) as outer:
        async with Ceiling({"micro_usd": 50, "tokens": 5}) as inner:
            assert (inner.left("micro_usd"), inner.left("tokens"), inner.left("hops")) == (
                10,
                5,
                None,
            )
            inner.charge(Amount(4, 2))
            assert (inner.left("micro_usd"), outer.left("micro_usd")) == (6, 6)
            with pytest.raises(BudgetExceeded, match="micro_usd: asked for 7, free is 6"):
                inner.check(Amount(7))
        assert CEILING.get() is outer
        assert repr(outer) == "Ceiling(left={'micro_usd': 6})"
    assert CEILING.get() is None


async def test_charge_is_given_back_only_if_it_was_refused() -> None:
    async with Ceiling({"tokens": 10}) as ceiling:
        with Charge(Amount(tokens=3)):
            pass
        with pytest.raises(ValueError, match="x"), Charge(Amount(tokens=3)):
            raise ValueError("x")
        with pytest.raises(BudgetExceeded), Charge(Amount(tokens=3)):
            raise BudgetExceeded("tokens", asked=3, free=0)
        assert ceiling.left("tokens") == 4
    with Charge(Amount(tokens=10**9)):
        pass


async def test_grants() -> None:
    assert grant_within({"usd": "0.000007"}, None) == Amount(7, *[UNSAID] * 4)
    async with Ceiling({"tokens": 10}) as ceiling:
        assert grant_within(None, ceiling) == Amount(UNSAID, 5, UNSAID, UNSAID, UNSAID)
        assert ceiling.left("tokens") == 5
        assert grant_within({"tokens": 5}, ceiling).tokens == 5
        with pytest.raises(BudgetExceeded):
            grant_within({"tokens": 1}, ceiling)
        with pytest.raises(UsageError):
            grant_within({"token": 1}, ceiling)  # type: ignore[arg-type]  # a typo
