"""The door of `POST /webhooks/…`: what a request must be before its content matters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from billing.kit.http import service_of
from billing.webhooks.errors import WebhookContentTypeWrong, WebhookTooLarge
from billing.webhooks.rules import BODY_BYTES_MAX, parse_body
from billing.webhooks.service import InboxService
from billing.webhooks.trust import TOKEN_HEADER, TOKEN_PARAMETER, Knock, TrustPolicy


def _inbox(request: Request) -> InboxService:
    return service_of(request, InboxService)


def _policy(request: Request) -> TrustPolicy:
    return service_of(request, TrustPolicy)


Inbox = Annotated[InboxService, Depends(_inbox)]


async def trusted_body(request: Request, policy: Annotated[TrustPolicy, Depends(_policy)]) -> bytes:
    """The body of a notification that is well-formed and comes from the provider.

    Raises:
        WebhookContentTypeWrong, WebhookTooLarge, WebhookMalformed: it cannot be a notification.
        WebhookNotConfigured, WebhookUntrusted: it cannot be trusted.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise WebhookContentTypeWrong
    body = await _read(request)
    parse_body(body)
    policy.admit(_knock_of(request))
    return body


TrustedBody = Annotated[bytes, Depends(trusted_body)]


async def _read(request: Request) -> bytes:
    """The body as it streams in: a length can be announced wrongly or not at all."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise WebhookTooLarge(BODY_BYTES_MAX)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise WebhookTooLarge(BODY_BYTES_MAX)
    return bytes(body)


def _knock_of(request: Request) -> Knock:
    header_token = request.headers.get(TOKEN_HEADER)
    query_token = request.query_params.get(TOKEN_PARAMETER)
    return Knock(
        # Starlette reads header bytes as Latin-1, so this gives back the bytes that came.
        header_token=None if header_token is None else header_token.encode("latin-1"),
        query_token=None if query_token is None else query_token.encode("utf-8", "surrogatepass"),
        peer=None if request.client is None else request.client.host,
        forwarded_for=tuple(request.headers.getlist("x-forwarded-for")),
    )
