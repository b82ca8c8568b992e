"""What a submitter asks for, as written on a command line, made exact; what is wrong is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh.cli.failures import CommandError, not_found
from mesh.core.policy import Policy
from mesh.core.registry import Directory
from mesh.core.settings import Settings
from mesh.core.values import Amount
from mesh.errors import UsageError, WireError
from mesh.telling import words
from mesh.wire.canonical import parse_json

STDIN = "-"
FILE = "@"


def read_input(given: str) -> Any:
    """Return the JSON value of an input: a JSON text, `@FILE`, or `-` for standard input.

    Raises:
        UsageError: It cannot be read, or is no JSON.
    """
    if given == STDIN:
        data, where = sys.stdin.buffer.read(), "standard input"
    elif given.startswith(FILE):
        path = Path(given[len(FILE) :])
        try:
            data, where = path.read_bytes(), str(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; give JSON, @FILE or -") from error
    else:
        data, where = given.encode(), "the input"
    try:
        return parse_json(data)
    except WireError as error:
        hint = "" if given == STDIN else f"; it begins with {words.clip(given, 30)!r}"
        reason = str(error).removeprefix("no JSON: ")
        raise UsageError(f"{where} is no JSON: {reason}{hint}") from error


def read_budget(given: Sequence[str], rest: Amount) -> Amount | None:
    """Return a budget from `usd=1.50`, `tokens=1000` and the like, or from one JSON object.

    Dimensions that it leaves out are those of `rest`; None if nothing is given.

    Raises:
        UsageError: A dimension is unknown, or a figure is none.
    """
    from mesh.runtime.quantities import parse_budget

    if not given:
        return None
    budget: dict[str, Any] = {}
    for part in given:
        if part.lstrip().startswith("{"):
            own = json.loads(part) if _is_json(part) else None
            if not isinstance(own, dict):
                raise UsageError(f"--budget: {part!r} is no JSON object")
            budget |= own
            continue
        for item in part.split(","):
            name, equals, value = item.strip().partition("=")
            if not equals:
                raise UsageError(f"--budget: {item!r} must be like usd=0.50 or tokens=1000")
            budget[name] = value if name == "usd" else _count(name, value)
    return parse_budget(budget, rest, "--budget")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _count(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"--budget: {name}={value} must be an integer") from None


def check_offered(directory: Directory, capability: str, now_ms: int) -> str:
    """Return what to say about who offers a capability, "" if somebody is alive who does.

    Raises:
        CommandError: Nobody's card offers it; near misses are named.
    """
    agents = directory.agents_offering(capability)
    if not agents:
        raise nobody_offers(directory, capability)
    directory.expire(now_ms)
    if directory.offering(capability).instances:
        return ""
    names = words.listed(agents)
    return f"no instance of {names} is alive: the task waits in Kafka until one is, or it expires"


def nobody_offers(directory: Directory, capability: str) -> CommandError:
    """Return the error for a capability that no card offers."""
    near = directory.near(capability)
    hint = f"did you mean {words.listed(near, 'or')}?" if near else "`mesh agents` lists what is"
    return not_found(f"nobody offers {capability}; {hint}")


def check_request(
    directory: Directory,
    capability: str,
    budget: Amount | None,
    timeout_ms: int | None,
    settings: Settings,
) -> None:
    """Refuse a budget or deadline that no supervisor would take.

    Raises:
        UsageError: With the reason.
    """
    offered = directory.capability(capability)
    default = offered.budget if offered is not None and offered.budget else settings.budget
    standard = offered.timeout_ms if offered is not None else settings.timeout_ms
    timeout = timeout_ms if timeout_ms is not None else standard
    objection = Policy(mesh=settings.ceiling).refusal(
        budget or default, timeout, capability, "", settings
    )
    if objection is not None:
        raise UsageError(f"{objection.field}: {objection.reason}")
