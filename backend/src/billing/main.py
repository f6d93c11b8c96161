"""The HTTP application: doors, middleware, and one way to answer each refusal."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import OperationalError as DriverError
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException
from starlette.responses import Response

from billing import __version__
from billing.admin import endpoints as admin
from billing.admin import inbox_endpoints, payment_endpoints, reconciliation_endpoints
from billing.customers import endpoints as customers
from billing.gateway import endpoints as gateway
from billing.gateway.errors import BillingUnavailable
from billing.http_errors import (
    InternalError,
    MethodNotAllowed,
    NotFound,
    body_of,
    headers_of,
    status_of,
)
from billing.kit.errors import BillingError, InvalidInput
from billing.kit.http import StorableAddresses, service_of
from billing.kit.settings import require_asserts
from billing.pages import endpoints as pages
from billing.pages.access import refusal_page
from billing.payments import auto_topups_endpoints, methods_endpoints
from billing.payments import endpoints as payments
from billing.pricing import endpoints as pricing
from billing.quotas import endpoints as quotas
from billing.subscriptions import endpoints as subscriptions
from billing.usage import endpoints as usage
from billing.wallets import endpoints as wallets
from billing.webhooks import endpoints as webhooks
from billing.webhooks.outbound import endpoints as outbound
from billing.wiring.feature_flags import Doors
from billing.wiring.middleware import BasePath, Bugs, FlaggedDoors, RequestIds
from billing.wiring.readiness import Readiness
from billing.wiring.services import Services

_log = structlog.get_logger(__name__)
_METHOD_NOT_ALLOWED = 405
_UNREADY = 503


def create_app(services: Services) -> FastAPI:
    """The application over these services, at the base path of their public address."""
    require_asserts()
    # The interactive pages load scripts of strangers; the description itself is enough.
    app = FastAPI(title="Billing", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None)
    app.state.services = services.by_type()
    for router in (
        customers.router,
        payments.router,
        subscriptions.router,
        methods_endpoints.router,
        auto_topups_endpoints.router,
        webhooks.router,
        outbound.router,
        quotas.router,
        quotas.admin_router,
        usage.router,
        pricing.router,
        wallets.router,
        gateway.router,
        admin.router,
        inbox_endpoints.router,
        reconciliation_endpoints.router,  # before the next one, to which `differences` would be a payment's id
        payment_endpoints.router,
        pages.router,
    ):
        app.include_router(router)
    pages.mount_static_files(app, services.renderer)
    _add_health(app)
    _add_error_handlers(app)
    # The last one added is the first that a request meets.
    app.add_middleware(StorableAddresses, refuse=_refusal)
    app.add_middleware(FlaggedDoors, doors=Doors(services.settings.flags))
    app.add_middleware(Bugs, answer=_bug)
    app.add_middleware(BasePath, base_path=services.public_address.base_path)
    app.add_middleware(RequestIds, ids=services.ids)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"])
    async def readyz(request: Request) -> JSONResponse:
        """The process can do its work; 503 with the reasons otherwise."""
        checks = await service_of(request, Readiness).checks()
        is_ready = all(check.is_right or not check.is_required for check in checks)
        body = {"ready": is_ready, "checks": {c.name: {"ok": c.is_right, "message": c.sentence} for c in checks}}
        return JSONResponse(body, status_code=200 if is_ready else _UNREADY)

    @app.get("/version", tags=["health"])
    async def version() -> dict[str, str]:
        """Which version runs here."""
        return {"version": __version__}


def _add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(BillingError, _refusal)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _no_route)
    for kind in (DriverError, PoolTimeout, DBAPIError, PoolExhausted):
        app.add_exception_handler(kind, _database_down)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, BillingError), "registered for refusals only"
    return await _answer(request, error)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for malformed requests only"
    return await _answer(request, _as_refusal(error.errors()))


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for Starlette's own answers only"
    return await _answer(request, MethodNotAllowed() if error.status_code == _METHOD_NOT_ALLOWED else NotFound())


async def _database_down(request: Request, error: Exception) -> Response:
    is_connection = not isinstance(error, DBAPIError) or error.connection_invalidated or _cannot_connect(error)
    if not is_connection:
        return await _bug(request, error)
    _log.error("database_unreachable", kind=type(error).__name__)
    return await _answer(request, BillingUnavailable())


async def _bug(request: Request, error: Exception) -> Response:
    # The exception's own words may hold a customer's data or a provider's text: the trace goes to the log only.
    _log.error("bug", path=request.url.path, exc_info=error)
    return await _answer(request, InternalError(str(getattr(request.state, "request_id", ""))))


async def _answer(request: Request, error: BillingError) -> Response:
    status = status_of(error)
    headers = headers_of(error)
    if gateway.is_gateway_path(request.url.path):
        return gateway.refusal(error, status=status, headers=headers)
    if _is_for_people(request):
        return refusal_page(request, error)
    return JSONResponse(body_of(error), status_code=status, headers=headers)


def _is_for_people(request: Request) -> bool:
    """A browser's own navigation outside the APIs."""
    return "text/html" in request.headers.get("Accept", "") and not request.url.path.startswith("/api/")


def _cannot_connect(error: DBAPIError) -> bool:
    return isinstance(error.orig, DriverError) and error.statement is None


def _as_refusal(errors: Sequence[object]) -> InvalidInput:
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    field = ".".join(str(part) for part in first.get("loc", ())[1:]) or "body"
    return InvalidInput(field, f"{field}: {first.get('msg', 'malformed')}.")
