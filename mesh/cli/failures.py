"""What a failure means at the command line: one line on stderr, and an exit code."""

from __future__ import annotations

from enum import IntEnum

from mesh import errors as e


class Exit(IntEnum):
    """The exit codes; scripts may rely on them."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    NOT_VERIFIED = 5
    FAILED = 6
    NOT_PERMITTED = 7
    INTERRUPTED = 130


class CommandError(e.MeshError):
    """A command cannot do what it was asked to: what, why and what to do, in one line."""

    def __init__(self, text: str, code: Exit) -> None:
        super().__init__(text)
        self.code = code


def not_found(text: str) -> CommandError:
    """Return the error for something that is not there."""
    return CommandError(text, Exit.NOT_FOUND)


def timed_out(text: str) -> CommandError:
    """Return the error for a wait that took too long."""
    return CommandError(text, Exit.UNREACHABLE)


_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (e.UsageError, Exit.USAGE),
    (e.InputRejected, Exit.USAGE),
    (e.NotPermitted, Exit.NOT_PERMITTED),
    (e.WrongTopic, Exit.NOT_FOUND),
    (e.Unreachable, Exit.UNREACHABLE),
    (e.VerificationFailed, Exit.NOT_VERIFIED),
    (e.TaskError, Exit.FAILED),
)


def exit_code(error: BaseException) -> Exit:
    """Return the exit code of a failure."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.UNEXPECTED)


def one_line(error: BaseException) -> str:
    """Return a failure as one line; one that nobody expected names its type and its place."""
    text = " ".join(str(error).split())
    if isinstance(error, e.MeshError):
        return text
    place = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if "mesh" in frame.f_globals.get("__name__", ""):
            place = f" (at {frame.f_globals['__name__']}:{trace.tb_lineno})"
        trace = trace.tb_next
    hint = "; this is a defect: run it again with MESH_DEBUG=1 for the whole traceback"
    return f"{type(error).__name__}: {text}{place}{hint}"
