"""Which models can really be called: those that are both served and priced."""

from __future__ import annotations

from billing.gateway.rules.routes import RouteTable
from billing.kit.clock import Clock
from billing.kit.money import Currency
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.rules import RateSnapshot
from billing.pricing.service import PricingService


class ModelCatalog:
    """The models on offer. A route without a price is refused, a price without a route leads nowhere."""

    def __init__(self, pricing: PricingService, clock: Clock, routes: RouteTable, currency: Currency) -> None:
        self._pricing = pricing
        self._clock = clock
        self._routes = routes
        self._currency = currency

    async def price_list(self, uow: UnitOfWork) -> tuple[RateSnapshot, ...]:
        """The models on offer with their prices, by name."""
        priced = await self._pricing.price_list(uow, self._currency, self._clock.now())
        return tuple(snapshot for snapshot in priced if snapshot.model in self._routes.models)

    async def models_on_offer(self, uow: UnitOfWork) -> frozenset[str]:
        """The public names of the models on offer."""
        return frozenset(snapshot.model for snapshot in await self.price_list(uow))
