from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.values import Amount
from mesh.errors import UsageError
from mesh.runtime.quantities import (
    MAX_INTEGER,
    parse_budget,
    parse_count,
    parse_duration,
    parse_usd,
)


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("30s", 30_000),
        ("250ms", 250),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        (7, 7_000),
        (timedelta(milliseconds=1.9), 1),
    ],
)
def test_durations(written: object, milliseconds: int) -> None:
    assert parse_duration(written, "timeout") == milliseconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "30",
        "s",
        "1.5s",
        "-1s",
        "0s",
        "1y",
        "1m ",
        0,
        -1,
        1.5,
        True,
        None,
        timedelta(0),
        "9" * 12 + "d",
    ],
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(UsageError, match=r"^timeout: "):
        parse_duration(written, "timeout")


@given(st.integers(0, MAX_INTEGER))
def test_money_is_exact(micro: int) -> None:
    written = f"{micro // 10**6}.{micro % 10**6:06d}"
    assert parse_usd(written, "usd") == parse_usd(Decimal(written), "usd") == micro


def test_whole_dollars() -> None:
    assert parse_usd(3, "usd") == parse_usd("3.00", "usd") == parse_usd("3e0", "usd") == 3_000_000


@pytest.mark.parametrize(
    "written",
    [0.5, True, None, "", "much", "NaN", "Infinity", "-0.01", "0.0000001", "1e30", "1e99999"],
)
def test_what_is_no_money(written: object) -> None:
    with pytest.raises(UsageError, match=r"^usd: "):
        parse_usd(written, "usd")


@pytest.mark.parametrize("written", [-1, True, 1.0, "1", MAX_INTEGER + 1])
def test_what_is_no_count(written: object) -> None:
    with pytest.raises(UsageError, match=r"^tokens: "):
        parse_count(written, "tokens")


def test_budget_fills_what_is_left_out() -> None:
    rest = Amount(1, 2, 3, 4, 5)
    assert parse_budget({}, rest, "budget") == rest
    whole = {"usd": "0.5", "tokens": 6, "tool_calls": 7, "hops": 8, "attempts": 9}
    assert parse_budget(whole, rest, "budget") == Amount(500_000, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("budget", "words"),
    [({"euro": 1}, "'euro' is none of usd"), ({"usd": 0.1}, "budget.usd"), ([], "mapping")],
)
def test_what_is_no_budget(budget: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_budget(budget, Amount(), "budget")
