"""How the endpoints' endpoints find their service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from billing.kit.http import service_of
from billing.webhooks.outbound.service import EndpointService


def _endpoint_service(request: Request) -> EndpointService:
    return service_of(request, EndpointService)


Endpoints = Annotated[EndpointService, Depends(_endpoint_service)]
