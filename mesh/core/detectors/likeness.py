"""When two contents are alike, though their bytes differ: the one place that says what is cosmetic.

A runaway chain seldom repeats itself to the byte: each turn has a new request id, a later time,
attempt number 4 instead of 3, another line break. Three forms of a content, from strict to lax:

1. its hash, which is all there is of a content that is too large for a fact, sealed, or erased;
2. `alike`: without what *by its name* says nothing about the subject. Left out are members that
   name one transmission (`NOISE_IDS`: a request's id differs each time, whatever is asked), that
   say when something was sent (`NOISE_TIMES`), and counters of tries and turns (`COUNTERS`, if they
   are numbers); in texts the words "attempt 3", "turn 4 of 9". Texts are compared without case,
   Unicode's variants and the amount of white space, numbers by value, members without their order;
3. `alike_opaque`: also without what *by its look* is an identifier or a point in time, wherever it
   stands: UUIDs, ULIDs, long hexadecimal numbers, times of ISO 8601, milliseconds since 1970. These
   may be the subject (the folder to list, the order to check), so this form proves less, and who
   uses it asks for more repeats.

Not cosmetic, whatever the name: page, offset, cursor, depth, step, date, any other number, and the
order of a list. They are how honest work moves on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from unicodedata import normalize

from mesh.core.values import Body

MAX_READ_BYTES = 64 * 1024
"""Contents above this are compared by their hash: reading them would hold up the log."""
MAX_DEPTH = 64
"""Arrays and objects within each other, as on the wire; deeper is compared by its hash."""
DIGEST_BYTES = 16

NOISE_IDS = frozenset(
    {
        "callid",
        "conversationid",
        "correlationid",
        "eventid",
        "idempotencykey",
        "messageid",
        "nonce",
        "requestid",
        "runid",
        "sessionid",
        "spanid",
        "threadid",
        "toolcallid",
        "traceid",
        "traceparent",
        "tracestate",
    }
)
"""Members that name one transmission and never what it is about."""
NOISE_TIMES = frozenset(
    {
        "createdat",
        "generatedat",
        "now",
        "receivedat",
        "requestedat",
        "sentat",
        "timestamp",
        "ts",
        "updatedat",
    }
)
"""Members that say when something was sent or made."""
COUNTERS = frozenset(
    {
        "attempt",
        "attemptno",
        "attemptnumber",
        "attempts",
        "hop",
        "hopcount",
        "hops",
        "iteration",
        "iterations",
        "retries",
        "retry",
        "retrycount",
        "retryno",
        "round",
        "rounds",
        "seq",
        "sequence",
        "sequencenumber",
        "tries",
        "try",
        "turn",
        "turnno",
        "turns",
    }
)
"""Members that count tries and turns; dropped where they hold a number."""

_COUNTED = re.compile(
    r"\b(?:attempt|hop|iteration|retry|round|try|turn)\s*(?:no\.?|number|#)?\s*:?\s*\d+"
    r"(?:\s*(?:of|/)\s*\d+)?"
)
_OPAQUE = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # a UUID
    r"|\b(?=[a-f]*[0-9])[0-9a-f]{24,}\b"  # an object's id, a digest
    r"|\b[0-7][0-9a-hjkmnp-tv-z]{25}\b"  # a ULID
    r"|\b\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:z|[+-]\d\d:?\d\d)?"  # ISO 8601
    r"|\b1\d{12}\b"  # milliseconds since 1970, from 2001 to 2033
)
_EPOCH_MS = range(10**12, 2 * 10**12)
_NAME = re.compile(r"[^a-z0-9]")

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def alike(body: Body) -> bytes:
    """Return the digest that contents share which differ in what is cosmetic by its name."""
    return _digest(body, _plain)


def alike_opaque(body: Body) -> bytes:
    """Return the digest that contents share which differ in identifiers and times alone."""
    return _digest(body, _opaque)


def same_words(text: str) -> str:
    """Return the form that errors share which differ in identifiers, times and counts alone."""
    return _opaque(text)


def leaves(body: Body) -> frozenset[str]:
    """Return the texts and numbers in a content, without what is cosmetic; else its hash."""
    try:
        return frozenset(_leaves(_read(body), 0))
    except ValueError:
        return frozenset((body.hash.hex(),))


def longest_list(body: Body) -> int:
    """Return the length of the longest list in a content, 0 where none can be seen."""
    try:
        return _longest(_read(body), 0)
    except ValueError:
        return 0


def _read(body: Body) -> Json:
    """Return the value of a JSON body; raises `ValueError` where it cannot be looked at."""
    content = body.content
    if content is None or len(content) > MAX_READ_BYTES:
        raise ValueError("the content is not at hand")
    if not body.media_type.endswith("json"):
        return content.decode()
    try:
        value: Json = json.loads(content)
    except RecursionError as error:
        raise ValueError("too deep") from error
    return value


def _digest(body: Body, words: Callable[[str], str]) -> bytes:
    try:
        form = json.dumps(_form(_read(body), words, 0), sort_keys=True, separators=(",", ":"))
    except ValueError:
        return body.hash
    return sha256(form.encode()).digest()[:DIGEST_BYTES]


def _form(value: Json, words: Callable[[str], str], depth: int) -> Json:
    """Return a value without what is cosmetic."""
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, str):
        return words(value)
    if isinstance(value, dict):
        kept = ((name, own) for name, own in value.items() if not is_noise(name, own))
        return {name: _form(own, words, depth + 1) for name, own in kept}
    if isinstance(value, list):
        return [_form(own, words, depth + 1) for own in value]
    if words is _opaque and isinstance(value, int) and value in _EPOCH_MS:
        return "~"
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_noise(name: str, value: Json) -> bool:
    """Tell whether a member says nothing about the subject."""
    bare = _NAME.sub("", name.lower())
    if bare in NOISE_IDS or bare in NOISE_TIMES:
        return not isinstance(value, dict | list)
    return bare in COUNTERS and (isinstance(value, int | float) or _is_number(value))


def _is_number(value: Json) -> bool:
    return isinstance(value, str) and value.strip().isdecimal()


def _plain(text: str) -> str:
    """Return a text without case, variants, amount of white space, and counts of tries."""
    return " ".join(_COUNTED.sub("~", normalize("NFKC", text).casefold()).split())


def _opaque(text: str) -> str:
    return _OPAQUE.sub("~", _plain(text))


def _leaves(value: Json, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, dict):
        for name, own in value.items():
            if not is_noise(name, own):
                yield from _leaves(own, depth + 1)
    elif isinstance(value, list):
        for own in value:
            yield from _leaves(own, depth + 1)
    else:
        yield json.dumps(_form(value, _plain, 0))


def _longest(value: Json, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, dict):
        return max((_longest(own, depth + 1) for own in value.values()), default=0)
    if isinstance(value, list):
        return max(len(value), max((_longest(own, depth + 1) for own in value), default=0))
    return 0
