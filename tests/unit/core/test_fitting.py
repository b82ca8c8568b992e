"""What fits, and what is said of what does not."""

from __future__ import annotations

import pytest

from mesh.core.fitting import too_large, unfit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "agent has 0 characters, 1 to 3 are allowed"),
        ("abcd", "agent has 4 characters, 1 to 3 are allowed"),
        ("\ud800", "agent holds half of a surrogate pair, which is no text"),
        ("äöü", ""),
        ("abc", ""),
    ],
)
def test_a_text(text: str, said: str) -> None:
    assert unfit([("task", "t", 0, 9), ("agent", text, 1, 3)]) == said


def test_a_value() -> None:
    assert too_large([None, b"123"], 3) == ""
    assert too_large([None, b"123", b"1234"], 3) == "a value has 4 bytes, 3 are allowed"
