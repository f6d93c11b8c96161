"""Rates are published once, come into force in time, and are never changed or given away by mistake."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from backend.tests.builders.pricing import card, new_rate
from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import NOON
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.statements import answer
from billing.kit.unit_of_work import Begin
from billing.pricing.errors import PriceUnknown, RateRefused
from billing.pricing.rules import NewRate, RateSnapshot, Unit
from billing.pricing.seed import DEMO_SMALL, seed_demo_rates
from billing.pricing.service import PricingService

DAY = timedelta(days=1)


@pytest.fixture
def pricing(ids: Ids) -> PricingService:
    """The real service."""
    return PricingService(ids)


@pytest.fixture
def model() -> str:
    """A model that nobody has priced yet."""
    return f"model-{secrets.token_hex(6)}"


class TestRatesInForce:
    async def test_are_the_newest_that_have_begun(self, pricing: PricingService, begin: Begin, model: str) -> None:
        async with begin() as uow:
            await pricing.publish(uow, card(model, price_out="240"))
            await pricing.publish(uow, card(model, price_out="300", at=NOON + DAY))

        async with begin() as uow:
            before = await answer(uow, pricing.rates_of(model, RUB, NOON + DAY - timedelta(microseconds=1)))
            at_the_boundary = await answer(uow, pricing.rates_of(model, RUB, NOON + DAY))

        assert _output_price(before) == rub("240")
        assert _output_price(at_the_boundary) == rub("300")

    async def test_of_one_moment_are_those_published_last(
        self, pricing: PricingService, begin: Begin, model: str
    ) -> None:
        async with begin() as uow:
            await pricing.publish(uow, card(model, price_out="240"))
            await pricing.publish(uow, card(model, price_out="250"))

            found = await answer(uow, pricing.rates_of(model, RUB, NOON))

        assert (_output_price(found), found.rates[Unit.OUTPUT].version) == (rub("250"), 2)

    async def test_of_a_unit_end_when_they_are_withdrawn(
        self, pricing: PricingService, begin: Begin, model: str
    ) -> None:
        async with begin() as uow:
            await pricing.publish(uow, card(model))
            await pricing.publish(uow, [new_rate(model, Unit.OUTPUT, "240", at=NOON + DAY, is_active=False)])

        async with begin() as uow:
            await answer(uow, pricing.rates_of(model, RUB, NOON))
            with pytest.raises(PriceUnknown):
                await answer(uow, pricing.rates_of(model, RUB, NOON + DAY))


class TestAModelWithoutAPrice:
    async def test_is_refused(self, pricing: PricingService, begin: Begin, model: str) -> None:
        async with begin() as uow:
            with pytest.raises(PriceUnknown) as refusal:
                await answer(uow, pricing.rates_of(model, RUB, NOON))

        assert refusal.value.facts == {"model": model, "currency": "RUB", "modality": "text"}

    async def test_for_output_is_refused(self, pricing: PricingService, begin: Begin, model: str) -> None:
        async with begin() as uow:
            await pricing.publish(uow, [new_rate(model, Unit.INPUT, "60")])

            with pytest.raises(PriceUnknown):
                await answer(uow, pricing.rates_of(model, RUB, NOON))

    async def test_in_the_wallets_currency_is_refused_without_conversion(
        self, pricing: PricingService, begin: Begin, model: str
    ) -> None:
        euros = Money.from_decimal("1", Currency("EUR"))
        async with begin() as uow:
            await pricing.publish(
                uow, [NewRate(model, unit, euros, NOON, "tests") for unit in (Unit.INPUT, Unit.OUTPUT)]
            )

            with pytest.raises(PriceUnknown):
                await answer(uow, pricing.rates_of(model, RUB, NOON))

    async def test_is_not_on_the_price_list(self, pricing: PricingService, begin: Begin, model: str) -> None:
        async with begin() as uow:
            await pricing.publish(uow, [new_rate(model, Unit.INPUT, "60")])
            await pricing.publish(uow, card(f"{model}-whole"))

            listed = {snapshot.model for snapshot in await pricing.price_list(uow, RUB, NOON)}

        assert f"{model}-whole" in listed
        assert model not in listed


class TestPublishing:
    async def test_is_all_or_nothing(self, pricing: PricingService, begin: Begin, model: str) -> None:
        async with begin() as uow:
            with pytest.raises(RateRefused):
                await pricing.publish(uow, [*card(model), new_rate(model, Unit.REASONING, "0")])

        async with begin() as uow:
            with pytest.raises(PriceUnknown):
                await answer(uow, pricing.rates_of(model, RUB, NOON))

    async def test_of_the_demonstration_happens_once(self, pricing: PricingService, begin: Begin) -> None:
        async with begin() as uow:
            await seed_demo_rates(uow, pricing, NOON)
        async with begin() as uow:
            await seed_demo_rates(uow, pricing, NOON)

        async with begin() as uow:
            found = await answer(uow, pricing.rates_of(DEMO_SMALL, RUB, NOON))
        assert {rate.version for rate in found.rates.values()} == {1}


class TestTheTable:
    @pytest.mark.parametrize(("price", "is_free"), [(0, False), (5, True), (-1, False)])
    async def test_holds_no_price_that_contradicts_itself(self, begin: Begin, price: int, *, is_free: bool) -> None:
        with pytest.raises(IntegrityError, match="ck_rates_free_is_said"):
            async with begin() as uow:
                await uow.connection.execute(
                    text(
                        "INSERT INTO rates (id, model, currency, unit, price_micros, is_free, is_active, provider,"
                        " version, effective_from, modality)"
                        " VALUES ('rat_x', 'm', 'RUB', 'input_tokens', :price, :is_free, true, 'p', 1, now(), 'text')",
                    ),
                    {"price": price, "is_free": is_free},
                )

    @pytest.mark.parametrize("statement", ["UPDATE rates SET price_micros = 1", "DELETE FROM rates"])
    async def test_cannot_be_rewritten_by_the_application(self, statement: str, begin: Begin) -> None:
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(text(statement))


def _output_price(snapshot: RateSnapshot) -> Money:
    return snapshot.rate_of(Unit.OUTPUT).price
