"""How the endpoints of plans find their service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from billing.kit.http import service_of
from billing.subscriptions.service import SubscriptionService


def _subscriptions(request: Request) -> SubscriptionService:
    return service_of(request, SubscriptionService)


Subscriptions = Annotated[SubscriptionService, Depends(_subscriptions)]
