"""Plans that are resumed when their renewal was already called off, given up, or paid and given back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.renewals import END, another_method, check, put_off, refuse_the_method, wait_until_due
from backend.tests.builders.subscriptions import PlanShop
from billing.payments.rules import PaymentId
from billing.subscriptions.renewals import LEASE
from billing.subscriptions.service import Purchase, Standing, SubscriptionStatus

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


async def cancel(shop: PlanShop, customer: Customer) -> None:
    """The customer wants no other period."""
    await shop.subscriptions.cancel(customer.principal, is_now=False, request_id="req_tests")


async def resume(shop: PlanShop, customer: Customer, method_id: str | None = None) -> Standing:
    """The customer wants one after all, a minute later: payments of one moment have no order."""
    shop.clock.move(timedelta(minutes=1))
    return await shop.subscriptions.resume(customer.principal, method_id=method_id, request_id="req_tests")


async def give_up(shop: PlanShop, customer: Customer) -> None:
    """The bank refuses as often as it is asked."""
    await refuse_the_method(shop, customer)
    wait_until_due(shop)
    for wait in (0, 1, 6, 24):
        shop.clock.move(timedelta(hours=wait))
        await shop.renew()
    assert [row["status"] for row in await shop.renewals_of(customer)] == ["given_up"]


async def states(shop: PlanShop, customer: Customer) -> list[str]:
    """How the payments for plans stand, oldest first."""
    return [row["state"] for row in await shop.till.rows_of(customer) if row["purpose"] == "subscription"]


class TestAfterItWasCanceled:
    async def test_a_declined_renewal_is_charged_to_the_new_method_at_once(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await refuse_the_method(shop, customer)
        wait_until_due(shop)
        await shop.renew()
        await cancel(shop, customer)

        standing = await resume(shop, customer, await another_method(shop, customer))
        await shop.renew()

        assert standing.will_renew
        assert await states(shop, customer) == ["succeeded", "canceled", "succeeded"]
        assert [row["status"] for row in await shop.renewals_of(customer)] == ["paid"]
        assert len(await shop.grants(customer)) == 2

    async def test_a_renewal_that_was_claimed_and_not_begun_is_charged_once(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        wait_until_due(shop)
        await shop.renewals.enqueue_due()
        await cancel(shop, customer)

        await resume(shop, customer)
        await shop.renew()
        shop.clock.move(LEASE)
        await shop.renew()

        assert await states(shop, customer) == ["succeeded", "succeeded"]
        assert len(await shop.grants(customer)) == 2

    async def test_a_renewal_that_was_put_off_goes_on_with_its_payment(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await put_off(shop)
        await cancel(shop, customer)

        await resume(shop, customer)
        await shop.renew()
        await check(shop, customer, after=MINUTE)

        assert await states(shop, customer) == ["succeeded", "succeeded"]
        assert len(await shop.grants(customer)) == 2

    @pytest.mark.parametrize("is_another", [False, True])
    async def test_a_payment_that_may_have_been_charged_decides(
        self, shop: PlanShop, customer: Customer, *, is_another: bool
    ) -> None:
        method_id = await another_method(shop, customer) if is_another else None
        wait_until_due(shop)
        await shop.yookassa.plan("reset", "create_payment", effect="done", times=3)
        await shop.renew()
        charged = (await shop.charges(customer))[-1]
        await cancel(shop, customer)

        await resume(shop, customer, method_id)
        await shop.renew()
        payment_id = PaymentId(charged["metadata"]["payment_id"])
        await shop.notified(await shop.yookassa.notification())
        shop.clock.move(LEASE)
        await shop.renew()

        assert (await shop.till.row(payment_id))["state"] == "succeeded"
        assert await states(shop, customer) == ["succeeded", "succeeded"]
        assert len(await shop.grants(customer)) == 2

    async def test_money_of_an_earlier_attempt_that_comes_late_pays_it_and_no_key_comes_back(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        wait_until_due(shop)
        await shop.yookassa.plan("reset", "create_payment", effect="done", times=3)
        await shop.renew()
        await check(shop, customer, after=DAY)  # the provider's list does not reach back so far: nothing is found
        before = await shop.renewals_of(customer)

        await shop.notified(await shop.yookassa.notification())
        shop.clock.move(timedelta(hours=1))
        await shop.renew()

        after = await shop.renewals_of(customer)
        assert [(row["status"], row["attempt"]) for row in (*before, *after)] == [("open", 2), ("paid", 2)]
        assert await states(shop, customer) == ["succeeded", "succeeded"]

    async def test_a_second_resume_changes_nothing(self, shop: PlanShop, customer: Customer) -> None:
        wait_until_due(shop)
        await shop.renewals.enqueue_due()
        await cancel(shop, customer)
        await resume(shop, customer)
        before = await shop.renewals_of(customer)

        await resume(shop, customer)

        assert await shop.renewals_of(customer) == before


class TestAfterItWasGivenUp:
    async def test_a_new_method_is_charged_while_the_paid_period_runs(self, shop: PlanShop, customer: Customer) -> None:
        await give_up(shop, customer)

        await resume(shop, customer, await another_method(shop, customer))
        await shop.renew()

        first, second = await shop.grants(customer)
        assert second["starts_at"] == first["ends_at"] == END
        assert (await states(shop, customer)).count("succeeded") == 2

    async def test_a_method_that_was_removed_is_replaced(self, shop: PlanShop, customer: Customer) -> None:
        (method,) = await shop.methods.methods_of(customer.principal)
        await shop.methods.remove(customer.principal, method.id, request_id="req_tests")
        wait_until_due(shop)
        await shop.renew()

        await resume(shop, customer, await another_method(shop, customer))
        await shop.renew()

        assert await states(shop, customer) == ["succeeded", "succeeded"]

    async def test_the_same_method_is_tried_anew_and_its_failure_told_anew(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await give_up(shop, customer)

        await resume(shop, customer)
        for wait in (0, 1, 6, 24, 24):
            shop.clock.move(timedelta(hours=wait))
            await shop.renew()

        assert await states(shop, customer) == ["succeeded", *["canceled"] * 8]
        assert (await shop.till.told(customer)).count("subscription.renewal_failed") == 2

    async def test_whoever_cancels_after_the_end_is_not_tried_again(self, shop: PlanShop, customer: Customer) -> None:
        await give_up(shop, customer)
        await resume(shop, customer)
        await shop.renew()
        shop.clock.move(END - shop.clock.now())

        standing = await shop.subscriptions.cancel(customer.principal, is_now=True, request_id="req_tests")
        before = await states(shop, customer)
        shop.clock.move(DAY)
        await shop.renew()

        assert standing.status is SubscriptionStatus.CANCELED
        assert await states(shop, customer) == before


class TestAfterMoneyWentBack:
    async def test_an_early_renewal_that_was_refunded_leaves_the_end_to_be_renewed(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        wait_until_due(shop)
        await shop.renewals.enqueue_due()
        early = await shop.renewed_early(customer)
        await shop.given_back(early)

        await resume(shop, customer)
        await shop.renew()

        assert [row["status"] for row in await shop.renewals_of(customer)] == ["paid"]
        assert [grant["end_reason"] for grant in await shop.grants(customer)].count(None) == 2

    async def test_a_renewal_that_was_refunded_is_charged_again(self, shop: PlanShop, customer: Customer) -> None:
        wait_until_due(shop)
        await shop.renew()
        renewed = (await shop.grants(customer))[-1]
        purchase: Purchase = await shop.subscriptions.purchase(customer.principal, renewed["payment_id"])
        await shop.given_back(purchase)

        await resume(shop, customer)
        await shop.renew()

        assert len(await shop.charges(customer)) == 3
        assert [grant["end_reason"] for grant in await shop.grants(customer)].count(None) == 2
