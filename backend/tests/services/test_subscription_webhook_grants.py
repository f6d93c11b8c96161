"""Notifications about plan payments: before, after, beside and instead of the return, twice, late, and wrong."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.subscriptions import PlanShop
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.kit.unit_of_work import Begin
from billing.payments.errors import PaymentUnderReview, ProviderAmbiguous
from billing.subscriptions.service import PurchaseStatus, SubscriptionStatus
from billing.webhooks.rules import MessageStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture
def shop(plan_shop: PlanShop) -> PlanShop:
    """Where plans are sold."""
    return plan_shop


@pytest.fixture
async def customer(shop: PlanShop) -> Customer:
    """Somebody who wants a plan."""
    return await shop.town.customer()


async def notified(shop: PlanShop) -> None:
    await shop.notified(await shop.yookassa.notification())


class TestNotifications:
    async def test_a_notification_alone_grants_the_period(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.ordered(customer, await shop.on_offer())
        await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))

        await notified(shop)

        assert (await shop.standing(customer)).status is SubscriptionStatus.ACTIVE
        seen = await shop.subscriptions.purchase(customer.principal, purchase.payment_id)
        assert seen.status is PurchaseStatus.SUCCEEDED

    async def test_a_payment_that_has_bought_its_period_buys_no_other(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.bought(customer, await shop.on_offer(included_credit=rub("100")))
        payment = await shop.checkout.find(purchase.payment_id)
        assert payment is not None

        async with shop.begin() as uow:
            await shop.fulfilment.succeeded(uow, payment)

        assert len(await shop.grants(customer)) == 1
        assert (await shop.balance(customer)).granted == rub("100")

    @pytest.mark.parametrize("order", list(itertools.permutations(("webhook", "return", "webhook again"))))
    async def test_in_any_order_one_payment_buys_one_period(
        self, shop: PlanShop, customer: Customer, order: tuple[str, ...]
    ) -> None:
        purchase = await shop.ordered(customer, await shop.on_offer(included_credit=rub("100")))
        await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))

        for step in order:
            if step == "return":
                await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)
            else:
                await notified(shop)

        assert len(await shop.grants(customer)) == 1
        assert (await shop.balance(customer)).granted == rub("100")
        assert await shop.stands_on("plan_sales", customer) == rub("300")

    async def test_webhook_and_return_at_the_same_instant_buy_one_period(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        purchase = await shop.ordered(customer, await shop.on_offer())
        await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))

        await asyncio.gather(
            *(shop.subscriptions.reconcile(customer.principal, purchase.payment_id) for _ in range(3)),
            notified(shop),
        )

        assert len(await shop.grants(customer)) == 1

    async def test_two_payments_that_arrive_together_buy_two_periods_behind_each_other(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await shop.bought(customer, await shop.on_offer())
        first = await shop.ordered(customer, await shop.on_offer())
        second = await shop.ordered(customer, await shop.on_offer())
        for purchase in (first, second):
            await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))

        await asyncio.gather(
            *(
                shop.subscriptions.reconcile(customer.principal, purchase.payment_id)
                for purchase in (first, second, first, second)
            )
        )

        grants = await shop.grants(customer)
        assert len(grants) == 3
        assert all(one["ends_at"] == other["starts_at"] for one, other in itertools.pairwise(grants))

    async def test_a_payment_whose_answer_never_came_is_granted_by_its_notification(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        plan = await shop.on_offer()
        lost = shop.with_provider(EndingProvider(shop.till.provider, ProviderAmbiguous("no answer"), takes_effect=True))
        purchase = await lost.ordered(customer, plan)
        (at_provider,) = await shop.charges(customer)
        await shop.yookassa.pay(at_provider["id"])

        await notified(shop)

        assert purchase.status is PurchaseStatus.PROCESSING
        assert len(await shop.grants(customer)) == 1

    async def test_a_process_that_dies_before_it_asks_leaves_a_payment_that_the_same_key_finishes(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        plan = await shop.on_offer()
        dying = shop.with_provider(EndingProvider(shop.till.provider, ProcessDiedError()))
        with pytest.raises(ProcessDiedError):
            await dying.ordered(customer, plan, key="mine")

        purchase = await shop.ordered(customer, plan, key="mine")

        assert (await shop.paid(customer, purchase)).status is PurchaseStatus.SUCCEEDED
        assert len(await shop.charges(customer)) == 1

    async def test_a_paid_period_without_credit_needs_none(self, shop: PlanShop, customer: Customer) -> None:
        await shop.bought(customer, await shop.on_offer(included_credit=rub("0")))

        assert (await shop.balance(customer)).lots == ()
        assert (await shop.grants(customer))[0]["credit_given_at"] == shop.clock.now()


class TestContradictions:
    @pytest.mark.parametrize(
        ("spoil", "difference"),
        [
            ("UPDATE payments SET subject = 'pln_none' WHERE id = :id", "plan"),
            ("UPDATE payments SET subject = NULL WHERE id = :id", "plan"),
            ("UPDATE payments SET subject = :other WHERE id = :id", "amount"),
        ],
    )
    async def test_a_payment_that_does_not_agree_with_its_plan_is_quarantined_and_grants_nothing(
        self, shop: PlanShop, customer: Customer, begin_as_owner: Begin, spoil: str, difference: str
    ) -> None:
        other = await shop.on_offer(price=rub("900"))
        purchase = await shop.ordered(customer, await shop.on_offer())
        await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))
        values = {"id": purchase.payment_id, "other": other.id}
        async with begin_as_owner() as uow:
            await uow.connection.execute(
                text(spoil), {name: value for name, value in values.items() if f":{name}" in spoil}
            )

        message = await shop.notified(await shop.yookassa.notification())
        with pytest.raises(PaymentUnderReview) as review:
            await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)

        assert MessageStatus(message["status"]) is MessageStatus.QUARANTINED
        assert review.value.differences == (difference,)
        assert await shop.grants(customer) == []

    async def test_another_amount_at_the_provider_is_quarantined(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.ordered(customer, await shop.on_offer())
        await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))
        await shop.yookassa.plan("altered", "get_payment", changes={"amount": {"value": "1.00"}})

        message = await shop.notified(await shop.yookassa.notification())

        assert MessageStatus(message["status"]) is MessageStatus.QUARANTINED
        assert await shop.grants(customer) == []
        await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)

    async def test_the_renewal_of_somebody_else_is_not_paid_by_this_account(
        self, shop: PlanShop, customer: Customer, begin_as_owner: Begin
    ) -> None:
        plan = await shop.on_offer()
        purchase = await shop.ordered(customer, plan)
        await shop.yookassa.pay(await shop.provider_id(purchase.payment_id))
        async with begin_as_owner() as uow:
            await uow.connection.execute(
                text("UPDATE payments SET subject = :subject WHERE id = :id"),
                {"subject": f"{plan.id}/rnw_none/1", "id": purchase.payment_id},
            )

        with pytest.raises(PaymentUnderReview) as review:
            await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)

        assert review.value.differences == ("owner",)


class TestGivingBack:
    async def test_a_full_refund_ends_the_period_and_takes_its_unspent_credit(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        purchase = await shop.bought(customer, await shop.on_offer(discount_percent=20))
        await shop.till.spent(customer, "30")

        await shop.given_back(purchase)

        standing = await shop.standing(customer)
        balance = await shop.balance(customer)
        assert (standing.running, standing.will_renew) == (None, False)
        assert (await shop.entitlement(customer)).discount_percent == 0
        assert (balance.available, balance.debt) == (rub("0"), rub("0"))
        assert await shop.stands_on("plan_sales", customer) == rub("0")
        assert await shop.stands_on("provider:yookassa", customer) == rub("0")

    async def test_a_partial_refund_leaves_the_period(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.bought(customer, await shop.on_offer())

        await shop.given_back(purchase, "100")

        assert (await shop.standing(customer)).status is SubscriptionStatus.ACTIVE
        assert await shop.stands_on("plan_sales", customer) == rub("200")

    async def test_two_refunds_that_give_all_back_end_it(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.bought(customer, await shop.on_offer())

        await shop.given_back(purchase, "100")
        await shop.given_back(purchase, "200")

        assert (await shop.standing(customer)).running is None

    async def test_a_refund_in_the_cabinet_is_booked_once(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.bought(customer, await shop.on_offer())
        await shop.yookassa.refund_in_cabinet(await shop.provider_id(purchase.payment_id))

        for _ in range(2):
            await shop.notified(await shop.yookassa.notification("refund.succeeded"))

        assert (await shop.standing(customer)).running is None
        assert await shop.stands_on("plan_sales", customer) == rub("0")

    async def test_a_period_that_has_not_begun_is_given_back_without_an_overdraft(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await shop.bought(customer, await shop.on_offer())
        ahead = await shop.renewed_early(customer)

        await shop.given_back(ahead, is_overdraft=False)

        standing = await shop.standing(customer)
        assert standing.running is not None
        assert standing.ahead == ()

    async def test_what_is_bought_after_a_refund_begins_where_the_refunded_period_would_have(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await shop.bought(customer, await shop.on_offer())
        await shop.given_back(await shop.renewed_early(customer), is_overdraft=False)

        await shop.renewed_early(customer)

        live = [grant for grant in await shop.grants(customer) if grant["ended_at"] is None]
        assert live[0]["ends_at"] == live[1]["starts_at"]
