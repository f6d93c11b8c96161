"""The inbox of notifications over HTTP, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, status

from billing.admin.access import Inbox
from billing.admin.schemas import AgainRequest, MessageList, MessageView, RefusalList, RefusalView, ShownMessageView
from billing.customers.access import Caller, request_id
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.webhooks.rules import MessageStatus, Provider

router = APIRouter(prefix="/admin/billing/webhooks", tags=["operators"])

_SHOWN = 100
_DAYS = 7
_DAYS_MAX = 90


@router.get("/messages")
async def list_messages(
    caller: Caller,
    desk: Inbox,
    provider: Provider | None = None,
    message_status: Annotated[MessageStatus | None, Query(alias="status")] = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _SHOWN,
) -> MessageList:
    """Notifications, newest first; `before` is the id of the last one of the page before."""
    found = await desk.messages(caller, provider=provider, status=message_status, before=before, limit=limit)
    return MessageList(items=[MessageView.of(message) for message in found])


@router.get("/messages/{message_id}")
async def show_message(message_id: str, caller: Caller, desk: Inbox) -> ShownMessageView:
    """One notification; what its body says about people is hidden."""
    return ShownMessageView.of_shown(await desk.message(caller, message_id))


@router.post("/messages/{message_id}/replay", status_code=status.HTTP_202_ACCEPTED)
async def replay_message(
    message_id: str, body: AgainRequest, request: Request, caller: Caller, desk: Inbox
) -> dict[str, str]:
    """Has a notification handled once more that was done, ignored or given up."""
    await desk.replay(caller, message_id, reason=body.reason, request_id=request_id(request))
    return {"status": MessageStatus.WAITING}


@router.post("/messages/{message_id}/release", status_code=status.HTTP_202_ACCEPTED)
async def release_message(
    message_id: str, body: AgainRequest, request: Request, caller: Caller, desk: Inbox
) -> dict[str, str]:
    """Lets a notification out of quarantine, to be handled again."""
    await desk.release(caller, message_id, reason=body.reason, request_id=request_id(request))
    return {"status": MessageStatus.WAITING}


@router.get("/refusals")
async def list_refusals(
    caller: Caller, desk: Inbox, days: Annotated[int, Query(ge=1, le=_DAYS_MAX)] = _DAYS
) -> RefusalList:
    """How many notifications were turned away at the doors, by day, provider and reason."""
    return RefusalList(items=[RefusalView.of(refusals) for refusals in await desk.refusals(caller, days=days)])
