"""The gateway over HTTP, used with the official `openai` client unchanged."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from billing.customers.access import client_address
from billing.gateway.access import CORRELATION_HEADER, Body, Gateway, KeyCaller, MaxReplyCost
from billing.gateway.errors import ModelNotFound
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming
from billing.gateway.rules.readers import READERS
from billing.gateway.schemas import ModelList, ModelView, PublicPricingView, billing_headers, openai_error
from billing.kit.errors import BillingError

router = APIRouter(tags=["gateway"])

_PREFIXES = ("/v1/", "/openai/")
_PRICES_LIVE_SECONDS = 60
# The official client repeats 408, 409, 429 and 5xx by itself; to us each repetition is another operation.
_DO_NOT_REPEAT = {"X-Should-Retry": "false"}


def is_gateway_path(path: str) -> bool:
    """Whoever calls this address speaks OpenAI's protocol."""
    return path.startswith(_PREFIXES)


def refusal(error: BillingError, *, status: int, headers: Mapping[str, str]) -> Response:
    """A refusal as the official client reads it, which it does not repeat."""
    return JSONResponse(openai_error(error, status), status_code=status, headers={**headers, **_DO_NOT_REPEAT})


def _serve_through(door: Door) -> None:
    """Opens this door under both prefixes; every door has the same life of a call behind it (G12)."""

    async def answer(
        request: Request, caller: KeyCaller, max_reply_cost: MaxReplyCost, body: Body, gateway: Gateway
    ) -> Response:
        served = await gateway.serve(
            caller,
            door,
            Incoming(body, request.headers.get("Content-Type", "")),
            correlation_id=request.headers.get(CORRELATION_HEADER),
            max_reply_cost=max_reply_cost,
            client_network=client_address(request),
        )
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


@router.get("/v1/models")
@router.get("/openai/models")
async def list_models(_: KeyCaller, gateway: Gateway) -> ModelList:
    """The models that are served and priced."""
    return ModelList(data=[ModelView.of(snapshot) for snapshot in await gateway.price_list()])


@router.get("/v1/models/{model}")
@router.get("/openai/models/{model}")
async def read_model(model: str, _: KeyCaller, gateway: Gateway) -> ModelView:
    """One model."""
    for snapshot in await gateway.price_list():
        if snapshot.model == model:
            return ModelView.of(snapshot)
    raise ModelNotFound(model)


@router.get("/api/v1/billing/public/pricing", tags=["pricing"])
async def public_pricing(gateway: Gateway, response: Response) -> PublicPricingView:
    """What the models cost and what is free; for everybody, and for caches."""
    response.headers["Cache-Control"] = f"public, max-age={_PRICES_LIVE_SECONDS}"
    return PublicPricingView.of(await gateway.public_pricing())
