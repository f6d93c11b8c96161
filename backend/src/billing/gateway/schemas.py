"""OpenAI's shapes as the gateway speaks them, and the public price list."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel

from billing.gateway.calls import Answer
from billing.gateway.rules import error_shape
from billing.gateway.service import PublicPricing
from billing.kit.errors import BillingError
from billing.pricing.rules import RateSnapshot
from billing.pricing.schemas import ModelPriceView
from billing.quotas.schemas import FreeLimitsView

_ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
_SERVER_ERRORS_FROM = 500


def openai_error(error: BillingError, status: int) -> dict[str, Any]:
    """A refusal of ours in OpenAI's shape, with OpenAI's own word for its status."""
    fallback = "server_error" if status >= _SERVER_ERRORS_FROM else "invalid_request_error"
    return error_shape.openai_error(error, _ERROR_TYPES.get(status, fallback))


def billing_headers(answer: Answer) -> dict[str, str]:
    """What the call was and what it cost, beside its answer: exact decimals, and their currency."""
    headers = {
        "X-Billing-Operation": answer.operation_id,
        "X-Billing-Charged": answer.charged.to_decimal(),
        "X-Billing-Balance": answer.balance.to_decimal(),
        "X-Billing-Currency": answer.charged.currency,
        "X-Billing-Source": answer.billing_source.value,
        "Cache-Control": "no-store",
    }
    if answer.retry_after_seconds is not None:
        headers["Retry-After"] = str(answer.retry_after_seconds)
    return headers


class ModelView(BaseModel):
    """A model as OpenAI's list names it."""

    id: str
    object: str = "model"
    created: int
    owned_by: str

    @classmethod
    def of(cls, snapshot: RateSnapshot) -> Self:
        """This model; it is as old as its present price."""
        rate = snapshot.newest
        return cls(id=snapshot.model, created=int(rate.effective_from.timestamp()), owned_by=rate.provider)


class ModelList(BaseModel):
    """The models that can be called."""

    object: str = "list"
    data: list[ModelView]


class PublicPricingView(BaseModel):
    """Prices and free limits as anybody may see them."""

    currency: str
    models: list[ModelPriceView]
    free_limits: FreeLimitsView

    @classmethod
    def of(cls, pricing: PublicPricing) -> Self:
        """These prices."""
        return cls(
            currency=pricing.currency,
            models=[ModelPriceView.of(snapshot) for snapshot in pricing.models],
            free_limits=FreeLimitsView.of(pricing.free),
        )
