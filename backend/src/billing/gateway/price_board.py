"""What anybody may know about prices: models on offer, free limits, amounts to top up, and where to begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing.gateway.catalog import ModelCatalog
from billing.gateway.fail_closed import failing_closed
from billing.kit.money import Currency
from billing.kit.unit_of_work import Begin
from billing.payments.rules import TopupOffer
from billing.pricing.rules import RateSnapshot
from billing.quotas.rules import FreeStanding
from billing.quotas.service import QuotaService


@dataclass(frozen=True, slots=True)
class PublicPricing:
    """The whole offer; `recommended` and `popular` name models on offer, in the order of the settings."""

    currency: Currency
    models: tuple[RateSnapshot, ...]
    free: FreeStanding
    topups: TopupOffer
    recommended: tuple[str, ...]
    popular: tuple[str, ...]


class PriceBoard:
    """Shows the offer to everybody. It knows no customer, so that its answers can be kept by caches."""

    def __init__(
        self,
        *,
        begin: Begin,
        catalog: ModelCatalog,
        quotas: QuotaService,
        offer: TopupOffer,
        recommended: Sequence[str],
        popular: Sequence[str],
    ) -> None:
        self._begin = begin
        self._catalog = catalog
        self._quotas = quotas
        self._offer = offer
        self._recommended = tuple(recommended)
        self._popular = tuple(popular)

    async def pricing(self) -> PublicPricing:
        """The offer as of now.

        Raises:
            BillingUnavailable: the books cannot be reached.
        """
        with failing_closed():
            async with self._begin() as uow:
                models = await self._catalog.price_list(uow)
                free = await self._quotas.offer(uow)
        on_offer = {snapshot.model for snapshot in models}
        return PublicPricing(
            currency=self._offer.currency,
            models=models,
            free=free,
            topups=self._offer,
            recommended=tuple(name for name in self._recommended if name in on_offer),
            popular=tuple(name for name in self._popular if name in on_offer),
        )
