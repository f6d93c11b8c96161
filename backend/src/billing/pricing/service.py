"""Publishing rates, and finding the ones in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from billing.kit.ids import Ids
from billing.kit.money import Currency
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing import repository
from billing.pricing.errors import PriceUnknown
from billing.pricing.rules import NewRate, RateId, RateSnapshot, require_meaningful


class PricingService:
    """The rate card: append-only and effective-dated, so that a price once charged can always be shown."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    async def rates_for(self, uow: UnitOfWork, model: str, currency: Currency, at: datetime) -> RateSnapshot:
        """The model's rates in this currency at this moment.

        Raises:
            PriceUnknown: input or output has no rate in force; a model without a price is never free.
        """
        found = await repository.effective_rates(uow, currency, at, model=model)
        snapshot = RateSnapshot(model, currency, {rate.unit: rate for _, rate in found})
        if not snapshot.is_complete:
            raise PriceUnknown(model, currency)
        return snapshot

    async def price_list(self, uow: UnitOfWork, currency: Currency, at: datetime) -> tuple[RateSnapshot, ...]:
        """Every model that can be called in this currency at this moment, by name; 1000 at the most."""
        found = await repository.effective_rates(uow, currency, at)
        snapshots = (
            RateSnapshot(model, currency, {rate.unit: rate for _, rate in rows})
            for model, rows in groupby(found, key=itemgetter(0))
        )
        return tuple(snapshot for snapshot in snapshots if snapshot.is_complete)

    async def publish(self, uow: UnitOfWork, rates: Sequence[NewRate]) -> None:
        """Adds the rates, all of them or none; each supersedes its model's and unit's former one when its time comes.

        Raises:
            RateRefused: a rate is negative, zero without being called free, or free at a price.
        """
        for rate in rates:
            require_meaningful(rate)
        versions = await repository.last_versions(uow, [rate.model for rate in rates])
        numbered = []
        for rate in rates:
            key = (rate.model, str(rate.price.currency), rate.unit.value)
            versions[key] = versions.get(key, 0) + 1
            numbered.append((RateId(self._ids.new("rat")), versions[key], rate))
        await repository.insert_rates(uow, numbered)
