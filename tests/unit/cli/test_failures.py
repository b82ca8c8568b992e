from __future__ import annotations

import pytest

from mesh import errors as e
from mesh.cli.failures import CommandError, Exit, exit_code, not_found, one_line, timed_out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (e.UsageError("x"), 2),
        (e.DefinitionError("x"), 2),
        (e.InputRejected("x"), 2),
        (e.Unreachable("x"), 3),
        (timed_out("x"), 3),
        (e.WrongTopic("x"), 4),
        (not_found("x"), 4),
        (e.VerificationFailed("x"), 5),
        (e.TaskFailed("x"), 6),
        (e.NotPermitted("x"), 7),
        (KeyboardInterrupt(), 130),
        (e.TransportError("x"), 1),
        (ValueError("x"), 1),
        (CommandError("x", Exit.FAILED), 6),
    ],
)
def test_each_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_a_failure_is_one_line() -> None:
    assert one_line(e.UsageError("what\n  and why")) == "what and why"
    text = one_line(ValueError("odd\nin two lines"))
    assert "\n" not in text
    assert text.startswith("ValueError: odd in two lines")
    assert "MESH_DEBUG=1" in text
