"""Where an account's people manage the addresses that they want to be told at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from billing.customers.access import Caller, request_id
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.webhooks.outbound.access import Endpoints
from billing.webhooks.outbound.event_types import CATALOGUE
from billing.webhooks.outbound.rules import DeliveryStatus
from billing.webhooks.outbound.schemas import (
    DeliveryPage,
    DeliveryView,
    EndpointList,
    EndpointRequest,
    EndpointView,
    EventTypeList,
    EventTypeView,
    NewSecretView,
    ReplayRequest,
    ReplayView,
    TestView,
)

router = APIRouter(prefix="/api/v1/billing", tags=["webhook endpoints"])

_PAGE_SIZE = 50


@router.get("/webhook-event-types")
async def list_event_types(caller: Caller) -> EventTypeList:
    """Everything that endpoints can be told."""
    del caller  # whoever is signed in may read it
    return EventTypeList(items=[EventTypeView(type=name, meaning=text) for name, text in CATALOGUE.items()])


@router.get("/webhook-endpoints")
async def list_endpoints(caller: Caller, endpoints: Endpoints) -> EndpointList:
    """The account's endpoints, oldest first."""
    return EndpointList(items=[EndpointView.of(one) for one in await endpoints.endpoints(caller)])


@router.post("/webhook-endpoints", status_code=201)
async def create_endpoint(
    body: EndpointRequest, request: Request, response: Response, caller: Caller, endpoints: Endpoints
) -> NewSecretView:
    """Makes an endpoint; its secret is shown here and never again. Not by API key."""
    new = await endpoints.create(caller, body.wanted(), request_id=request_id(request))
    _keep_out_of_caches(response)
    return NewSecretView.of(new)


@router.get("/webhook-endpoints/{endpoint_id}")
async def show_endpoint(endpoint_id: str, caller: Caller, endpoints: Endpoints) -> EndpointView:
    """One endpoint, and whether it works."""
    return EndpointView.of(await endpoints.endpoint(caller, endpoint_id))


@router.put("/webhook-endpoints/{endpoint_id}")
async def change_endpoint(
    endpoint_id: str, body: EndpointRequest, request: Request, caller: Caller, endpoints: Endpoints
) -> EndpointView:
    """Makes the endpoint what the body says, switched on or off; not by API key."""
    return EndpointView.of(await endpoints.change(caller, endpoint_id, body.wanted(), request_id=request_id(request)))


@router.delete("/webhook-endpoints/{endpoint_id}", status_code=204)
async def delete_endpoint(endpoint_id: str, request: Request, caller: Caller, endpoints: Endpoints) -> None:
    """Removes the endpoint with everything that waits for it; not by API key."""
    await endpoints.delete(caller, endpoint_id, request_id=request_id(request))


@router.post("/webhook-endpoints/{endpoint_id}/rotate-secret")
async def rotate_secret(
    endpoint_id: str, request: Request, response: Response, caller: Caller, endpoints: Endpoints
) -> NewSecretView:
    """Gives the endpoint a new secret, shown here only; the old one stays valid for a while. Not by API key."""
    new = await endpoints.rotate_secret(caller, endpoint_id, request_id=request_id(request))
    _keep_out_of_caches(response)
    return NewSecretView.of(new)


@router.post("/webhook-endpoints/{endpoint_id}/test", status_code=202)
async def send_test(endpoint_id: str, request: Request, caller: Caller, endpoints: Endpoints) -> TestView:
    """Sends a test message; not by API key."""
    return TestView(message_id=await endpoints.send_test(caller, endpoint_id, request_id=request_id(request)))


@router.post("/webhook-endpoints/{endpoint_id}/replay", status_code=202)
async def replay(
    endpoint_id: str, body: ReplayRequest, request: Request, caller: Caller, endpoints: Endpoints
) -> ReplayView:
    """Sends one message again, or all since a moment, with the ids that they had; not by API key."""
    count = await endpoints.replay(caller, endpoint_id, body.order(), request_id=request_id(request))
    return ReplayView(deliveries=count)


@router.get("/webhook-endpoints/{endpoint_id}/deliveries")
async def list_deliveries(
    endpoint_id: str,
    caller: Caller,
    endpoints: Endpoints,
    status: DeliveryStatus | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _PAGE_SIZE,
) -> DeliveryPage:
    """What was and will be sent there, the newest first."""
    page = await endpoints.deliveries(caller, endpoint_id, status=status, cursor=cursor, limit=limit)
    return DeliveryPage(items=[DeliveryView.of(one) for one in page.rows], next_cursor=page.next_cursor)


def _keep_out_of_caches(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"
