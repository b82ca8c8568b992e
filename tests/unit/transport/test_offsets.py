from __future__ import annotations

import pytest

from mesh.errors import WrongTopic
from mesh.transport.offsets import resolve

KNOWN = {0: (10, 20), 1: (0, 0)}


def test_none_is_the_end_and_what_is_gone_is_passed_over() -> None:
    starts, ends = resolve("t", {0: None, 1: 0}, KNOWN, "here")
    assert (starts, ends) == ({0: 20, 1: 0}, {0: 20, 1: 0})
    assert resolve("t", {0: 3}, KNOWN, "here") == ({0: 10}, {0: 20})
    assert resolve("t", {0: 15}, KNOWN, "here") == ({0: 15}, {0: 20})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(WrongTopic, match="topic t is not at here; create it by"):
        resolve("t", {0: 0}, {}, "here")
    with pytest.raises(WrongTopic, match="has 2 partitions, there is none numbered 2, 7"):
        resolve("t", {7: 0, 2: 0}, KNOWN, "here")
