from __future__ import annotations

import getpass

import pytest

from mesh.cli.ordering import person, reason
from mesh.errors import UsageError


def test_who_and_why() -> None:
    assert person() == getpass.getuser()
    assert reason("  ordered twice ") == "ordered twice"


def test_a_reason_says_something_and_is_not_a_book() -> None:
    with pytest.raises(UsageError, match="say why"):
        reason(" ")
    assert len(reason("x" * 2_000)) == 2_000
    with pytest.raises(UsageError, match="at most 2000 characters"):
        reason("x" * 2_001)


def test_who_has_a_number_alone_is_named_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 3_999_999_999)
    assert person() == "user-3999999999"
