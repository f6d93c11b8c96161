"""The gateway's endpoints as the whole application serves them, without the rest of it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from backend.tests.builders.gateway import SETTINGS, Gate, Payer
from billing.customers.service import CustomersService
from billing.gateway import endpoints
from billing.gateway.service import GatewayService
from billing.gateway.settings import GatewaySettings
from billing.http_errors import body_of, headers_of, status_of
from billing.kit.client_address import TrustedProxies
from billing.kit.errors import BillingError
from billing.quotas.endpoints import router as quotas_router
from billing.quotas.service import QuotaService
from billing.usage.endpoints import router as usage_router
from billing.usage.service import UsageService

BYTES_MAX = 20_000


def application(gate: Gate, *, customers: CustomersService | None = None) -> FastAPI:
    """The endpoints of calls, usage and free limits, with refusals rendered as the whole application does."""
    app = FastAPI()
    app.state.services = {
        CustomersService: customers or gate.town.service,
        GatewayService: gate.service,
        GatewaySettings: SETTINGS.model_copy(update={"request_bytes_max": BYTES_MAX}),
        QuotaService: gate.quotas,
        UsageService: gate.usage,
        TrustedProxies: TrustedProxies(0),
    }
    for router in (endpoints.router, quotas_router, usage_router):
        app.include_router(router)

    @app.exception_handler(BillingError)
    async def refuse(request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, BillingError)
        status, headers = status_of(refusal), headers_of(refusal)
        if endpoints.is_gateway_path(request.url.path):
            return endpoints.refusal(refusal, status=status, headers=headers)
        return JSONResponse(body_of(refusal), status_code=status, headers=headers)

    return app


def bearer(payer: Payer) -> dict[str, str]:
    """What a program sends to say who it is."""
    return {"Authorization": f"Bearer {payer.key}"}
