"""Tools and models: functions that reach outside, called once and recorded.

`@tool(...)` says of a function what doing it twice would mean, and how to find out whether it
happened. It returns the function itself: it can still be called, and tested, directly.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from mesh.core.values import NOTHING, Amount, Body, Effect
from mesh.errors import DefinitionError, MeshError, UsageError
from mesh.runtime.bodies import adapter, body
from mesh.runtime.failures import summarise
from mesh.runtime.quantities import Budget, Money, parse_budget, parse_count, parse_usd
from mesh.runtime.threads import Threads

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., object])

KEY = "idempotency_key"
"""A tool with a parameter of this name is handed the key under which its target may deduplicate."""
PROBE_PAUSES_S = (0.5, 2.0)
"""Between the attempts to ask a target whether an effect happened there."""
_MARK = "__parley_tool__"


class ToolFailed(MeshError):
    """A tool or model raised; the same is raised, from its record, on every replay."""


class Priced(Generic[Value]):
    """What a tool or model returned, with its price: `Priced(text, usd="0.003", tokens=812)`.

    The caller of `ctx.tool` gets the value alone; the price is charged. A call that reserves money
    and returns no `Priced` is charged nothing of it; one that raises is charged all of it, for
    nobody knows whether it was billed.
    """

    __slots__ = ("amount", "value")

    def __init__(self, value: Value, *, usd: Money = 0, tokens: int = 0) -> None:
        self.value = value
        self.amount = Amount(
            micro_usd=parse_usd(usd, "Priced.usd"), tokens=parse_count(tokens, "Priced.tokens")
        )

    def __repr__(self) -> str:
        return f"Priced({self.value!r}, {self.amount})"


class Traits(NamedTuple):
    """What an author said of a tool; None where it was not said."""

    name: str | None
    effect: Effect | None
    probe: Callable[..., Any] | None
    reserve: Amount | None


class Tool(NamedTuple):
    """A function as the context calls it."""

    name: str
    traits: Traits
    is_async: bool
    takes_key: bool
    returns: Any


def tool(
    *,
    effect: str | Effect,
    name: str | None = None,
    probe: Callable[..., object] | None = None,
    reserve: Budget | None = None,
) -> Callable[[Function], Function]:
    """Declare what calling a function means, for every `ctx.tool` and `ctx.model` that does.

    Args:
        effect: `pure`, `idempotent`, `keyed`, `compensable` or `irreversible`.
        name: What it is called in scopes and in the log; the function's own name unless given.
        probe: Called like the tool, when a call was begun and its worker died: returns the
            result if it happened, None if it never did.
        reserve: What one call may cost at most, like `{"usd": "0.02", "tokens": 4000}`.

    Raises:
        DefinitionError: One of these is malformed.
    """
    traits = Traits(name, parse_effect(effect, "tool"), probe, parse_reserve(reserve, "tool"))

    def declare(function: Function) -> Function:
        setattr(function, _MARK, traits)
        return function

    return declare


def parse_effect(effect: str | Effect, what: str) -> Effect:
    """Return an effect class by its name.

    Raises:
        DefinitionError: There is none of that name.
    """
    try:
        return Effect(effect)
    except ValueError:
        known = ", ".join(Effect)
        raise DefinitionError(f"{what}: effect {effect!r} is none of {known}") from None


def parse_reserve(reserve: Budget | Mapping[str, object] | None, what: str) -> Amount | None:
    """Return what one call may cost: money and tokens only.

    Raises:
        DefinitionError: It is malformed.
    """
    if reserve is None:
        return None
    try:
        amount = parse_budget(reserve, Amount(), f"{what}: reserve")
    except UsageError as problem:
        raise DefinitionError(str(problem)) from None
    if amount.tool_calls or amount.hops or amount.attempts:
        raise DefinitionError(f"{what}: reserve holds usd and tokens only")
    return amount


@lru_cache(maxsize=1_024)
def describe(function: Callable[..., object]) -> Tool:
    """Return what is known of a function that is used as a tool."""
    traits: Traits = getattr(function, _MARK, Traits(None, None, None, None))
    own_name: str = getattr(function, "__name__", type(function).__name__)
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004  # not asked whether it can be called
    return Tool(
        name=traits.name or own_name,
        traits=traits,
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called),
        takes_key=_takes_key(function),
        returns=_returns(called),
    )


def _takes_key(function: Callable[..., object]) -> bool:
    try:
        return KEY in inspect.signature(function).parameters
    except ValueError:  # some builtins do not tell
        return False


def _returns(function: Callable[..., object]) -> Any:
    """Return the type hint of the result, `Any` where there is none that can be resolved."""
    try:
        hint = get_type_hints(function).get("return", Any)
    except (NameError, TypeError):
        return Any
    return get_args(hint)[0] if get_origin(hint) is Priced else hint


def decode(tool: Tool, recorded: Body) -> Any:
    """Return a recorded result as the function returns it.

    Raises:
        ToolFailed: The record is of an earlier version of the function's type.
    """
    try:
        return adapter(tool.returns).validate_json(recorded.content or b"null")
    except ValidationError as problem:
        text = f"{tool.name}: its recorded result does not fit {tool.returns}: {problem}"
        raise ToolFailed(text) from problem


class Performer:
    """Calls one tool or model, when the core says that it may be called.

    Sync functions run in a thread. Whatever the author's function does, an answer comes.
    """

    __slots__ = ("_arguments", "_function", "_keep", "_probe", "_threads", "_tool", "reserve")

    def __init__(
        self,
        function: Callable[..., object],
        arguments: tuple[object, ...],
        *,
        probe: Callable[..., object] | None,
        reserve: Amount,
        threads: Threads,
        keep: Callable[[Body], Awaitable[Body]],
    ) -> None:
        self._function = function
        self._tool = describe(function)
        self._arguments = arguments
        self._probe = probe
        self._threads = threads
        self._keep = keep
        self.reserve = reserve

    @property
    def interruptible(self) -> bool:
        """Whether cancelling it ends it."""
        return self._tool.is_async

    @property
    def patient(self) -> bool:
        """Whether it only waits for an answer: never so, it may be at work."""
        return False

    async def perform(self, key: str) -> tuple[str, Amount, Body]:
        """Call the function; return the error's summary or "", the price, and the result."""
        try:
            value = await self._call(self._function, self._tool, key)
            amount = Amount()
            if isinstance(value, Priced):
                value, amount = value.value, value.amount
            return "", amount, await self._keep(self._encode(value))
        except Exception as problem:  # noqa: BLE001  # the author's function; it is recorded
            return summarise(problem), self.reserve, NOTHING

    async def probe(self, key: str) -> Body | None:
        """Ask whether the effect happened, a few times if need be.

        Raises:
            ToolFailed: The probe raised each time.
        """
        assert self._probe is not None
        for pause_s in (*PROBE_PAUSES_S, None):
            try:
                value = await self._call(self._probe, describe(self._probe), key)
                if isinstance(value, Priced):
                    value = value.value
                return None if value is None else await self._keep(self._encode(value))
            except Exception as problem:
                if pause_s is None:
                    text = f"its outcome is unknown, the probe raised {summarise(problem)}"
                    raise ToolFailed(text) from problem
                await asyncio.sleep(pause_s)
        raise AssertionError(key)

    async def review(self, child: str, contents: Body) -> str:
        """Never asked of a tool."""
        raise AssertionError(child, contents)

    async def _call(self, function: Callable[..., object], tool: Tool, key: str) -> object:
        call = partial(function, *self._arguments, **({KEY: key} if tool.takes_key else {}))
        if tool.is_async:
            return await cast("Awaitable[object]", call())
        value = await self._threads.run(call)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError(f"{tool.name} returned something to await: pass an async function")
        return value

    def _encode(self, value: object) -> Body:
        return body(adapter(self._tool.returns).dump_json(value, warnings="error"))
