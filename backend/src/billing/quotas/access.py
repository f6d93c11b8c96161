"""How the endpoints find the free quota's service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from billing.kit.http import service_of
from billing.quotas.service import QuotaService


def _quotas(request: Request) -> QuotaService:
    return service_of(request, QuotaService)


Quotas = Annotated[QuotaService, Depends(_quotas)]
