"""How the endpoints of payments find their service and read the client's key."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from billing.kit.errors import InvalidInput
from billing.kit.http import service_of
from billing.payments.service import TopupService


def _topups(request: Request) -> TopupService:
    return service_of(request, TopupService)


def required_idempotency_key(idempotency_key: Annotated[str | None, Header()] = None) -> str:
    """The client's key for its intent; without one a repeated click would be a second payment.

    Raises:
        InvalidInput: the header is missing.
    """
    if idempotency_key is None:
        raise InvalidInput("Idempotency-Key", "This request needs the header Idempotency-Key.")
    return idempotency_key


Topups = Annotated[TopupService, Depends(_topups)]
IdempotencyKey = Annotated[str, Depends(required_idempotency_key)]
