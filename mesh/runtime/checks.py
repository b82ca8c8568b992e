"""The check of a delegation's result: the author's, and that it is of the type that is expected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from mesh.core.settings import MAX_REASON
from mesh.core.values import Amount, Body
from mesh.errors import InputRejected, UsageError
from mesh.runtime.bodies import decode


class Check:
    """The check of a delegation's result, as the step's doer."""

    __slots__ = ("_check", "_load", "_output")

    interruptible = True
    patient = False
    reserve = Amount()

    def __init__(
        self,
        check: Callable[[Any], str | None],
        output: type[BaseModel],
        load: Callable[[Body], Awaitable[bytes]],
    ) -> None:
        self._check = check
        self._output = output
        self._load = load

    async def perform(self, key: str) -> tuple[str, Amount, Body]:
        """Never asked of a check."""
        raise AssertionError(key)

    async def probe(self, key: str) -> Body | None:
        """Never asked of a check."""
        raise AssertionError(key)

    async def review(self, child: str, contents: Body) -> str:
        """Return why a result is refused, "" if it is accepted."""
        content = await self._load(contents)
        try:
            value = decode(self._output, content)
        except InputRejected as problem:
            return f"the result of {child} is no {self._output.__name__}: {problem}"
        refusal = self._check(value) or ""
        if not isinstance(refusal, str):
            raise UsageError(f"check: must return a reason or None, not {refusal!r}")
        return refusal[:MAX_REASON]
