"""Charges of a saved method that were put off, and whose customers do not want them any more when they can be made."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.renewals import another_method, check, put_off
from backend.tests.builders.subscriptions import PlanShop
from billing.payments.ports import ProviderDispute
from billing.payments.provider_states import Picture
from billing.payments.rules import Actor, DisputeStatus, ProviderDisputeId, ProviderPaymentId
from billing.subscriptions.renewals import LEASE
from billing.subscriptions.service import Purchase, PurchaseStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
def shop(plan_shop: PlanShop) -> PlanShop:
    """Where plans are sold."""
    return plan_shop


@pytest.fixture
async def customer(shop: PlanShop) -> Customer:
    """Somebody whose plan is paid for March and renews itself."""
    return await shop.renewing(await shop.on_offer())


async def asked(shop: PlanShop) -> int:
    """How often the provider was asked for a payment."""
    return len(await shop.yookassa.calls("create_payment"))


async def disputed(shop: PlanShop, purchase: Purchase, status: DisputeStatus) -> None:
    """The provider says how the one dispute about all of this payment stands."""
    payment_id = ProviderPaymentId(await shop.provider_id(purchase.payment_id))
    seen = await shop.till.provider.get_payment(payment_id)
    dispute = ProviderDispute(ProviderDisputeId(f"dp_{payment_id}"), payment_id, status, seen.amount)
    async with shop.begin() as uow:
        picture = Picture(seen, (), (dispute,))
        await shop.states.apply_provider_state(uow, purchase.payment_id, picture, actor=Actor.READ_BACK)


async def remove_all_methods(shop: PlanShop, customer: Customer) -> None:
    """The customer takes every consent back."""
    for method in await shop.methods.methods_of(customer.principal):
        await shop.methods.remove(customer.principal, method.id, request_id="req_tests")


async def change_ones_mind(shop: PlanShop, customer: Customer, way: str) -> None:
    """The customer wants the renewal no more, in one of the ways that there are."""
    match way:
        case "cancel at the end" | "cancel now":
            is_now = way == "cancel now"
            await shop.subscriptions.cancel(customer.principal, is_now=is_now, request_id="req_tests")
        case "remove the method":
            await remove_all_methods(shop, customer)
        case "another method":
            method_id = await another_method(shop, customer)
            await shop.subscriptions.resume(customer.principal, method_id=method_id, request_id="req_tests")
        case "close the account":
            await shop.till.customers.close_account(customer.principal, reason="a test", request_id="req_tests")


WAYS = ["cancel at the end", "cancel now", "remove the method", "another method", "close the account"]


class TestARenewalThatWasPutOff:
    async def test_is_charged_as_soon_as_it_can_be_while_it_is_wanted(self, shop: PlanShop, customer: Customer) -> None:
        await put_off(shop)

        await check(shop, customer, after=MINUTE)

        assert len(await shop.grants(customer)) == 2
        assert len(await shop.charges(customer)) == 2

    @pytest.mark.parametrize("way", WAYS)
    async def test_is_never_charged_after_its_customer_has_changed_their_mind(
        self, shop: PlanShop, customer: Customer, way: str
    ) -> None:
        await put_off(shop)
        await change_ones_mind(shop, customer, way)
        before = await asked(shop)

        for wait in (MINUTE, 4 * MINUTE, 25 * MINUTE):
            await check(shop, customer, after=wait)
            await shop.renew()

        assert await asked(shop) == before
        assert len(await shop.grants(customer)) == 1

    async def test_is_over_once_the_provider_certainly_has_nothing(self, shop: PlanShop, customer: Customer) -> None:
        await put_off(shop)
        await change_ones_mind(shop, customer, "cancel at the end")

        await check(shop, customer, after=DAY)

        last = (await shop.till.rows_of(customer))[-1]
        assert (last["state"], last["cancellation"]) == ("canceled", "never_begun")
        assert [row["status"] for row in await shop.renewals_of(customer)] == ["superseded"]

    async def test_with_another_method_is_charged_to_that_one_once_the_first_is_over(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await put_off(shop)
        await change_ones_mind(shop, customer, "another method")

        await check(shop, customer, after=DAY)
        shop.clock.move(timedelta(hours=1))
        await shop.renew()

        first, second = await shop.grants(customer)
        assert second["starts_at"] == first["ends_at"]
        charged = {row["method_id"] for row in await shop.till.rows_of(customer) if row["state"] == "succeeded"}
        assert (await shop.standing(customer)).method_id in charged

    async def test_is_not_charged_for_time_that_another_payment_has_bought_since(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        early = await shop.renewed_early(customer)
        await disputed(shop, early, DisputeStatus.OPEN)
        await shop.subscriptions.resume(customer.principal, method_id=None, request_id="req_tests")
        await put_off(shop)
        await disputed(shop, early, DisputeStatus.WON)
        before = await asked(shop)

        await check(shop, customer, after=MINUTE)

        assert await asked(shop) == before
        assert [grant["ended_at"] for grant in await shop.grants(customer)] == [None, None]


class TestAPurchaseThatWasPutOff:
    async def test_is_never_charged_after_its_method_was_removed(self, shop: PlanShop, customer: Customer) -> None:
        (method,) = await shop.methods.methods_of(customer.principal)
        await shop.yookassa.plan("unavailable", "create_payment", times=3)
        purchase = await shop.ordered(customer, await shop.on_offer(), method_id=method.id)
        await remove_all_methods(shop, customer)
        before = await asked(shop)

        await check(shop, customer, after=MINUTE)
        told = await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)

        assert await asked(shop) == before
        assert told.status is PurchaseStatus.PROCESSING
        assert len(await shop.grants(customer)) == 1

    async def test_is_charged_while_its_method_is_there(self, shop: PlanShop, customer: Customer) -> None:
        (method,) = await shop.methods.methods_of(customer.principal)
        await shop.yookassa.plan("unavailable", "create_payment", times=3)
        await shop.ordered(customer, await shop.on_offer(), method_id=method.id)

        await check(shop, customer, after=MINUTE)

        assert len(await shop.grants(customer)) == 2


class TestAClosedAccount:
    async def test_renews_nothing(self, shop: PlanShop, customer: Customer) -> None:
        await shop.till.customers.close_account(customer.principal, reason="a test", request_id="req_tests")
        before = await asked(shop)

        await put_off(shop)
        shop.clock.move(LEASE)
        await shop.renew()

        assert await asked(shop) == before
        assert [row["status"] for row in await shop.renewals_of(customer)] == ["given_up"]
