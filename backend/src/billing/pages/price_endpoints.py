"""The price page: for everybody, signed in or not, with an estimator that is a plain form."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from billing.gateway.price_board import PriceBoard
from billing.kit.http import service_of
from billing.pages.access import Html, PageRoute
from billing.pages.estimator import estimate
from billing.pages.prices import PriceListView

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def _board(request: Request) -> PriceBoard:
    return service_of(request, PriceBoard)


Board = Annotated[PriceBoard, Depends(_board)]


@router.get("/pricing")
async def pricing_page(request: Request, html: Html, board: Board) -> Response:
    """What everything costs, and what a plan would; the plan stands in the address, so it can be kept and sent."""
    pricing = await board.pricing()
    estimator = estimate(pricing.models, request.query_params, pricing.currency)
    context = {"prices": PriceListView.of(pricing), "estimator": estimator}
    if estimator.refusal is not None:
        return html.refused("pricing.html", estimator.refusal, **context)
    return html.page("pricing.html", **context)
