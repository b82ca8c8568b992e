"""The web server: who may ask is looked at first, then the API, the events and the page answer.

Every answer, of whatever kind, has the same headers: the page may load from this server alone, run
no script but its own files, and stand in nobody's frame.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from jsonschema.protocols import Validator

from mesh.dashboard.access import SESSION_S, People, Person, host_of
from mesh.dashboard.api import Api
from mesh.dashboard.chains import TooLong
from mesh.dashboard.files import Files
from mesh.dashboard.login import LOGIN
from mesh.dashboard.refusals import Conflicting, Missing
from mesh.dashboard.routes import BASE, ROUTES, BadParameter, Route
from mesh.dashboard.schemas import validator
from mesh.dashboard.stream import TooSlow
from mesh.errors import TransportError, WireError
from mesh.wire.canonical import parse_json

MAX_BODY = 16 * 1024
"""Bytes of a request's body: a reason has at most 2,000 characters."""
MAX_QUERY = 6 * 1024
"""Characters of an address with its query: a position of 250 partitions, and below what the web
server itself takes."""
MAX_STREAMS = 200
"""Pages that follow the events at a time."""
MAX_REQUESTS = 64
"""Requests in hand at a time, events aside; more are told to come back."""
MAX_CONNECTIONS = 512
"""Connections at a time; more are closed at once."""
WRITE_S = 15.0
"""A page that takes nothing for so long is dropped."""
REQUEST_S = 60.0
"""An answer takes at most so long."""
GUESS_S = 0.5
"""Whoever gives a wrong token waits."""
SECURE_COOKIE = "__Host-parley-session"
ACT_HEADER = "X-Parley-Act"
"""What an act must carry: a page of another origin cannot add it without being asked first."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "parley",
}
_TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not permitted",
    404: "Not found",
    405: "Method not allowed",
    409: "Otherwise by now",
    413: "Too large",
    414: "Too long",
    415: "Not JSON",
    500: "Unexpected",
    503: "Not just now",
}
_STATUS: dict[type, int] = {Missing: 404, BadParameter: 400, Conflicting: 409}
_PERSON = web.RequestKey("person", Person)

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A request is not answered; `status` and text say why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Who is let in: `local` is the person on loopback, None where everybody must prove it."""

    local: Person | None
    people: People


class Web:
    """Mutable: the web application over an API.

    Args:
        api: What answers.
        files: The page.
        doors: Who is let in.
    """

    def __init__(self, api: Api, files: Files, doors: Doors) -> None:
        self._api = api
        self._files = files
        self._doors = doors
        self._streams = 0
        self._requests = 0
        self._following: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"Web({self._streams} streams, {self._requests} requests)"

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._outer, self._doorkeeper])
        for route in ROUTES:
            app.router.add_route(route.method, f"{BASE}{route.path}", self._handler(route))
        app.router.add_get("/login", _login_page)
        app.router.add_post("/login", self._login)
        app.router.add_post("/logout", self._logout)
        app.router.add_get("/{path:.*}", self._page)
        app.on_shutdown.append(self._hang_up)
        return app

    # --- around every request

    @web.middleware
    async def _outer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn every failure into a problem."""
        try:
            _check_length(request)
            answer = await handler(request)
        except web.HTTPException as error:
            answer = error if error.status < 400 else problem(error.status, error.reason)
        except Refused as error:
            answer = problem(error.status, str(error))
        except (Missing, BadParameter, Conflicting) as error:
            answer = problem(_STATUS[type(error)], str(error))
        except TooLong:
            answer = problem(413, "more records than a page shows; `mesh trace` tells them")
        except (TransportError, TimeoutError) as error:
            answer = problem(503, f"the log cannot be read just now: {error}")
        except Exception:  # noqa: BLE001 - the last stop: a defect is told, and hides nothing else
            _log.exception("%s %.200s", request.method, request.raw_path)
            answer = problem(500, "this is a defect; the dashboard's log has it")
        if not answer.prepared:
            answer.headers.update({k: v for k, v in HEADERS.items() if k not in answer.headers})
        return answer

    @web.middleware
    async def _doorkeeper(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may; a page that is to be shown to a stranger is the one to log in on."""
        local = self._doors.local
        if local is not None and host_of(request.host) not in LOCAL_HOSTS:
            raise Refused(403, "this address is answered as localhost only")
        api = request.path.startswith(f"{BASE}/")
        _check_origin(request, api=api)
        person = local or self._known(request)
        if person is not None:
            request[_PERSON] = person
        elif request.path != "/login":
            if api or request.method not in ("GET", "HEAD"):
                raise Refused(401, "give a token: `Authorization: Bearer …`, or log in at /login")
            return web.Response(status=303, headers={"Location": "/login"})
        if self._requests >= MAX_REQUESTS:
            raise Refused(503, "too many requests just now")
        self._requests += 1
        try:
            return await handler(request)
        finally:
            self._requests -= 1

    def _known(self, request: web.Request) -> Person | None:
        """Return who asks, by a token or by a session."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme:
            return self._doors.people.by_token(token) if scheme.lower() == "bearer" else None
        cookie = request.cookies.get(SECURE_COOKIE, "")
        return self._doors.people.by_session(cookie, int(time.time()))

    # --- the API

    def _handler(self, route: Route) -> Handler:
        """Return what answers a route: the person must have its role."""
        if route.name == "events":
            answer: Handler = self._events
        elif route.name == "me":
            answer = self._me
        elif route.body:
            answer = self._act(route)
        else:
            answer = self._answer(route)

        async def guarded(request: web.Request) -> web.StreamResponse:
            person = _person(request)
            if not person.may(route.role):
                raise Refused(403, f"this needs the role {route.role}")
            return await answer(request)

        return guarded

    def _answer(self, route: Route) -> Handler:
        handler = getattr(self._api, route.name)

        async def answer(request: web.Request) -> web.StreamResponse:
            asked = route.parse(dict(request.match_info), list(request.query.items()))
            async with asyncio.timeout(REQUEST_S):
                return reply(await handler(asked))

        return answer

    def _act(self, route: Route) -> Handler:
        handler = getattr(self._api.acts, route.name)
        body = validator(route.body)

        async def act(request: web.Request) -> web.StreamResponse:
            asked = route.parse(dict(request.match_info), list(request.query.items()))
            asked |= await _body(request, body)
            person = _person(request)
            async with asyncio.timeout(REQUEST_S):
                answer = await handler(asked, person)
            _log.info("%s: %s %s", person.name, route.name, json.dumps(asked))
            return reply(answer)

        return act

    async def _me(self, request: web.Request) -> web.StreamResponse:
        _route("me").parse({}, list(request.query.items()))
        person, local = _person(request), self._doors.local is not None
        roles = sorted(role.value for role in person.roles)
        return reply({"name": person.name, "roles": roles, "local": local})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Tell what is new until the page is gone, or too slow."""
        asked = _route("events").parse({}, list(request.query.items()))
        last = request.headers.get("Last-Event-ID", "") or asked["after"]
        if self._streams >= MAX_STREAMS:
            raise Refused(503, f"{MAX_STREAMS} pages follow the events already")
        stream = web.StreamResponse(headers={**HEADERS, "X-Accel-Buffering": "no"})
        stream.content_type = "text/event-stream"
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        self._streams += 1
        self._requests -= 1  # it stays, and must not keep others out
        self._following.add(task)
        try:
            await stream.prepare(request)
            await self._write(request, stream, last)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the page went away, or we do
        finally:
            self._following.discard(task)
            self._requests += 1
            self._streams -= 1
        return stream

    async def _write(self, request: web.Request, stream: web.StreamResponse, last: str) -> None:
        events = self._api.hub.follow(last[:MAX_QUERY])
        try:
            async for data in events:
                async with asyncio.timeout(WRITE_S):
                    await stream.write(data)
        except (TooSlow, TimeoutError):
            _log.info("a page was dropped: it did not take what it was sent")
            if request.transport is not None:
                request.transport.abort()
        finally:
            await events.aclose()

    async def _hang_up(self, _: web.Application) -> None:
        for task in self._following:
            task.cancel()

    # --- the page

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith(("/api/", "/login", "/logout")):
            raise Refused(404, f"there is no {request.path[:200]}")
        file = self._files.find(request.path)
        if file is None:
            raise Refused(404, f"there is no page {request.path[:200]}; the API is at {BASE}")
        tag = f'"{file.tag}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.media_type
        return web.Response(body=file.content, headers=headers)

    # --- sessions

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """Begin a session for a token that stands in a form."""
        form = await request.post()
        token = form.get("token", "")
        person = self._doors.people.by_token(token) if isinstance(token, str) else None
        if person is None:
            await asyncio.sleep(GUESS_S)
            return _login_form(401, "This token is not known.")
        answer = web.Response(status=303, headers={"Location": "/"})
        cookie = self._doors.people.session(person, int(time.time()))
        answer.set_cookie(
            SECURE_COOKIE,
            cookie,
            max_age=SESSION_S,
            path="/",
            secure=True,
            httponly=True,
            samesite="Strict",
        )
        return answer

    async def _logout(self, _: web.Request) -> web.StreamResponse:
        answer = web.Response(status=303, headers={"Location": "/login"})
        answer.del_cookie(SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        return answer


def _check_length(request: web.Request) -> None:
    if len(request.raw_path) > MAX_QUERY:
        raise Refused(414, f"an address has at most {MAX_QUERY} characters")


def _person(request: web.Request) -> Person:
    """Return who asks, as the doorkeeper found out."""
    person: Person = request[_PERSON]
    return person


def _check_origin(request: web.Request, *, api: bool) -> None:
    """See that a request that may change something comes from our own page.

    Raises:
        Refused: A page of another origin sent it, or nobody says that it did not.
    """
    site = request.headers.get("Sec-Fetch-Site", "")
    if request.method in ("GET", "HEAD"):
        if api and site == "cross-site":
            raise Refused(403, "another site's page asks")
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise Refused(403, "another site's page sent this")
    if site not in ("", "same-origin", "none"):
        raise Refused(403, "another site's page sent this")
    if api and ACT_HEADER not in request.headers:
        raise Refused(403, f"an act must carry the header {ACT_HEADER}")


async def _body(request: web.Request, schema: Validator) -> dict[str, Any]:
    """Return the body of an act.

    Raises:
        Refused: It is no JSON.
        BadParameter: It is not of the shape that it should have.
    """
    if request.content_type != "application/json":
        raise Refused(415, "the body must be application/json")
    try:
        found = parse_json(await request.read())
    except WireError as error:
        raise BadParameter(f"the body: {error}") from error
    wrong = next(schema.iter_errors(found), None)
    if wrong is not None:
        raise BadParameter(f"the body: {wrong.message[:300]}")
    body: dict[str, Any] = found
    return body


async def _login_page(_: web.Request) -> web.StreamResponse:
    return _login_form(200, "")


def _login_form(status: int, why: str) -> web.Response:
    text = LOGIN.replace("{why}", why)
    return web.Response(status=status, text=text, content_type="text/html")


def _route(name: str) -> Route:
    return next(route for route in ROUTES if route.name == name)


def reply(shape: Any, status: int = 200) -> web.Response:  # any JSON
    """Return an answer as JSON."""
    text = json.dumps(shape, separators=(",", ":"), allow_nan=False)
    return web.Response(status=status, text=text, content_type="application/json")


def problem(status: int, detail: str) -> web.Response:
    """Return a refusal (RFC 9457)."""
    shape = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Refused"),
        "status": status,
        "detail": detail[:2_000],
    }
    text = json.dumps(shape)
    return web.Response(status=status, text=text, content_type="application/problem+json")
