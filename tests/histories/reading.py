"""Histories from files: the etcd logs, and what our own clients recorded.

Nothing is guessed: a line that is not understood is an error that names it. The one exception is
the last line of a recording when it does not end, for a killed process may tear it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.histories.operations import (
    UNTOLD,
    Accepted,
    Answer,
    Call,
    CompareAndSet,
    Found,
    HistoryError,
    Operation,
    Outcome,
    Read,
    Refused,
    Write,
)
from tests.histories.recording import FORMAT, SUFFIX

Json = dict[str, Any]
T = TypeVar("T")

# ----------------------------------------------------------------------------------- etcd logs

ETCD_LINE = re.compile(
    r"INFO\s+jepsen\.util - (?P<client>\d+)\s+:(?P<phase>invoke|ok|fail|info)"
    r"\s+:(?P<kind>read|write|cas)\s+(?P<given>nil|\d+|\[\d+ \d+\]|:timed-out)"
)
ETCD_KEY = "register"
ETCD_CALLS = {"read": Read, "write": Write, "cas": CompareAndSet}


def read_etcd_log(path: Path) -> list[Operation]:
    """Read one history of clients of one register; the instants are line numbers.

    `:info` leaves open whether the operation happened. `:fail` of a compare-and-set says that the
    comparison failed, which is an answer; of a read, that there was none.

    Raises:
        HistoryError: A line is not understood, or does not fit those before it.
    """
    operations: list[Operation] = []
    begun: dict[str, tuple[int, Call, str]] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        found = ETCD_LINE.fullmatch(line)
        if found is None:
            raise HistoryError(f"{path.name}:{number}: not understood: {line[:80]}")
        client, phase, kind, given = found.group("client", "phase", "kind", "given")
        if (phase == "invoke") is (client in begun):
            raise HistoryError(f"{path.name}:{number}: client {client} takes no turns")
        if phase == "invoke":
            begun[client] = number, _etcd_call(f"{path.name}:{number}", kind, given), given
            continue
        invoked, call, argument = begun.pop(client)
        if not isinstance(call, ETCD_CALLS[kind]):
            raise HistoryError(f"{path.name}:{number}: client {client} asked for a {call}")
        outcome, answer = _etcd_end(f"{path.name}:{number}", phase, kind, (argument, given))
        operations.append(
            Operation(
                key=ETCD_KEY,
                client=client,
                call=call,
                outcome=outcome,
                invoked=invoked,
                answered=number,
                answer=answer,
            )
        )
    unknown = Outcome.UNKNOWN
    for client, (invoked, call, _) in begun.items():
        left = Operation(key=ETCD_KEY, client=client, call=call, outcome=unknown, invoked=invoked)
        operations.append(left)
    return operations


def _etcd_call(place: str, kind: str, argument: str) -> Call:
    numbers = [int(word) for word in re.findall(r"\d+", argument)]
    match kind, numbers:
        case "read", []:
            return Read()
        case "write", [value]:
            return Write(value=value)
        case "cas", [expected, value]:
            return CompareAndSet(expected=expected, value=value)
        case _:
            raise HistoryError(f"{place}: a {kind} of {argument}")


def _etcd_end(
    place: str, phase: str, kind: str, given: tuple[str, str]
) -> tuple[Outcome, Answer | None]:
    argument, told = given
    match phase, kind:
        case "info", _:
            return Outcome.UNKNOWN, None
        case "fail", "read":
            return Outcome.FAILED, None
        case "ok", "read" if told == "nil" or told.isdecimal():
            return Outcome.OK, Found(value=None if told == "nil" else int(told))
        case "ok", "write" | "cas" if told == argument:
            return Outcome.OK, Accepted()
        case "fail", "cas" if told == argument:
            return Outcome.OK, Refused()
        case _:
            raise HistoryError(f"{place}: {phase} {kind} {told} is no end of {kind} {argument}")


# ------------------------------------------------------------------------------ our recordings


def read_recordings(paths: Iterable[Path]) -> list[Operation]:
    """Read and merge the recordings of processes that ran on one machine; see `recording`.

    Values are compared as canonical JSON; `null` is None, the value of an entry that is not there.

    Raises:
        HistoryError: A line is not understood, an answer has no call, or the files are of
            different machines or boots, so that their instants do not compare.
    """
    operations: list[Operation] = []
    boots: dict[str, Path] = {}
    for path in sorted(paths):
        lines = list(_lines(path))
        if not lines:
            continue  # killed before it had written anything: it had called nothing either
        boots.setdefault(_boot(*lines[0]), path)
        operations.extend(_recorded(lines[1:]))
    if len(boots) > 1:
        names = " and ".join(path.name for path in boots.values())
        raise HistoryError(f"{names} were recorded on different machines or boots of one")
    return sorted(operations, key=lambda operation: operation.invoked)


def read_directory(directory: Path) -> list[Operation]:
    """Read and merge every recording in a directory; there must be one."""
    paths = list(directory.glob(f"*{SUFFIX}"))
    if not paths:
        raise HistoryError(f"no recording in {directory.name}")
    return read_recordings(paths)


def _lines(path: Path) -> Iterator[tuple[str, Json]]:
    *whole, torn = path.read_bytes().split(b"\n")
    del torn  # empty, or what a killed process did not finish: an answer lost, or a call not made
    for number, text in enumerate(whole, 1):
        place = f"{path.name}:{number}"
        try:
            line = json.loads(text)
        except ValueError as error:
            raise HistoryError(f"{place}: no JSON: {text[:80]!r}") from error
        if not isinstance(line, dict):
            raise HistoryError(f"{place}: no JSON object: {text[:80]!r}")
        yield place, line


def _boot(place: str, line: Json) -> str:
    if line.get("format") != FORMAT or not isinstance(line.get("boot"), str):
        raise HistoryError(f"{place}: not the first line of a recording of format {FORMAT}")
    return str(line["boot"])


def _recorded(lines: list[tuple[str, Json]]) -> Iterator[Operation]:
    calls: dict[int, tuple[str, Json]] = {}
    ends: dict[int, tuple[str, Json]] = {}
    for place, line in lines:
        number = line.get("op")
        of_kind = calls if "call" in line else ends
        if type(number) is not int:
            raise HistoryError(f"{place}: has no number")
        if number in of_kind or (of_kind is ends and number not in calls):
            raise HistoryError(f"{place}: operation {number} has no call, two calls or two ends")
        of_kind[number] = place, line
    for number, (place, line) in calls.items():
        end_place, end = ends.get(number, (place, {"outcome": Outcome.UNKNOWN.value}))
        try:
            yield _operation(line, end)
        except ValueError as error:
            raise HistoryError(f"{end_place}: operation {number}: {error}") from error


def _operation(line: Json, end: Json) -> Operation:
    outcome = Outcome(end.get("outcome", Outcome.OK.value))
    return Operation(
        key=_field(line, "key", str),
        client=_field(line, "client", str),
        call=_call(line),
        outcome=outcome,
        invoked=_field(line, "at", int),
        answered=_field(end, "at", int) if "op" in end else None,
        answer=_answer(end) if outcome is Outcome.OK else None,
    )


def _call(line: Json) -> Call:
    match line["call"]:
        case "read":
            return Read()
        case "write":
            version = _version(line, "expected_version")
            return Write(value=_value(line, "value"), expected_version=version)
        case "compare-and-set":
            return CompareAndSet(expected=_value(line, "expected"), value=_value(line, "value"))
        case _:
            raise HistoryError(f"no such call: {line['call']}")


def _answer(line: Json) -> Answer:
    version = _version(line, "version")
    match line.get("answer"):
        case "found":
            return Found(value=_value(line, "value"), version=version)
        case "accepted":
            return Accepted(version=version)
        case "refused":
            return Refused(version=version, value=_value(line, "value", UNTOLD))
        case _:
            raise HistoryError(f"no such answer: {line.get('answer')}")


def _field(line: Json, name: str, kind: type[T]) -> T:
    value = line.get(name)
    if type(value) is not kind:
        raise HistoryError(f"no {name}, or a wrong one: {value!r}")
    return value


def _version(line: Json, name: str) -> int | None:
    return _field(line, name, int) if name in line else None


def _value(line: Json, name: str, default: Hashable = None) -> Hashable:
    """Return a value as text that is equal if and only if the JSON is; null is None."""
    if name not in line:
        if default is None:
            raise HistoryError(f"no {name}")
        return default
    value = line[name]
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))
