from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from mesh.dashboard.access import (
    SESSION_S,
    People,
    Person,
    Role,
    host_of,
    is_loopback,
    read_tokens,
)
from mesh.errors import UsageError

ADA = "a token of Ada that is long enough"
BOB = "a token of Bob that is long enough"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    return path


@pytest.fixture
def people(tmp_path: Path) -> People:
    digest = sha256(BOB.encode()).hexdigest()
    text = f'''
        [people.ada]
        token = "{ADA}"
        roles = ["operator", "auditor"]
        [people.bob]
        sha256 = "{digest}"
        roles = ["viewer"]
    '''
    return read_tokens(written(tmp_path, text))


def test_a_token_says_who_it_is(people: People) -> None:
    ada, bob = people.by_token(ADA), people.by_token(BOB)
    assert ada is not None
    assert bob is not None
    assert (ada.name, bob.name) == ("ada", "bob")
    assert ada.may(Role.VIEWER)
    assert ada.may(Role.OPERATOR)
    assert not bob.may(Role.OPERATOR)
    assert people.by_token("") is None
    assert people.by_token(ADA + "!") is None
    assert people.by_token("\ud800") is None
    assert not Person("nobody", frozenset()).may(Role.VIEWER)


def test_a_session_holds_until_it_is_over_or_the_token_is_another(people: People) -> None:
    ada = people.by_token(ADA)
    assert ada is not None
    cookie = people.session(ada, 1_000)
    assert people.by_session(cookie, 1_001) == ada
    assert people.by_session(cookie, 1_000 + SESSION_S) is None
    assert people.by_session(cookie.replace(str(1_000 + SESSION_S), "9" * 10), 1_001) is None
    assert people.by_session(cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), 1_001) is None
    assert People(()).by_session(cookie, 1_001) is None


@pytest.mark.parametrize(
    "cookie",
    ["", "a", "a.b.c", "61.9999999999.é", "zz.9999999999.00", "....", "61.²2.00", "\udcff.1.1"],
)
def test_garbage_is_no_session(people: People, cookie: str) -> None:
    assert people.by_session(cookie, 0) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must hold tables"),
        ("people = 3", "must hold tables"),
        ("[people.ada]\n[other]", "must hold tables"),
        ("no toml", "no TOML"),
        ('[people.ada]\nroles=["viewer"]', "either token or sha256"),
        (f'[people.ada]\ntoken="{ADA}"', "roles must be"),
        (f'[people.ada]\ntoken="{ADA}"\nroles=["king"]', "roles must be"),
        ('[people.ada]\ntoken="short"\nroles=["viewer"]', "24 to 512"),
        ('[people.ada]\nsha256="zz"\nroles=["viewer"]', "64 hexadecimal"),
        (f'[people.ada]\ntoken="{ADA}"\nroles=["viewer"]\nmore=1', "must have token"),
        (f'[people."a\\u0000"]\ntoken="{ADA}"\nroles=["viewer"]', "printable"),
        (
            f'[people.a]\ntoken="{ADA}"\nroles=["viewer"]\n[people.b]\ntoken="{ADA}"\nroles=["viewer"]',
            "same token",
        ),
    ],
)
def test_a_wrong_file_is_refused_and_tells_no_token(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        read_tokens(written(tmp_path, text))
    assert ADA not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_tokens(tmp_path / "none.toml")


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "")))


def test_the_name_in_a_host_header() -> None:
    assert host_of("LocalHost:80") == "localhost"
    assert host_of("[::1]:80") == "[::1]"
    assert host_of("evil.example") == "evil.example"
