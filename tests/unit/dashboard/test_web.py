from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from hashlib import sha256

import pytest

from mesh.dashboard import web as webs
from mesh.dashboard.access import People, Person, Role, Token
from mesh.dashboard.routes import BASE, ROUTES
from mesh.dashboard.server import Plan
from mesh.dashboard.web import ACT_HEADER, HEADERS
from mesh.errors import Unreachable
from mesh.ports import Place
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from tests.unit.cli.conftest import MESH
from tests.unit.dashboard.conftest import Asker, serving

SECRETS = {
    "ada": "the token of ada, an auditor",
    "vic": "the token of vic, a viewer",
    "opal": "the token of opal, an operator",
}
ROLES = {"ada": Role.AUDITOR, "vic": Role.VIEWER, "opal": Role.OPERATOR}
PEOPLE = People(
    Token(person=Person(name, frozenset({ROLES[name]})), digest=sha256(own.encode()).digest())
    for name, own in SECRETS.items()
)
LOCKED = Plan(mesh=MESH, people=PEOPLE)


@pytest.fixture
async def local(broker: MemoryBroker) -> AsyncGenerator[Asker, None]:
    async with serving(broker) as asker:
        yield asker


@pytest.fixture
async def locked(broker: MemoryBroker) -> AsyncGenerator[Asker, None]:
    async with serving(broker, LOCKED) as asker:
        yield asker


def filled(path: str) -> str:
    for name, value in (("workflow", "0-a"), ("task", "0-a"), ("agent", "desk")):
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{partition}", "0").replace("{offset}", "0")


async def test_every_answer_has_the_headers(local: Asker) -> None:
    for path in ("/", "/none.js", f"{BASE}/now", f"{BASE}/none", "/login", f"{BASE}/now?x=1"):
        async with local.session.get(local.url(path)) as answer:
            for name, value in HEADERS.items():
                if name != "Cache-Control":
                    assert answer.headers[name] == value, (path, name)
            assert "Cache-Control" in answer.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


async def test_without_a_role_nothing_works(locked: Asker) -> None:
    for route in ROUTES:
        async with locked.session.request(
            route.method, locked.url(BASE + filled(route.path)), headers={ACT_HEADER: "1"}
        ) as answer:
            assert answer.status == 401, route.path
    for path in ("/", "/index.html", "/map", "/none.js"):
        async with locked.session.get(locked.url(path), allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/login"), path
    for scheme in (
        "Bearer wrong",
        "Basic x",
        "Bearer",
        "bearer \ud800".encode("utf-8", "replace").decode(),
    ):
        locked.headers["Authorization"] = scheme
        await locked.get("/now", 401)


@pytest.mark.parametrize("name", SECRETS)
async def test_a_role_opens_its_routes_and_no_others(locked: Asker, name: str) -> None:
    locked.headers["Authorization"] = f"Bearer {SECRETS[name]}"
    me = await locked.get("/me")
    assert me == {"name": name, "roles": [ROLES[name].value], "local": False}
    for route in ROUTES:
        if route.name == "events":
            continue
        async with locked.session.request(
            route.method,
            locked.url(BASE + filled(route.path)),
            headers={**locked.headers, ACT_HEADER: "1"},
        ) as answer:
            refused = route.role is not Role.VIEWER and route.role is not ROLES[name]
            assert (answer.status == 403) == refused, route.path
            assert answer.status < 500


async def test_a_session_is_begun_with_a_token_and_ended(locked: Asker) -> None:
    webs_login = locked.url("/login")
    async with locked.session.get(webs_login) as answer:
        assert answer.status == 200
        assert "password" in await answer.text()
    async with locked.session.post(
        webs_login, data={"token": SECRETS["vic"]}, allow_redirects=False
    ) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("__Host-", "HttpOnly", "Secure", "SameSite=Strict"))
    locked.headers["Cookie"] = cookie.partition(";")[0]
    assert (await locked.get("/me"))["name"] == "vic"
    async with locked.session.post(
        locked.url("/logout"), headers=locked.headers, allow_redirects=False
    ) as answer:
        assert "Path=/" in answer.headers["Set-Cookie"]


async def test_a_wrong_token_begins_no_session(
    locked: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webs, "GUESS_S", 0.0)
    for data in ({"token": "wrong"}, {}, {"token": "<script>"}):
        async with locked.session.post(locked.url("/login"), data=data) as answer:
            assert answer.status == 401
            assert "Set-Cookie" not in answer.headers
            assert "<script>" not in await answer.text()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::2]"]
)
async def test_another_host_is_not_answered_on_loopback(local: Asker, host: str) -> None:
    local.headers["Host"] = host
    assert (await local.get("/now", 403))["title"] == "Not permitted"


async def test_the_names_of_loopback_are_answered(local: Asker) -> None:
    for host in ("localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:80"):
        local.headers["Host"] = host
        assert (await local.get("/me"))["local"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_forged_post_of_another_site_is_refused(
    local: Asker, headers: dict[str, str]
) -> None:
    for path in ("/login", "/logout", f"{BASE}/halts", "/"):
        async with local.session.post(
            local.url(path), headers={**headers, ACT_HEADER: "1"}, data={"token": "x"}
        ) as answer:
            assert answer.status == 403, path


async def test_an_act_must_carry_its_header(local: Asker) -> None:
    async with local.session.post(local.url(f"{BASE}/halts"), json={}) as answer:
        assert answer.status == 403
        assert ACT_HEADER in (await answer.json())["detail"]


async def test_another_sites_page_reads_nothing(local: Asker) -> None:
    local.headers["Sec-Fetch-Site"] = "cross-site"
    assert (await local.get("/now", 403))["title"] == "Not permitted"


async def test_limits_hold(local: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await local.get("/audit", 414, text="x" * webs.MAX_QUERY))["status"] == 414
    monkeypatch.setattr(webs, "MAX_REQUESTS", 0)
    assert (await local.get("/now", 503))["status"] == 503


async def test_too_many_streams_are_refused(local: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webs, "MAX_STREAMS", 1)
    async with local.session.get(local.url(f"{BASE}/events")) as first:
        assert first.headers["Content-Type"].startswith("text/event-stream")
        await first.content.readline()
        async with local.session.get(local.url(f"{BASE}/events")) as second:
            assert second.status == 503
    while True:
        async with local.session.get(local.url(f"{BASE}/events")) as third:
            if third.status == 200:
                break
        await asyncio.sleep(0)


async def test_events_come_over_the_wire(local: Asker, broker: MemoryBroker) -> None:
    health = await local.get("/now")
    async with local.session.get(
        local.url(f"{BASE}/events"), params={"after": health["position"]}
    ) as stream:
        partition = broker.partition(Place(topics.audit(MESH), 0))
        partition.append(5, b"0-x", b"garbage", ())
        block = b""
        async with asyncio.timeout(10):
            while b"event: facts" not in block or not block.endswith(b"\n\n"):
                block += await stream.content.readline()
    assert b'"readable":false' in block
    assert b"id: " in block


async def test_a_log_that_is_away_is_no_defect(
    local: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = local.dashboard.api
    assert api is not None

    async def away(*_: object) -> None:
        raise Unreachable("nobody answers")

    monkeypatch.setattr(api._reader, "record", away)
    assert "nobody answers" in (await local.get("/audit/0/0", 503))["detail"]


async def test_a_defect_is_told_and_nothing_of_it(
    local: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    api = local.dashboard.api
    assert api is not None

    async def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(api._reader, "record", broken)
    assert "secret" not in (await local.get("/audit/0/0", 500))["detail"]
    assert "a secret" in caplog.text
