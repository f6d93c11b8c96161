"""Puts the simulator together: API, control API and pages over one account."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.clock import MovableClock, machine_time
from testkit.simulators.control import control_router
from testkit.simulators.door import Door
from testkit.simulators.notifications import NotificationUnknownError, Notifier, WebhookTarget
from testkit.simulators.stage import Stage
from testkit.simulators.stripe.api import Counter, create_api, name_operation
from testkit.simulators.stripe.books import Books
from testkit.simulators.stripe.control import account_router
from testkit.simulators.stripe.events import Postmark
from testkit.simulators.stripe.idempotency import IdempotencyKeys
from testkit.simulators.stripe.pages import pages_router
from testkit.simulators.stripe.payments import Payments
from testkit.simulators.stripe.refusals import ApiRefusal, NotFound, planned_error_json
from testkit.simulators.stripe.reversals import Reversals


class StripeSettings(BaseModel):
    """Which account this provider serves and where it sends its events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account_id: str = Field(default="acct_1Simulated", pattern=r"^acct_[0-9A-Za-z]{1,40}$")
    secret_key: str = Field(default="sk_test_simulated", min_length=1)
    webhook_secret: str = "whsec_simulated"  # noqa: S105 - a simulator guards nothing
    """What events are signed with; without it they are not."""
    seed: int = 1
    public_url: str | None = None
    """Scheme, host and port of payment pages as browsers see them; None: as the API was addressed."""
    webhook: WebhookTarget | None = None


def create_stripe(settings: StripeSettings | None = None, *, now: Callable[[], datetime] = machine_time) -> FastAPI:
    """The whole simulator as one ASGI application; `now` is the base of its movable clock."""
    settings = settings or StripeSettings()
    stage, clock = Stage(), MovableClock(now)
    postmark = Postmark(clock, secret=settings.webhook_secret, seed=settings.seed)
    notifier = Notifier(clock, settings.webhook, envelope=postmark.envelope, sign=postmark.sign)
    books = Books(settings.account_id, seed=settings.seed, clock=clock, announce=notifier.announce)
    payments, reversals = Payments(books), Reversals(books)
    keys = IdempotencyKeys(clock)

    def start_over() -> None:
        for part in (stage, notifier, postmark, books, reversals, keys):
            part.clear()

    def let_things_fall_due() -> None:
        payments.let_things_expire()
        notifier.let_late_ones_go()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with notifier.at_work():
            yield

    app = FastAPI(title="Simulated Stripe", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(control_router(stage, clock, after_advance=let_things_fall_due))
    app.include_router(account_router(books, payments, reversals, notifier, start_over=start_over))
    app.include_router(pages_router(books, payments, reversals, notifier))
    _add_refusals(app)
    counter = Counter(books, keys, secret_key=settings.secret_key)
    api = create_api(counter, payments, reversals, public_url=settings.public_url)
    app.mount("/v1", Door(api, stage=stage, name_operation=name_operation, error_body=planned_error_json))
    return app


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(ApiRefusal)
    async def refused(request: Request, refusal: ApiRefusal) -> Response:
        if request.url.path.startswith("/control/"):
            return JSONResponse(refusal.as_json(), status_code=refusal.status)
        return HTMLResponse("<!doctype html><title>Not found</title><h1>Not found</h1>", status_code=refusal.status)

    @app.exception_handler(NotificationUnknownError)
    async def unknown_notification(request: Request, _: NotificationUnknownError) -> Response:
        return await refused(request, NotFound("No such notification"))
