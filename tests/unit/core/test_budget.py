"""Amounts and purses."""

from __future__ import annotations

from mesh.core.budget import ZERO, Purse, add, fits, half, lacking, subtract
from mesh.core.values import Amount

SOME = Amount(5, 4, 3, 2, 1)


def test_amounts_add_and_subtract_by_dimension() -> None:
    assert add(SOME, SOME) == Amount(10, 8, 6, 4, 2)
    assert subtract(SOME, SOME) == ZERO


def test_an_amount_fits_if_every_dimension_does() -> None:
    assert fits(SOME, SOME)
    for place in range(5):
        above = Amount(*(part + (place == at) for at, part in enumerate(SOME)))
        below = Amount(*(-1 if place == at else 0 for at in range(5)))
        assert not fits(above, SOME)
        assert not fits(below, SOME)


def test_what_lacks_is_named() -> None:
    assert lacking(SOME, SOME) == ""
    assert lacking(Amount(tokens=5), SOME) == "tokens"
    assert lacking(Amount(hops=-1), SOME) == "hops"


def test_half_is_never_nothing() -> None:
    assert half(Amount(11, 1, 0, 5, 2)) == Amount(5, 1, 1, 2, 1)


def test_a_purse_conserves() -> None:
    purse = Purse(Amount(100, 100, 100, 100, 100))
    purse.reserve(SOME)
    purse.settle(SOME, Amount(micro_usd=1))
    purse.reserve(SOME)
    purse.grant(Amount(10, 10, 10, 10, 10))
    assert purse.balanced()
    purse.take_back(Amount(10, 10, 10, 10, 10), SOME)
    purse.charge()
    assert purse.balanced()
    assert purse.spent == Amount(11, 8, 6, 5, 2)
    purse.close(purse.spent)
    assert purse.balanced()
    purse.fee(Amount(micro_usd=90))
    assert not purse.balanced(), "more was spent than was free"
    purse.spent = ZERO
    assert not purse.balanced()
