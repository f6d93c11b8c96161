"""Signing in and out, who am I, and API keys, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from billing.customers.access import (
    Caller,
    Cookies,
    Customers,
    bearer_token,
    client_address,
    csrf,
    request_id,
    session_token,
)
from billing.customers.rules import csrf_token_of
from billing.customers.schemas import (
    ApiKeyPage,
    ApiKeyView,
    MeView,
    NewApiKeyRequest,
    NewApiKeyView,
    SessionView,
    SignInRequest,
)
from billing.kit.pagination import PAGE_SIZE_MAX

router = APIRouter(prefix="/api/v1", tags=["customers"])

_PAGE_SIZE = 50


@router.post("/session", status_code=201)
async def sign_in(
    body: SignInRequest, request: Request, response: Response, customers: Customers, cookies: Cookies
) -> SessionView:
    """Signs in: the session's token comes as a cookie; a session that the browser had before ends."""
    signed_in = await customers.sign_in(
        body.email,
        body.password.get_secret_value(),
        user_agent=request.headers.get("User-Agent", ""),
        address=client_address(request),
        replaces=session_token(request),
    )
    cookies.give(response, signed_in.token)
    _keep_out_of_caches(response)
    return SessionView(csrf_token=signed_in.csrf_token, expires_at=signed_in.expires_at)


@router.delete("/session", status_code=204)
async def sign_out(request: Request, response: Response, customers: Customers, cookies: Cookies) -> None:
    """Signs out; without a session there is nothing to do."""
    await csrf(request)
    token = session_token(request)
    if token is not None:
        await customers.sign_out(token)
    cookies.take_back(response)


@router.get("/me")
async def me(request: Request, response: Response, caller: Caller, customers: Customers) -> MeView:
    """Who the caller is and may do."""
    token = session_token(request) if bearer_token(request) is None else None
    _keep_out_of_caches(response)
    return MeView.of(caller, await customers.profile(caller), None if token is None else csrf_token_of(token))


@router.get("/api-keys")
async def list_api_keys(
    caller: Caller,
    customers: Customers,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _PAGE_SIZE,
) -> ApiKeyPage:
    """The account's keys, newest first."""
    page = await customers.api_keys(caller, cursor=cursor, limit=limit)
    return ApiKeyPage(items=[ApiKeyView.of(key) for key in page.rows], next_cursor=page.next_cursor)


@router.post("/api-keys", status_code=201)
async def create_api_key(
    body: NewApiKeyRequest, request: Request, response: Response, caller: Caller, customers: Customers
) -> NewApiKeyView:
    """Makes a key; its secret is shown here and never again."""
    new = await customers.create_api_key(
        caller,
        body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
        models=body.models,
        request_id=request_id(request),
    )
    _keep_out_of_caches(response)
    return NewApiKeyView.of(new)


@router.delete("/api-keys/{api_key_id}", status_code=204)
async def revoke_api_key(api_key_id: str, request: Request, caller: Caller, customers: Customers) -> None:
    """Revokes a key at once; revoking it again changes nothing."""
    await customers.revoke_api_key(caller, api_key_id, request_id=request_id(request))


def _keep_out_of_caches(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"
