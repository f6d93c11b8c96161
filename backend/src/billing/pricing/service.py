"""Publishing rates, and finding the ones in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from billing.kit.ids import Ids
from billing.kit.money import Currency
from billing.kit.statements import Question, answer
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing import repository
from billing.pricing.errors import PriceUnknown
from billing.pricing.rules import Modality, NewRate, Publication, RateId, RateSnapshot, require_meaningful


class PricingService:
    """The rate card: append-only and effective-dated, so that a price once charged can always be shown."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def rates_of(
        self, model: str, currency: Currency, at: datetime, modality: Modality = Modality.TEXT
    ) -> Question[RateSnapshot]:
        """Which are the model's rates for this modality in this currency at this moment?

        Whoever asks hears `PriceUnknown` where something that such a call needs has no rate in force; a model without a
        price is never free.
        """
        found = repository.effective_rates(currency, at, model=model, modality=modality)

        def understand(rows: list[Any]) -> RateSnapshot:
            rates = {rate.unit: rate for _, _, rate in found.understand(rows)}
            snapshot = RateSnapshot(model, currency, rates, modality)
            if not snapshot.is_complete:
                raise PriceUnknown(model, currency, modality)
            return snapshot

        return Question(found.sending, understand)

    async def price_list(
        self, uow: UnitOfWork, currency: Currency, at: datetime, modality: Modality | None = None
    ) -> tuple[RateSnapshot, ...]:
        """Everything that can be called in this currency at this moment, by model and modality; 1000 at the most.

        A model that can be called for several modalities appears once for each.
        """
        found = await answer(uow, repository.effective_rates(currency, at, modality=modality))
        snapshots = (
            RateSnapshot(model, currency, {rate.unit: rate for _, _, rate in rows}, priced)
            for (model, priced), rows in groupby(found, key=itemgetter(0, 1))
        )
        return tuple(snapshot for snapshot in snapshots if snapshot.is_complete)

    async def publish(self, uow: UnitOfWork, rates: Sequence[NewRate]) -> tuple[Publication, ...]:
        """Adds the rates, all of them or none; each supersedes its model's and unit's former one when its time comes.

        Raises:
            RateRefused: a rate is negative, zero without being called free, free at a price, or not one at all.
        """
        for rate in rates:
            require_meaningful(rate)
        versions = await repository.last_versions(uow, [rate.model for rate in rates])
        numbered = []
        for rate in rates:
            versions[rate.key] = versions.get(rate.key, 0) + 1
            numbered.append(Publication(RateId(self._ids.new("rat")), versions[rate.key], rate))
        await repository.insert_rates(uow, numbered)
        return tuple(numbered)
