"""How a request shows who sends it: the session's cookie or an API key, and for changes by cookie the CSRF token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from billing.customers.errors import CsrfFailed, NotSignedIn
from billing.customers.rules import Principal, is_csrf_token_of
from billing.customers.service import CustomersService
from billing.kit.client_address import UNKNOWN_NETWORK, TrustedProxies
from billing.kit.http import service_of

SESSION_COOKIE = "billing_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class SessionCookies:
    """How this deployment hands out the session's cookie; the wiring makes one from the public base."""

    path: str
    is_secure: bool
    lifetime: timedelta

    @classmethod
    def for_public_base(cls, public_base: str, *, lifetime: timedelta) -> Self:
        """Bound to the public base's path, and to TLS where the base has it."""
        base = urlsplit(public_base)
        return cls(path=base.path.rstrip("/") or "/", is_secure=base.scheme == "https", lifetime=lifetime)

    def give(self, response: Response, token: str) -> None:
        """Puts the token where scripts cannot read it and other sites' forms do not send it."""
        response.set_cookie(
            SESSION_COOKIE,
            token,
            max_age=int(self.lifetime.total_seconds()),
            path=self.path,
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def take_back(self, response: Response) -> None:
        """Tells the browser to forget the token."""
        response.delete_cookie(SESSION_COOKIE, path=self.path, secure=self.is_secure, httponly=True, samesite="lax")


async def signed_in(request: Request) -> Principal:
    """Who sends this request, by `Authorization: Bearer bk_…` or else by the session's cookie.

    A change by cookie must also carry the session's CSRF token; this is checked here, so that no endpoint that asks
    who is there can forget it.

    Raises:
        NotSignedIn: no credentials, or the session has ended.
        ApiKeyInvalid: a bearer token came that is no live key; the cookie is then not looked at.
        CsrfFailed: a change by cookie without its CSRF token.
    """
    customers = service_of(request, CustomersService)
    bearer = bearer_token(request)
    if bearer is not None:
        return await customers.principal_of_api_key(bearer)
    token = session_token(request)
    if token is None:
        raise NotSignedIn
    principal = await customers.principal_of_session(token)
    await csrf(request)
    return principal


async def csrf(request: Request) -> None:
    """Refuses changes that the browser sends with our cookie, but that no page of ours asked for.

    The token comes in the header `X-CSRF-Token`, or in the form field `csrf_token`.

    Raises:
        CsrfFailed: the session's cookie came with an unsafe method and without this session's token.
    """
    token = session_token(request)
    if token is None or request.method in _SAFE_METHODS or bearer_token(request) is not None:
        return
    given = request.headers.get(CSRF_HEADER) or await _csrf_field(request)
    if not is_csrf_token_of(token, given):
        raise CsrfFailed


def session_token(request: Request) -> str | None:
    """The session's token in the cookie, if there is one."""
    return request.cookies.get(SESSION_COOKIE) or None


def bearer_token(request: Request) -> str | None:
    """What follows `Bearer` in the Authorization header; None for other schemes, which are a proxy's business."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def client_address(request: Request) -> str:
    """The network address of whoever sends this: what the outermost of our own proxies saw, or "unknown"."""
    address = service_of(request, TrustedProxies).address_of(
        peer=request.client.host if request.client else None,
        forwarded_for=request.headers.getlist("X-Forwarded-For"),
    )
    return UNKNOWN_NETWORK if address is None else str(address)


def request_id(request: Request) -> str:
    """The id under which this request stands in logs and in the audit trail."""
    return str(getattr(request.state, "request_id", ""))


async def _csrf_field(request: Request) -> str:
    if not request.headers.get("Content-Type", "").startswith(_FORM_TYPES):
        return ""
    field = (await request.form()).get(CSRF_FIELD)
    return field if isinstance(field, str) else ""


def _customers(request: Request) -> CustomersService:
    return service_of(request, CustomersService)


def _session_cookies(request: Request) -> SessionCookies:
    return service_of(request, SessionCookies)


Caller = Annotated[Principal, Depends(signed_in)]
Customers = Annotated[CustomersService, Depends(_customers)]
Cookies = Annotated[SessionCookies, Depends(_session_cookies)]
