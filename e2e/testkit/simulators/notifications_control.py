"""The control API of notifications: where they go, and which of them arrive, when, and how often."""

from typing import Any

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.notifications import LATE_SECONDS, DeliveryMode, Notification, Notifier, WebhookTarget


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Mode(_Body):
    mode: DeliveryMode
    late_seconds: float = Field(default=LATE_SECONDS, ge=0, le=30 * 24 * 3600)


class _Release(_Body):
    ids: list[str] | None = None


class _Repeat(_Body):
    times: int = Field(default=1, ge=1, le=1000)
    at_once: bool = False


class _Wait(_Body):
    timeout_seconds: float = Field(default=10, ge=0, le=60)


class _Forgery(_Body):
    event: str
    object: dict[str, Any]
    target: WebhookTarget | None = None


def notifications_router(notifier: Notifier) -> APIRouter:
    """Routes `/webhook` and `/notifications`, to be put under `/control`.

    Those that name a notification raise `NotificationUnknownError`, which the application answers with 404.
    """
    router = APIRouter()
    _add_webhook(router, notifier)
    _add_notifications(router, notifier)
    return router


def _add_webhook(router: APIRouter, notifier: Notifier) -> None:
    @router.get("/webhook")
    async def read_webhook() -> WebhookTarget | None:
        """Where notifications go."""
        return notifier.target

    @router.put("/webhook")
    async def set_webhook(target: WebhookTarget) -> WebhookTarget:
        """Sends notifications here from now on."""
        notifier.target = target
        return target

    @router.delete("/webhook", status_code=status.HTTP_204_NO_CONTENT)
    async def remove_webhook() -> Response:
        """Sends no notifications from now on."""
        notifier.target = None
        return Response(status_code=status.HTTP_204_NO_CONTENT)


def _add_notifications(router: APIRouter, notifier: Notifier) -> None:
    @router.get("/notifications")
    async def list_notifications() -> dict[str, Any]:
        """Every notification with its attempts, oldest first."""
        return {"mode": notifier.mode, "items": notifier.all()}

    @router.put("/notifications/mode")
    async def set_mode(wanted: _Mode) -> dict[str, Any]:
        """Says what happens to notifications from now on."""
        notifier.mode, notifier.late_seconds = wanted.mode, wanted.late_seconds
        return {"mode": notifier.mode}

    @router.post("/notifications/release")
    async def release(wanted: _Release | None = None) -> dict[str, Any]:
        """Delivers held notifications in the given order and answers when that is done."""
        return {"items": await notifier.release(wanted.ids if wanted else None)}

    @router.post("/notifications/wait")
    async def wait(wanted: _Wait | None = None) -> dict[str, Any]:
        """Answers when no notification is queued or under way."""
        idle = await notifier.wait_until_idle((wanted or _Wait()).timeout_seconds)
        return {"idle": idle, "items": notifier.all()}

    @router.post("/notifications/forge", status_code=status.HTTP_201_CREATED)
    async def forge(forgery: _Forgery) -> Notification:
        """Delivers a notification about something that never happened, once, from anywhere."""
        return await notifier.forge(forgery.event, forgery.object, target=forgery.target)

    @router.post("/notifications/{notification_id}/repeat")
    async def repeat(notification_id: str, wanted: _Repeat | None = None) -> Notification:
        """Delivers a notification again and answers when that is done."""
        wanted = wanted or _Repeat()
        return await notifier.repeat(notification_id, times=wanted.times, at_once=wanted.at_once)

    @router.post("/notifications/{notification_id}/lose")
    async def lose(notification_id: str) -> Notification:
        """Makes sure that a waiting notification never arrives by itself."""
        return notifier.lose(notification_id)
