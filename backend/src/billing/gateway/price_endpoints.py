"""The public price list over HTTP: for everybody, and for caches."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from billing.gateway.price_board import PriceBoard
from billing.gateway.schemas import PublicPricingView, RateCardsView
from billing.kit.http import service_of

router = APIRouter(prefix="/api/v1/billing/public", tags=["pricing"])

_LIVE_SECONDS = 60
_NOT_MODIFIED = 304


def _board(request: Request) -> PriceBoard:
    return service_of(request, PriceBoard)


Board = Annotated[PriceBoard, Depends(_board)]


@router.get("/pricing", response_model=PublicPricingView)
async def public_pricing(request: Request, board: Board) -> Response:
    """What the models cost, what is free for a newcomer, what can be topped up, and which models to try first."""
    return _cacheable(request, PublicPricingView.of(await board.pricing()))


@router.get("/rate-cards", response_model=RateCardsView)
async def rate_cards(request: Request, board: Board) -> Response:
    """The prices in the units in which people speak of them: for a million tokens, for an image, for a minute."""
    return _cacheable(request, RateCardsView.of(await board.pricing()))


def _cacheable(request: Request, view: BaseModel) -> Response:
    """The answer, or only the news that the client has it already (RFC 9110, section 13.1.2)."""
    body = view.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={_LIVE_SECONDS}", "ETag": tag}
    known = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or known == ["*"]:
        return Response(status_code=_NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
