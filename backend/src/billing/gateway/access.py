"""Who calls the gateway, with which request, and which limit of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from billing.customers.access import bearer_token
from billing.customers.errors import NotSignedIn
from billing.customers.rules import Principal
from billing.customers.service import CustomersService
from billing.gateway.errors import RequestTooLarge
from billing.gateway.fail_closed import failing_closed
from billing.gateway.service import GatewayService
from billing.gateway.settings import GatewaySettings
from billing.kit.errors import InvalidInput
from billing.kit.http import service_of
from billing.kit.money import Money

CORRELATION_HEADER = "X-Request-Id"
MAX_REPLY_COST_HEADER = "X-Billing-Max-Reply-Cost"


async def _gateway(request: Request) -> GatewayService:
    # Asynchronous, like every dependency of a paid call: others take a detour through a pool of threads.
    return service_of(request, GatewayService)


async def api_key_caller(request: Request) -> Principal:
    """Whose API key this is. A browser's cookie counts for nothing here.

    Raises:
        NotSignedIn: no bearer token came.
        ApiKeyInvalid: it is no live key.
        BillingUnavailable: nobody can look it up at the moment.
    """
    secret = bearer_token(request)
    if secret is None:
        raise NotSignedIn
    with failing_closed():
        return await service_of(request, CustomersService).principal_of_api_key(secret)


async def limited_body(request: Request) -> bytes:
    """The whole body, read no further than allowed.

    Raises:
        RequestTooLarge: it is larger, whatever it said about itself.
    """
    bytes_max = service_of(request, GatewaySettings).request_bytes_max
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise RequestTooLarge(bytes_max)
    return bytes(body)


async def max_reply_cost(request: Request) -> Money | None:
    """The most that the client wants to pay for this reply, in the wallet's currency.

    Raises:
        InvalidInput: the header is there and is not a decimal amount of zero or more.
    """
    text = request.headers.get(MAX_REPLY_COST_HEADER)
    if text is None:
        return None
    try:
        limit = Money.from_decimal(text.strip(), service_of(request, GatewayService).currency)
    except InvalidInput as unreadable:
        raise InvalidInput(MAX_REPLY_COST_HEADER, unreadable.sentence) from None
    if limit.micros < 0:
        raise InvalidInput(MAX_REPLY_COST_HEADER, "The most that a reply may cost is not negative.")
    return limit


KeyCaller = Annotated[Principal, Depends(api_key_caller)]
Body = Annotated[bytes, Depends(limited_body)]
MaxReplyCost = Annotated[Money | None, Depends(max_reply_cost)]
Gateway = Annotated[GatewayService, Depends(_gateway)]
