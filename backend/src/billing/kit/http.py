"""How an endpoint finds the service that it speaks for, and which addresses no endpoint ever sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar, cast
from urllib.parse import unquote_to_bytes

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from billing.kit.errors import InvalidInput

S = TypeVar("S")


def service_of(request: HTTPConnection, kind: type[S]) -> S:
    """The one service of this type that the wiring gave to the application."""
    services = cast("Mapping[type[object], object]", request.app.state.services)
    return cast("S", services[kind])


class StorableAddresses:
    """Refuses addresses with a zero character in path or query, which no text in the database can hold.

    Whatever a route does with an id or a filter, it is never asked for one that would fail as a bug.
    """

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, Exception], Awaitable[Response]]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on if its address can be stored."""
        if scope["type"] != "http" or not _has_zero_character(scope):
            await self._app(scope, receive, send)
            return
        error = InvalidInput("address", "An address holds no zero character (%00).")
        response = await self._refuse(Request(scope, receive), error)
        await response(scope, receive, send)


def _has_zero_character(scope: Scope) -> bool:
    return "\0" in scope["path"] or b"\0" in unquote_to_bytes(scope["query_string"])
