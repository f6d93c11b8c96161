"""The door of `POST /webhooks/…`: what a request must be before its content matters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from billing.kit.errors import BillingError
from billing.kit.http import service_of
from billing.webhooks.doorkeeper import Doorkeeper
from billing.webhooks.errors import WebhookContentTypeWrong, WebhookTooLarge
from billing.webhooks.rules import BODY_BYTES_MAX, Provider, parse_body
from billing.webhooks.service import InboxService
from billing.webhooks.trust import SIGNATURE_HEADERS, TOKEN_HEADER, TOKEN_PARAMETER, Knock


async def _inbox(request: Request) -> InboxService:
    return service_of(request, InboxService)


async def _doorkeeper(request: Request) -> Doorkeeper:
    return service_of(request, Doorkeeper)


Inbox = Annotated[InboxService, Depends(_inbox)]
_Keeper = Annotated[Doorkeeper, Depends(_doorkeeper)]


def _trusted_body(provider: Provider) -> Callable[..., Awaitable[bytes]]:
    async def trusted_body(request: Request, keeper: _Keeper) -> bytes:
        """The body of a notification that is well-formed and comes from the provider.

        Raises:
            WebhookContentTypeWrong, WebhookTooLarge, WebhookMalformed: it cannot be a notification.
            WebhookNotConfigured, WebhookUntrusted: it cannot be trusted.
        """
        try:
            body = await _well_formed(request)
            keeper.admit(provider, _knock_of(request, provider, body))
        except BillingError as refusal:
            keeper.count_refusal(provider, refusal)
            raise
        return body

    return trusted_body


YookassaBody = Annotated[bytes, Depends(_trusted_body(Provider.YOOKASSA))]
StripeBody = Annotated[bytes, Depends(_trusted_body(Provider.STRIPE))]


async def _well_formed(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise WebhookContentTypeWrong
    body = await _read(request)
    parse_body(body)
    return body


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


def _knock_of(request: Request, provider: Provider, body: bytes) -> Knock:
    query_token = request.query_params.get(TOKEN_PARAMETER)
    return Knock(
        header_token=_raw_header(request, TOKEN_HEADER),
        query_token=None if query_token is None else query_token.encode("utf-8", "surrogatepass"),
        signature=_raw_header(request, SIGNATURE_HEADERS[provider]),
        peer=None if request.client is None else request.client.host,
        forwarded_for=tuple(request.headers.getlist("x-forwarded-for")),
        body=body,
    )


def _raw_header(request: Request, name: str) -> bytes | None:
    """The header's bytes as they came: Starlette reads them as Latin-1, so this gives them back."""
    value = request.headers.get(name)
    return None if value is None else value.encode("latin-1")
