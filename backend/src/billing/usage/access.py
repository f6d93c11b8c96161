"""How the endpoints find the record of usage."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from billing.kit.http import service_of
from billing.usage.service import UsageService


def _usage(request: Request) -> UsageService:
    return service_of(request, UsageService)


Usage = Annotated[UsageService, Depends(_usage)]
