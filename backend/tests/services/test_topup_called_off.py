"""Automatic top-ups that were put off, and whose owners do not want them any more when they can be made."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend.tests.builders.auto_topups import Garage
from backend.tests.builders.customers import Customer
from backend.tests.builders.renewals import leave_others_alone
from backend.tests.builders.wallets import rub
from billing.payments.errors import ProviderUnavailable
from billing.payments.janitor import PaymentJanitor

pytestmark = [pytest.mark.money, pytest.mark.slow]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


async def put_off(garage: Garage) -> Customer:
    """A customer whose wallet is low, and whose method could not be charged: the provider is away."""
    customer = await garage.low()
    await garage.yookassa.plan("unavailable", "create_payment", times=3)
    with pytest.raises(ProviderUnavailable):
        await garage.tick(customer)
    return customer


async def check(garage: Garage, customer: Customer, *, after: timedelta) -> None:
    """The round of checks after this time, for the payments of this customer."""
    garage.clock.move(after)
    await leave_others_alone(garage.begin, customer)
    janitor = PaymentJanitor(
        begin=garage.begin,
        clock=garage.clock,
        job_queue=garage.job_queue,
        checkout=garage.checkout,
        refunds=garage.refunds,
        states=garage.states,
        news=garage.parts.news,
    )
    await janitor.check_due()


async def change_ones_mind(garage: Garage, customer: Customer, way: str) -> None:
    """The owner does not want to be charged under that agreement any more."""
    agreed = (await garage.standing(customer)).auto_topup
    match way:
        case "turn it off":
            await garage.auto_topups.turn_off(customer.principal, request_id="req_tests")
        case "remove the method":
            await garage.methods.remove(customer.principal, agreed.method_id, request_id="req_tests")
        case "agree to something else":
            await garage.agreed(customer, agreed.method_id, threshold="20")
        case "close the account":
            await garage.customers.close_account(customer.principal, reason="a test", request_id="req_tests")


class TestAChargeThatWasPutOff:
    async def test_is_made_as_soon_as_it_can_be_while_it_is_wanted(self, garage: Garage) -> None:
        customer = await put_off(garage)

        await check(garage, customer, after=MINUTE)

        assert len(await garage.charged_at_provider(customer)) == 1
        assert await garage.available(customer) == rub("550")

    @pytest.mark.parametrize(
        "way", ["turn it off", "remove the method", "agree to something else", "close the account"]
    )
    async def test_is_never_made_after_its_owner_has_changed_their_mind(self, garage: Garage, way: str) -> None:
        customer = await put_off(garage)
        await change_ones_mind(garage, customer, way)
        before = len(await garage.yookassa.calls("create_payment"))

        for wait in (MINUTE, 4 * MINUTE, 25 * MINUTE):
            await check(garage, customer, after=wait)
            await garage.tick(customer)

        assert len(await garage.yookassa.calls("create_payment")) == before
        assert await garage.available(customer) == rub("50")

    async def test_makes_room_for_another_one_once_the_provider_certainly_has_nothing(self, garage: Garage) -> None:
        customer = await put_off(garage)
        await change_ones_mind(garage, customer, "turn it off")
        await garage.agreed(customer, (await garage.standing(customer)).auto_topup.method_id)

        await check(garage, customer, after=DAY)
        await garage.tick(customer)

        first, second = await garage.charges(customer)
        assert (first["state"], first["cancellation"]) == ("canceled", "never_begun")
        assert second["state"] == "succeeded"
        assert len(await garage.charged_at_provider(customer)) == 1
