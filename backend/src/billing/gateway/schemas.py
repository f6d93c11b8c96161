"""OpenAI's shapes as the gateway speaks them, and the public price list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Self

from pydantic import BaseModel

from billing.gateway.calls import Answer, StreamedAnswer
from billing.gateway.price_board import PublicPricing
from billing.gateway.quotes import Quote
from billing.gateway.rules import error_shape
from billing.gateway.rules.doors import Door
from billing.kit.errors import BillingError
from billing.payments.rules import TopupOffer
from billing.pricing.rules import Modality, RateSnapshot, Unit
from billing.pricing.schemas import ModelPriceView, MoneyView, RateCardView
from billing.quotas.schemas import FreeLimitsView
from billing.usage.rules import BillingSource

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


def billing_headers(answer: Answer | StreamedAnswer) -> dict[str, str]:
    """What the call was and what it cost, beside its answer: exact decimals, and their currency.

    What a stream costs is known at its end only; its balance is what is left beside what was set aside for it.
    """
    headers = {
        "X-Billing-Operation": answer.operation_id,
        "X-Billing-Balance": answer.balance.to_decimal(),
        "X-Billing-Currency": answer.balance.currency,
        "X-Billing-Source": answer.billing_source.value,
        "Cache-Control": "no-store",
    }
    if isinstance(answer, Answer):
        headers["X-Billing-Charged"] = answer.charged.to_decimal()
        if answer.retry_after_seconds is not None:
            headers["Retry-After"] = str(answer.retry_after_seconds)
    return headers


class ModelView(BaseModel):
    """A model as OpenAI's list names it; `modalities` says what it can be called for."""

    id: str
    object: str = "model"
    created: int
    owned_by: str
    modalities: list[Modality]

    @classmethod
    def of(cls, snapshots: Sequence[RateSnapshot]) -> Self:
        """The model of these rates, one snapshot for each modality; it is as old as its newest price."""
        newest = max((snapshot.newest for snapshot in snapshots), key=lambda rate: rate.effective_from)
        return cls(
            id=snapshots[0].model,
            created=int(newest.effective_from.timestamp()),
            owned_by=newest.provider,
            modalities=[snapshot.modality for snapshot in snapshots],
        )


class ModelList(BaseModel):
    """The models that can be called."""

    object: str = "list"
    data: list[ModelView]

    @classmethod
    def of(cls, snapshots: Sequence[RateSnapshot]) -> Self:
        """Each model once, by name, whatever it can be called for."""
        by_name = sorted(snapshots, key=lambda snapshot: snapshot.model)
        models = groupby(by_name, key=lambda snapshot: snapshot.model)
        return cls(data=[ModelView.of(tuple(of_one)) for _, of_one in models])


class QuoteView(BaseModel):
    """What a call would cost at most.

    `at_most` is the price, `charged_at_most` what the wallet would pay of it: nothing where the call is free. A call
    that would not be let in has a `refusal` and no `billing_source`.
    """

    route: Door
    model: str
    at_most: MoneyView
    charged_at_most: MoneyView
    is_free: bool
    is_allowed: bool
    billing_source: BillingSource | None
    available: MoneyView
    quantities: dict[Unit, int]
    rates: ModelPriceView
    refusal: dict[str, object] | None

    @classmethod
    def of(cls, quote: Quote) -> Self:
        """This quote."""
        refusal = quote.refusal
        return cls(
            route=quote.call.request.door,
            model=quote.call.route.model,
            at_most=MoneyView.of(quote.at_most),
            charged_at_most=MoneyView.of(quote.charged_at_most),
            is_free=quote.charged_at_most.micros == 0,
            is_allowed=refusal is None,
            billing_source=quote.billing_source,
            available=MoneyView.of(quote.available),
            quantities=dict(quote.quantities),
            rates=ModelPriceView.of(quote.rates),
            refusal=None if refusal is None else error_shape.why_refused(refusal),
        )


class TopupOfferView(BaseModel):
    """The amounts that can be topped up: some to choose from, and any between two if `is_custom_allowed`."""

    presets: list[MoneyView]
    is_custom_allowed: bool
    minimum: MoneyView
    maximum: MoneyView

    @classmethod
    def of(cls, offer: TopupOffer) -> Self:
        """This offer."""
        return cls(
            presets=[MoneyView.of(amount) for amount in offer.presets],
            is_custom_allowed=offer.is_custom_allowed,
            minimum=MoneyView.of(offer.minimum),
            maximum=MoneyView.of(offer.maximum),
        )


class PublicPricingView(BaseModel):
    """The whole offer as anybody may see it."""

    currency: str
    models: list[ModelPriceView]
    recommended_models: list[str]
    popular_models: list[str]
    free_limits: FreeLimitsView
    topups: TopupOfferView

    @classmethod
    def of(cls, pricing: PublicPricing) -> Self:
        """This offer."""
        return cls(
            currency=pricing.currency,
            models=[ModelPriceView.of(snapshot) for snapshot in pricing.models],
            recommended_models=list(pricing.recommended),
            popular_models=list(pricing.popular),
            free_limits=FreeLimitsView.of(pricing.free),
            topups=TopupOfferView.of(pricing.topups),
        )


class RateCardsView(BaseModel):
    """Every price on offer, in the units in which people speak of them."""

    currency: str
    cards: list[RateCardView]

    @classmethod
    def of(cls, pricing: PublicPricing) -> Self:
        """These prices."""
        return cls(currency=pricing.currency, cards=[RateCardView.of(snapshot) for snapshot in pricing.models])
