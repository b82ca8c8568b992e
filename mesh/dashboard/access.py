"""Who may see and do what.

On loopback, where only this machine can ask, whoever asks is the person who started the dashboard,
with every role. Elsewhere a request needs a token or a session that was begun with one: the
dashboard refuses to start there without.

A session is a cookie that names the person and the time at which it ends, signed with a key that
is derived from that person's token: so it holds across restarts, and ends with the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from mesh.errors import UsageError

MIN_TOKEN = 24
"""Characters of a token: fewer can be guessed."""
MAX_TOKEN = 512
SESSION_S = 12 * 3_600
"""A working day; then the token is asked for again."""
MAX_PEOPLE = 1_000
"""Tokens in a file: for more there are identity providers."""
_FIELDS = frozenset({"token", "sha256", "roles"})


class Role(StrEnum):
    """What somebody may: a viewer reads, an auditor reads raw records, too, an operator acts."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"


EVERY_ROLE = frozenset(Role)


class Person(NamedTuple):
    """Who asks, and what they may."""

    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Tell whether a role is theirs; who may do anything may also look."""
        return role in self.roles or (role is Role.VIEWER and bool(self.roles))


@dataclass(frozen=True, kw_only=True)
class Token:
    """A person's token, of which the digest alone is kept."""

    person: Person
    digest: bytes


class People:
    """The people of a file of tokens, and their sessions."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)
        self._named = {own.person.name: own for own in self._tokens}

    def __repr__(self) -> str:
        return f"People({sorted(self._named)})"

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def by_token(self, token: str) -> Person | None:
        """Return whose token this is; every one is compared, so that the time tells nothing."""
        digest = sha256(token[:MAX_TOKEN].encode("utf-8", "surrogatepass")).digest()
        found = None
        for own in self._tokens:
            if hmac.compare_digest(own.digest, digest):
                found = own.person
        return found

    def session(self, person: Person, now_s: int) -> str:
        """Return the cookie of a session that begins now."""
        until_s = now_s + SESSION_S
        name = person.name.encode().hex()
        return f"{name}.{until_s}.{self._signed(self._named[person.name], until_s)}"

    def by_session(self, cookie: str, now_s: int) -> Person | None:
        """Return whose session a cookie is, None if it is over or was not made here."""
        name, until, signature, *more = [*cookie.split("."), "", "", ""]
        if any(more) or not until.isascii() or not until.isdecimal() or len(until) > 12:
            return None
        try:
            own = self._named.get(bytes.fromhex(name).decode())
        except ValueError:
            return None
        if own is None or int(until) <= now_s:
            return None
        right = self._signed(own, int(until))
        same = hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogatepass"))
        return own.person if same else None

    def _signed(self, own: Token, until_s: int) -> str:
        key = sha256(b"parley dashboard session\0" + own.digest).digest()
        text = f"{own.person.name}\0{until_s}".encode()
        return hmac.new(key, text, "sha256").hexdigest()


def read_tokens(path: Path) -> People:
    """Return the people of a file.

    The file is TOML, a table for each person::

        [people.ada]
        token = "at least 24 characters"     # or sha256 = "its SHA-256 in hexadecimal"
        roles = ["operator", "auditor"]

    Raises:
        UsageError: It cannot be read, or something in it is wrong; no token is told.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--tokens: {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--tokens: {path} is no TOML: {error}") from error
    people = found.get("people")
    if not isinstance(people, dict) or not people or found.keys() != {"people"}:
        raise UsageError(f"--tokens: {path} must hold tables [people.NAME] and nothing else")
    if len(people) > MAX_PEOPLE:
        raise UsageError(f"--tokens: {path} names {len(people)} people, at most {MAX_PEOPLE}")
    tokens = [_token(str(name), own) for name, own in people.items()]
    if len({own.digest for own in tokens}) < len(tokens):
        raise UsageError(f"--tokens: {path}: two people have the same token")
    return People(tokens)


def _token(name: str, given: object) -> Token:
    where = f"--tokens: {name[:80]!r}"
    if not isinstance(given, Mapping) or not given.keys() <= _FIELDS:
        raise UsageError(f"{where} must have token or sha256, and roles")
    if not name.isprintable() or not 0 < len(name) <= 100:
        raise UsageError(f"{where}: a name has 1 to 100 printable characters")
    roles = given.get("roles")
    if not isinstance(roles, list) or not roles or not set(map(str, roles)) <= set(Role):
        raise UsageError(f"{where}: roles must be some of {', '.join(Role)}")
    return Token(
        person=Person(name, frozenset(Role(str(role)) for role in roles)),
        digest=_digest(where, given.get("token"), given.get("sha256")),
    )


def _digest(where: str, token: object, digest: object) -> bytes:
    if (token is None) == (digest is None):
        raise UsageError(f"{where} must have either token or sha256")
    if isinstance(token, str) and MIN_TOKEN <= len(token) <= MAX_TOKEN:
        return sha256(token.encode()).digest()
    if token is not None:
        raise UsageError(f"{where}: a token has {MIN_TOKEN} to {MAX_TOKEN} characters")
    try:
        data = bytes.fromhex(digest) if isinstance(digest, str) else b""
    except ValueError:
        data = b""
    if len(data) != sha256().digest_size:
        raise UsageError(f"{where}: sha256 must be 64 hexadecimal digits")
    return data


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """Return the name in a Host header, without the port, in lower case."""
    if header.startswith("["):
        return header[: header.find("]") + 1].lower()
    return header.partition(":")[0].lower()
