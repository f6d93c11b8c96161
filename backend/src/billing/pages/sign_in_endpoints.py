"""The way in and out."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from billing.customers.access import (
    Caller,
    Cookies,
    Customers,
    SessionCookies,
    client_address,
    session_token,
)
from billing.customers.errors import CredentialsWrong, NotSignedIn, TooManyAttempts
from billing.customers.rules import csrf_token_of, is_csrf_token_of
from billing.customers.service import CustomersService
from billing.kit.errors import BillingError, InvalidInput
from billing.pages.access import HOME_PATH, Html, PageRoute, app_path_of
from billing.pages.errors import FormOutdated
from billing.pages.rendering import Renderer
from billing.pages.views import SignInView

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FORM_COOKIE = "billing_form"
"""Binds a sign-in form to the browser that asked for it; nobody is known by it."""
_FORM_TOKEN_BYTES = 32

Field = Annotated[str, Form()]


@router.get("/sign-in")
async def sign_in_page(
    request: Request, html: Html, customers: Customers, cookies: Cookies, return_to: str | None = None
) -> Response:
    """The sign-in form; somebody who is signed in already is led on."""
    wanted = app_path_of(return_to)
    if await _is_signed_in(request, customers):
        return html.see_other(wanted or HOME_PATH)
    return _form(request, html, cookies, return_to=wanted)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    html: Html,
    customers: Customers,
    cookies: Cookies,
    email: Field = "",
    password: Field = "",
    csrf_token: Field = "",
    return_to: Field = "",
) -> Response:
    """Opens a session and leads to the page that was wanted; a session that the browser had before ends."""
    wanted = app_path_of(return_to)
    try:
        _check_form(request, csrf_token)
        signed_in = await customers.sign_in(
            email,
            password,
            user_agent=request.headers.get("User-Agent", ""),
            address=client_address(request),
            replaces=session_token(request),
        )
    except InvalidInput:
        # What cannot be an e-mail belongs to nobody; saying more would only help guessing.
        return _form(request, html, cookies, return_to=wanted, email=email, refusal=CredentialsWrong())
    except (CredentialsWrong, TooManyAttempts, FormOutdated) as refusal:
        return _form(request, html, cookies, return_to=wanted, email=email, refusal=refusal)
    response = html.see_other(wanted or HOME_PATH)
    cookies.give(response, signed_in.token)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, caller: Caller, html: Html, customers: Customers, cookies: Cookies) -> Response:
    """Ends the session at once."""
    del caller  # asking who is there is what checks the CSRF token
    token = session_token(request)
    if token is not None:
        await customers.sign_out(token)
    response = html.see_other("/sign-in")
    cookies.take_back(response)
    return response


async def _is_signed_in(request: Request, customers: CustomersService) -> bool:
    token = session_token(request)
    if token is None:
        return False
    try:
        await customers.principal_of_session(token)
    except NotSignedIn:
        return False
    return True


def _check_form(request: Request, csrf_token: str) -> None:
    """Somebody else's site must not sign this browser in to an account of theirs.

    Raises:
        FormOutdated: the token was not made for this browser's cookie.
    """
    form_token = request.cookies.get(FORM_COOKIE, "")
    if not form_token or not is_csrf_token_of(form_token, csrf_token):
        raise FormOutdated


def _form(
    request: Request,
    html: Renderer,
    cookies: SessionCookies,
    *,
    return_to: str | None,
    email: str = "",
    refusal: BillingError | None = None,
) -> Response:
    form_token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(_FORM_TOKEN_BYTES)
    view = SignInView(csrf_token_of(form_token), return_to, email, refusal.code if refusal else None)
    response = html.refused("sign_in.html", refusal, form=view) if refusal else html.page("sign_in.html", form=view)
    response.set_cookie(
        FORM_COOKIE, form_token, path=cookies.path, secure=cookies.is_secure, httponly=True, samesite="lax"
    )
    return response
