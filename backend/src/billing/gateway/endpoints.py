"""The gateway over HTTP, used with the official `openai` client unchanged."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from billing.customers.access import client_address
from billing.gateway import price_endpoints
from billing.gateway.access import (
    CORRELATION_HEADER,
    Body,
    Gateway,
    KeyCaller,
    MaxReplyCost,
    api_key_caller,
    limited_body,
    max_reply_cost,
)
from billing.gateway.calls import StreamedAnswer
from billing.gateway.errors import ModelNotFound
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming
from billing.gateway.rules.quote_request import read_question
from billing.gateway.rules.readers import READERS
from billing.gateway.schemas import ModelList, ModelView, QuoteView, billing_headers, openai_error
from billing.gateway.service import GatewayService
from billing.kit.errors import BillingError
from billing.kit.http import service_of

router = APIRouter(tags=["gateway"])
router.include_router(price_endpoints.router)

_PREFIXES = ("/v1/", "/openai/")
# The official client repeats 408, 409, 429 and 5xx by itself; to us each repetition is another operation.
_DO_NOT_REPEAT = {"X-Should-Retry": "false"}


def is_gateway_path(path: str) -> bool:
    """Whoever calls this address speaks OpenAI's protocol."""
    return path.startswith(_PREFIXES)


def refusal(error: BillingError, *, status: int, headers: Mapping[str, str]) -> Response:
    """A refusal as the official client reads it, which it does not repeat."""
    return JSONResponse(openai_error(error, status), status_code=status, headers={**headers, **_DO_NOT_REPEAT})


class StreamResponse(StreamingResponse):
    """Passes a stream on, and says when its client has gone, however that shows."""

    def __init__(self, streamed: StreamedAnswer, headers: Mapping[str, str]) -> None:
        super().__init__(
            aiter(streamed.reading), headers={**headers, "X-Accel-Buffering": "no"}, media_type=streamed.content_type
        )
        self._reading = streamed.reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the end, or until nobody listens."""
        try:
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            return
        finally:
            self._reading.leave()


def _serve_through(door: Door) -> None:
    """Opens this door under both prefixes; every door has the same life of a call behind it (G12)."""

    async def answer(request: Request) -> Response:
        # Asked one by one and not declared: solving the same declarations anew is a tenth of a paid call's work.
        caller = await api_key_caller(request)
        served = await service_of(request, GatewayService).serve(
            caller,
            door,
            max_reply_cost=await max_reply_cost(request),
            incoming=Incoming(await limited_body(request), request.headers.get("Content-Type", "")),
            correlation_id=request.headers.get(CORRELATION_HEADER),
            client_network=client_address(request),
        )
        if isinstance(served, StreamedAnswer):
            return StreamResponse(served, billing_headers(served))
        return Response(
            served.content,
            status_code=served.status,
            media_type=served.content_type,
            headers=billing_headers(served),
        )

    for prefix in _PREFIXES:
        router.add_api_route(f"{prefix}{door}", answer, methods=["POST"], name=f"{prefix}{door}")


for _door in READERS:
    _serve_through(_door)


@router.post("/v1/billing/quote")
@router.post("/openai/billing/quote")
async def quote(request: Request, caller: KeyCaller, limit: MaxReplyCost, body: Body, gateway: Gateway) -> QuoteView:
    """What a call would cost at most and whether it would be let in; nothing is held, and no model is called."""
    door, incoming = read_question(body)
    quoted = await gateway.quote(caller, door, incoming, max_reply_cost=limit, client_network=client_address(request))
    return QuoteView.of(quoted)


@router.get("/v1/models")
@router.get("/openai/models")
async def list_models(caller: KeyCaller, gateway: Gateway) -> ModelList:
    """The models that are served and priced, and that the key is for."""
    return ModelList.of([priced for priced in await gateway.price_list() if caller.may_call(priced.model)])


@router.get("/v1/models/{model}")
@router.get("/openai/models/{model}")
async def read_model(model: str, caller: KeyCaller, gateway: Gateway) -> ModelView:
    """One model."""
    for view in (await list_models(caller, gateway)).data:
        if view.id == model:
            return view
    raise ModelNotFound(model)
