"""Puts the simulator together: API, control API and pages over one shop."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.clock import MovableClock, machine_time
from testkit.simulators.control import control_router
from testkit.simulators.door import Door
from testkit.simulators.notifications import NotificationUnknownError, Notifier, WebhookTarget
from testkit.simulators.stage import Stage
from testkit.simulators.yookassa.api import Counter, create_api, name_operation
from testkit.simulators.yookassa.control import shop_router
from testkit.simulators.yookassa.idempotence import IdempotenceKeys
from testkit.simulators.yookassa.pages import pages_router
from testkit.simulators.yookassa.refusals import ApiRefusal, NotFound, error_json, planned_error_json
from testkit.simulators.yookassa.shop import Shop


class YookassaSettings(BaseModel):
    """Which shop this provider serves and where it sends its notifications."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shop_id: str = Field(default="100500", pattern=r"^[0-9]{1,9}$")
    secret_key: str = Field(default="test_simulated_secret", min_length=1)
    seed: int = 1
    public_url: str | None = None
    """Scheme, host and port of payment pages as browsers see them; None: as the API was addressed."""
    webhook: WebhookTarget | None = None
    is_test: bool = True
    """What every payment says of itself; a shop that is none for tests still moves no money."""
    demands_receipts: bool = False
    """A shop under 54-FZ: payments and refunds without a receipt are refused."""


def create_yookassa(settings: YookassaSettings | None = None, *, now: Callable[[], datetime] = machine_time) -> FastAPI:
    """The whole simulator as one ASGI application; `now` is the base of its movable clock."""
    settings = settings or YookassaSettings()
    stage, clock = Stage(), MovableClock(now)
    notifier = Notifier(clock, settings.webhook, envelope=_notification)
    shop = Shop(settings.shop_id, seed=settings.seed, clock=clock, announce=notifier.announce, is_test=settings.is_test)
    keys = IdempotenceKeys(clock)

    def start_over() -> None:
        for part in (stage, notifier, shop, keys):
            part.clear()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with notifier.at_work():
            yield

    app = FastAPI(title="Simulated YooKassa", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    def let_things_fall_due() -> None:
        shop.let_things_expire()
        notifier.let_late_ones_go()

    app.include_router(control_router(stage, clock, after_advance=let_things_fall_due))
    app.include_router(shop_router(shop, notifier, start_over=start_over))
    app.include_router(pages_router(shop, notifier))
    _add_refusals(app, shop)

    def planned_error(status: int) -> dict[str, Any]:
        return planned_error_json(shop.new_error_id(), status)

    counter = Counter(shop, keys, secret_key=settings.secret_key, demands_receipts=settings.demands_receipts)
    api = create_api(counter, public_url=settings.public_url)
    app.mount("/v3", Door(api, stage=stage, name_operation=name_operation, error_body=planned_error))
    return app


def _add_refusals(app: FastAPI, shop: Shop) -> None:
    @app.exception_handler(ApiRefusal)
    async def refused(request: Request, refusal: ApiRefusal) -> Response:
        if request.url.path.startswith("/control/"):
            body = error_json(shop.new_error_id(), refusal.code, refusal.description, refusal.parameter)
            return JSONResponse(body, status_code=refusal.status)
        return HTMLResponse("<!doctype html><title>Not found</title><h1>Not found</h1>", status_code=refusal.status)

    @app.exception_handler(NotificationUnknownError)
    async def unknown_notification(request: Request, _: NotificationUnknownError) -> Response:
        return await refused(request, NotFound("No such notification", parameter="notification_id"))


def _notification(event: str, snapshot: dict[str, Any]) -> dict[str, Any]:
    return {"type": "notification", "event": event, "object": snapshot}
