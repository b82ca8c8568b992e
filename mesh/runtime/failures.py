"""What is told of an author's exception: one short text, for a fact that stays in the log."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from types import TracebackType

from mesh.core.settings import MAX_REASON

FRAMES = 3
"""The last frames of the author's code: where it happened and who called it."""
MEMBERS = 3
"""Exceptions of a group that are told."""

_OWN = PurePath(__file__).parent


def summarise(problem: BaseException) -> str:
    """Return an exception's type, message and last frames, at most `MAX_REASON` characters."""
    text = "; ".join(_line(leaf) for leaf in _leaves(problem)[:MEMBERS])
    return clip(text)


def clip(text: str) -> str:
    """Return `text`, shortened to `MAX_REASON` characters."""
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…"


def _leaves(problem: BaseException) -> list[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        return [leaf for member in problem.exceptions for leaf in _leaves(member)]
    return [problem]


def _line(problem: BaseException) -> str:
    message = "".join(traceback.format_exception_only(problem)).strip()
    places = _places(problem.__traceback__)
    return f"{message} (at {', '.join(places)})" if places else message


def _places(frames: TracebackType | None) -> list[str]:
    """Name the last frames that are not the runtime's own, the innermost first."""
    places = []
    for frame, line in traceback.walk_tb(frames):
        path = PurePath(frame.f_code.co_filename)
        if path.parent != _OWN:
            places.append(f"{'/'.join(path.parts[-2:])}:{line} {frame.f_code.co_name}")
    return places[: -FRAMES - 1 : -1]
