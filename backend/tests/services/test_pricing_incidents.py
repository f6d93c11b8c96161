"""Prices that gave calls away, once, somewhere: none of these may happen here."""

from __future__ import annotations

import secrets
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.tests.builders.gateway import UNPRICED, Gate, Provider, body_of, chat
from backend.tests.builders.pricing import card, new_rate, snapshot
from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import NOON, StoppedClock
from billing.kit.statements import answer
from billing.kit.unit_of_work import Begin
from billing.pricing.adapters.xlsx_sheets import XlsxSheets
from billing.pricing.errors import DiscountRefused, PriceUnknown, RateRefused
from billing.pricing.rules import PER, Unit, price_of
from billing.pricing.seed import DEMO_LARGE, demo_rates
from billing.pricing.sheets import plan_import, read_sheet

pytestmark = pytest.mark.money


class TestIncident9:
    """The price changed between quote and settle, and the call became free."""

    async def test_a_price_that_is_withdrawn_meanwhile_still_charges_the_call(
        self, gate: Gate, clock: StoppedClock
    ) -> None:
        clock.move(timedelta(days=3_000))  # what is published here stays out of other tests' sight
        payer = await gate.payer("100")
        async with gate.begin() as uow:
            await gate.pricing.publish(uow, card(DEMO_LARGE, price_in="900", price_out="3600", at=clock.now()))

        async def the_price_ends() -> None:
            clock.move(timedelta(seconds=1))
            gone = [
                new_rate(DEMO_LARGE, unit, "1", at=clock.now(), is_active=False) for unit in (Unit.INPUT, Unit.OUTPUT)
            ]
            async with gate.begin() as uow:
                await gate.pricing.publish(uow, gone)

        answer = await gate.while_waiting(the_price_ends).ask(payer, chat(model=DEMO_LARGE))

        usage = body_of(answer)["usage"]
        after = await gate.accounts(payer)
        assert answer.charged.micros == usage["prompt_tokens"] * 900 + usage["completion_tokens"] * 3_600
        assert after.charges == [answer.charged]
        assert after.drifts == ()

    async def test_what_a_usage_event_says_is_enough_to_compute_its_price_again(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        await gate.ask(payer, chat())

        (event,) = (await gate.accounts(payer)).events
        rates = {rate["unit"]: rate for rate in event.rates["rates"]}  # type: ignore[attr-defined]  # JSON, as it was written
        again = sum(
            count * rates[unit]["price_micros"] / Decimal(rates[unit]["per"])
            for unit, count in event.quantities.items()
            if count and unit in rates
        )
        assert event.raw_cost.micros == again


class TestIncident17:
    """A discount above 100 % credited the customer."""

    @pytest.mark.parametrize("discount", [101, 100.5, 1_000, -1])
    def test_a_discount_outside_0_to_100_prices_nothing(self, discount: float) -> None:
        with pytest.raises(DiscountRefused):
            price_of({Unit.INPUT: 5}, snapshot({Unit.INPUT: 1, Unit.OUTPUT: 1}), Decimal(str(discount)))

    async def test_no_rate_pays_for_being_used(self, gate: Gate) -> None:
        async with gate.begin() as uow:
            with pytest.raises(RateRefused):
                await gate.pricing.publish(uow, [new_rate("m", Unit.INPUT, "-1")])


class TestIncident18:
    """Zero-priced rate cards from a seed or an import made paid models free; unknown models were free."""

    async def test_no_seed_publishes_a_zero(self) -> None:
        assert [rate for rate in demo_rates(NOON) if rate.price.micros == 0 or rate.is_free] == []

    def test_no_import_publishes_a_zero_that_does_not_say_free(self) -> None:
        header = ["model", "unit", "price", "currency", "provider"]
        zeros = [["m", "input_tokens", price, "RUB", "p"] for price in ("0", "0.0", "-0", "0.000000", "")]

        wanted, errors = read_sheet(XlsxSheets().read(XlsxSheets().write([header, *zeros])))

        assert (wanted, [error.row for error in errors]) == ((), [2, 3, 4, 5, 6])
        assert plan_import(wanted, {}, NOON).changes == ()

    async def test_no_row_of_the_table_can_be_a_silent_zero(self, begin: Begin) -> None:
        with pytest.raises(IntegrityError, match="ck_rates_free_is_said"):
            async with begin() as uow:
                await uow.connection.execute(
                    text(
                        "INSERT INTO rates (id, model, currency, modality, unit, price_micros, is_free, is_active,"
                        " provider, version, effective_from)"
                        " VALUES ('rat_x', 'm', 'RUB', 'speech', 'speech_characters', 0, false, true, 'p', 1, now())",
                    ),
                )

    async def test_a_model_without_a_price_is_refused_before_the_provider_hears_of_it(
        self, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("100")
        before = await provider.count()

        with pytest.raises(PriceUnknown):
            await gate.ask(payer, chat(model=UNPRICED))

        assert await provider.count() == before
        assert (await gate.accounts(payer)).balance.available == rub("100")


class TestIncident19:
    """Price per token and per thousand tokens mixed up."""

    async def test_a_published_price_is_what_a_million_cost_everywhere(self, gate: Gate) -> None:
        model = f"model-{secrets.token_hex(6)}"
        async with gate.begin() as uow:
            await gate.pricing.publish(uow, [new_rate(model, Unit.INPUT, "60"), new_rate(model, Unit.OUTPUT, "240")])
            rates = await answer(uow, gate.pricing.rates_of(model, RUB, NOON))

        assert price_of({Unit.INPUT: 1_000_000}, rates) == rub("60")
        assert price_of({Unit.INPUT: 1_000}, rates) == rub("0.06")
        assert PER[Unit.INPUT] == 1_000_000

    def test_a_spreadsheet_that_means_another_quantity_is_refused(self) -> None:
        header = ["model", "unit", "price", "currency", "provider", "per"]
        row = ["m", "input_tokens", "0.06", "RUB", "p", "1000"]

        wanted, (error,) = read_sheet(XlsxSheets().read(XlsxSheets().write([header, row])))

        assert (wanted, error.column) == ((), "per")
