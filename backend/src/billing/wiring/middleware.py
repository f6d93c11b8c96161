"""What every request passes before it reaches a route: its id, the base path, the feature flags."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.http_errors import BillingDisabled, body_of, status_of
from billing.kit.ids import Ids
from billing.wiring.feature_flags import Doors

REQUEST_ID_HEADER = "X-Request-Id"


class RequestIds:
    """Gives each request an id of ours, in logs, audit rows and the answer; a client's own id is never taken over."""

    def __init__(self, app: ASGIApp, ids: Ids) -> None:
        self._app = app
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on with its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._ids.new("req")
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class BasePath:
    """Lets the application live under any base path, whether the proxy in front strips it or not.

    Routes see paths without it, addresses are built with it (`PublicAddress`), and nothing redirects in between.
    """

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        self._app = app
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on without the base path."""
        if scope["type"] == "http" and self._base_path:
            path = scope["path"]
            if path == self._base_path or path.startswith(self._base_path + "/"):
                rest = path[len(self._base_path) :] or "/"
                scope = {**scope, "path": rest, "raw_path": rest.encode()}
        await self._app(scope, receive, send)


class BrokenAnswerError(RuntimeError):
    """A bug struck after the answer had begun: the connection is cut, and our log says why."""


class Bugs:
    """Answers exceptions that nobody expected; their words and traces go to our own log and no further (G11).

    It stands inside `RequestIds`, so that these answers and log lines carry the request's id like all others.
    """

    def __init__(self, app: ASGIApp, answer: Callable[[Request, Exception], Awaitable[Response]]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        has_begun = False

        async def watched_send(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as bug:  # noqa: BLE001 - the outermost border: behind it stands only the server, which logs all
            response = await self._answer(Request(scope, receive), bug)
            if has_begun:
                raise BrokenAnswerError from None
            await response(scope, receive, send)


class FlaggedDoors:
    """Answers 404 `billing_disabled` for whatever is behind a closed flag, before anything else looks at it."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on if its door is open."""
        if scope["type"] != "http" or not self._doors.is_closed(scope["path"]):
            await self._app(scope, receive, send)
            return
        error = BillingDisabled()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body_of(error)).encode()})
