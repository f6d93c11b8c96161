"""How an endpoint finds the service that it speaks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from starlette.requests import HTTPConnection

S = TypeVar("S")


def service_of(request: HTTPConnection, kind: type[S]) -> S:
    """The one service of this type that the wiring gave to the application."""
    services = cast("Mapping[type[object], object]", request.app.state.services)
    return cast("S", services[kind])
