"""Buying a plan: one payment, one paid period, whatever came before it and whoever asks how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.subscriptions import PlanShop
from backend.tests.builders.wallets import rub
from billing.customers.errors import Forbidden
from billing.customers.rules import Role, Scope
from billing.kit.errors import IdempotencyKeyReused
from billing.kit.public_address import InvalidReturnUrl
from billing.payments.errors import PaymentMethodNotFound, PaymentNotFound
from billing.subscriptions.errors import PaidFarAhead, PlanNotFound, SubscriptionNotFound
from billing.subscriptions.rules import Interval
from billing.subscriptions.service import PurchaseStatus, SubscriptionStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture
def shop(plan_shop: PlanShop) -> PlanShop:
    """Where plans are sold."""
    return plan_shop


@pytest.fixture
async def customer(shop: PlanShop) -> Customer:
    """Somebody who wants a plan."""
    return await shop.town.customer()


class TestBuying:
    async def test_nothing_is_granted_before_the_money_came(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.ordered(customer, await shop.on_offer())

        assert purchase.status is PurchaseStatus.PENDING
        assert purchase.confirmation_url is not None
        assert (await shop.standing(customer)).status is SubscriptionStatus.NONE
        assert await shop.grants(customer) == []

    async def test_a_paid_plan_runs_from_that_moment_for_a_calendar_month(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        purchase = await shop.bought(customer, await shop.on_offer())

        standing = await shop.standing(customer)
        assert purchase.status is PurchaseStatus.SUCCEEDED
        assert standing.status is SubscriptionStatus.ACTIVE
        assert standing.running is not None
        assert standing.running.span.starts_at == shop.clock.now()
        assert standing.paid_until == datetime(2026, 4, 2, 12, 0, tzinfo=UTC)

    async def test_its_price_is_a_sale_and_its_credit_a_gift_that_ends_with_it(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await shop.bought(customer, await shop.on_offer(price=rub("300"), included_credit=rub("100")))

        balance = await shop.balance(customer)
        (lot,) = balance.lots
        assert (balance.paid, balance.granted) == (rub("0"), rub("100"))
        assert lot.expires_at == datetime(2026, 4, 2, 12, 0, tzinfo=UTC)
        assert await shop.stands_on("plan_sales", customer) == rub("300")
        assert await shop.stands_on("provider:yookassa", customer) == rub("-300")

    async def test_what_it_gives_reaches_the_next_call(self, shop: PlanShop, customer: Customer) -> None:
        await shop.bought(customer, await shop.on_offer(discount_percent=20, daily_cap=rub("50")))

        entitlement = await shop.entitlement(customer)
        assert entitlement.discount_percent == 20
        assert dict(entitlement.caps) == {"day": rub("50").micros}

    async def test_a_plan_that_was_retired_meanwhile_is_granted_all_the_same(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        plan = await shop.on_offer()
        purchase = await shop.ordered(customer, plan)
        await shop.retired(plan)

        await shop.paid(customer, purchase)

        assert (await shop.standing(customer)).status is SubscriptionStatus.ACTIVE

    async def test_a_retired_plan_cannot_be_bought(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()
        await shop.retired(plan)

        with pytest.raises(PlanNotFound):
            await shop.ordered(customer, plan)

    async def test_whoever_already_has_it_renews_a_retired_plan_at_its_price(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        plan = await shop.on_offer()
        await shop.bought(customer, plan)
        await shop.retired(plan)
        await shop.on_offer(code=plan.terms.code, price=rub("900"))

        renewed = await shop.renewed_early(customer)

        assert renewed.amount == rub("300")
        assert [grant["plan_id"] for grant in await shop.grants(customer)] == [plan.id, plan.id]

    async def test_a_declined_payment_grants_nothing(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.ordered(customer, await shop.on_offer())

        await shop.yookassa.decline(await shop.provider_id(purchase.payment_id))
        after = await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)

        assert after.status is PurchaseStatus.CANCELED
        assert await shop.grants(customer) == []


class TestIntents:
    async def test_the_same_key_is_the_same_payment(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()

        first = await shop.ordered(customer, plan, key="mine")
        second = await shop.ordered(customer, plan, key="mine")

        assert first.payment_id == second.payment_id
        assert len(await shop.yookassa.payments()) == 1

    async def test_the_same_intent_is_the_same_payment(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()

        first = await shop.ordered(customer, plan)
        second = await shop.ordered(customer, plan)

        assert first.payment_id == second.payment_id

    async def test_another_plan_at_the_same_price_is_another_intent(self, shop: PlanShop, customer: Customer) -> None:
        first = await shop.ordered(customer, await shop.on_offer())
        second = await shop.ordered(customer, await shop.on_offer())

        assert first.payment_id != second.payment_id

    async def test_a_key_that_comes_back_with_another_plan_is_refused(self, shop: PlanShop, customer: Customer) -> None:
        await shop.ordered(customer, await shop.on_offer(), key="mine")

        with pytest.raises(IdempotencyKeyReused):
            await shop.ordered(customer, await shop.on_offer(), key="mine")

    async def test_ten_clicks_at_once_are_one_payment_and_one_period(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()

        purchases = await asyncio.gather(*(shop.ordered(customer, plan) for _ in range(10)))
        paid = await asyncio.gather(*(shop.paid(customer, purchase) for purchase in purchases[:1]))

        assert len({purchase.payment_id for purchase in purchases}) == 1
        assert paid[0].status is PurchaseStatus.SUCCEEDED
        assert len(await shop.grants(customer)) == 1


class TestChains:
    async def test_an_early_renewal_is_added_to_the_end(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()
        await shop.bought(customer, plan)
        shop.clock.move(timedelta(days=10))

        await shop.renewed_early(customer)

        first, second = await shop.grants(customer)
        assert second["starts_at"] == first["ends_at"]
        assert second["ends_at"] == datetime(2026, 5, 2, 12, 0, tzinfo=UTC)

    async def test_another_plan_begins_when_the_running_one_ends_and_renews_it_not(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        one = await shop.on_offer(discount_percent=10)
        other = await shop.on_offer(discount_percent=30, interval=Interval.YEAR)
        await shop.bought(customer, one)

        await shop.bought(customer, other)

        first, second = await shop.grants(customer)
        assert (first["plan_id"], second["plan_id"]) == (one.id, other.id)
        assert (first["ends_at"], second["starts_at"]) == (datetime(2026, 4, 2, 12, 0, tzinfo=UTC),) * 2
        assert second["ends_at"] == datetime(2027, 4, 2, 12, 0, tzinfo=UTC)
        assert (await shop.entitlement(customer)).discount_percent == 10
        shop.clock.move(timedelta(days=31))
        assert (await shop.entitlement(customer)).discount_percent == 30

    async def test_the_credit_of_a_period_comes_when_the_period_begins(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await shop.bought(customer, await shop.on_offer(included_credit=rub("100")))
        await shop.renewed_early(customer)
        before = (await shop.balance(customer)).granted

        shop.clock.move(timedelta(days=31))
        await shop.renewals.give_credit()
        await shop.renewals.give_credit()

        assert before == rub("100")
        assert (await shop.balance(customer)).granted == rub("100")

    async def test_an_expired_plan_gives_nothing(self, shop: PlanShop, customer: Customer) -> None:
        await shop.bought(customer, await shop.on_offer(discount_percent=20))

        shop.clock.move(timedelta(days=31))

        standing = await shop.standing(customer)
        assert standing.status is SubscriptionStatus.EXPIRED
        assert (standing.running, standing.paid_until) == (None, None)
        assert (await shop.entitlement(customer)).discount_percent == 0
        assert (await shop.balance(customer)).available == rub("0")

    async def test_nothing_is_sold_for_years_to_come(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer(interval=Interval.YEAR)
        for _ in range(3):
            await shop.bought(customer, plan)

        with pytest.raises(PaidFarAhead):
            await shop.ordered(customer, plan)

    async def test_without_a_plan_there_is_nothing_to_renew(self, shop: PlanShop, customer: Customer) -> None:
        with pytest.raises(SubscriptionNotFound):
            await shop.renewed_early(customer)


class TestSavedMethods:
    async def test_a_saved_method_pays_at_once(self, shop: PlanShop) -> None:
        plan = await shop.on_offer()
        customer = await shop.renewing(plan)
        (method,) = await shop.methods.methods_of(customer.principal)

        purchase = await shop.ordered(customer, plan, method_id=method.id)

        assert purchase.status is PurchaseStatus.SUCCEEDED
        assert len(await shop.grants(customer)) == 2

    @pytest.mark.parametrize("kind", ["unavailable", "rate_limited"])
    async def test_a_charge_that_checks_will_make_is_no_failure(self, shop: PlanShop, kind: str) -> None:
        plan = await shop.on_offer()
        customer = await shop.renewing(plan)
        (method,) = await shop.methods.methods_of(customer.principal)
        await shop.yookassa.plan(kind, "create_payment", times=6, retry_after_seconds=60)

        first, second = [await shop.ordered(customer, plan, method_id=method.id) for _ in range(2)]

        assert (first.status, second.status) == (PurchaseStatus.PROCESSING, PurchaseStatus.PROCESSING)
        assert first.payment_id == second.payment_id
        assert len(await shop.charges(customer)) == 1

    async def test_a_plan_that_shall_renew_itself_keeps_its_method(self, shop: PlanShop) -> None:
        customer = await shop.renewing(await shop.on_offer())

        (method,) = await shop.methods.methods_of(customer.principal)
        standing = await shop.standing(customer)
        assert (standing.will_renew, standing.method_id) == (True, method.id)

    async def test_somebody_elses_method_is_none(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()
        other = await shop.renewing(plan)
        (method,) = await shop.methods.methods_of(other.principal)

        with pytest.raises(PaymentMethodNotFound):
            await shop.ordered(customer, plan, method_id=method.id)

        assert await shop.till.rows_of(customer) == []

    async def test_a_stolen_key_charges_no_card(self, shop: PlanShop) -> None:
        plan = await shop.on_offer()
        customer = await shop.renewing(plan)
        (method,) = await shop.methods.methods_of(customer.principal)
        key = replace(customer.principal, api_key_id="key_1", scopes=frozenset(Scope))
        thief = replace(customer, principal=key)

        with pytest.raises(Forbidden):
            await shop.ordered(thief, plan, method_id=method.id)
        with pytest.raises(Forbidden):
            await shop.renewed_early(thief, method_id=method.id)
        await shop.subscriptions.cancel(key, is_now=False, request_id="req_tests")
        with pytest.raises(Forbidden):
            await shop.subscriptions.resume(key, method_id=None, request_id="req_tests")

        assert len(await shop.charges(customer)) == 1
        assert not (await shop.standing(customer)).will_renew


class TestRefusals:
    async def test_a_plan_that_nobody_offers_cannot_be_bought(self, shop: PlanShop, customer: Customer) -> None:
        plan = await shop.on_offer()
        await shop.retired(plan)

        with pytest.raises(PlanNotFound):
            await shop.ordered(customer, plan)

    async def test_a_member_may_not_buy(self, shop: PlanShop, customer: Customer) -> None:
        member = await shop.town.colleague(customer.account, Role.MEMBER)

        with pytest.raises(Forbidden):
            await shop.ordered(member, await shop.on_offer())

    async def test_nobody_is_sent_to_a_strangers_page(self, shop: PlanShop, customer: Customer) -> None:
        with pytest.raises(InvalidReturnUrl):
            await shop.ordered(customer, await shop.on_offer(), return_url="https://evil.example/")

    async def test_a_foreign_payment_is_none(self, shop: PlanShop, customer: Customer) -> None:
        purchase = await shop.ordered(await shop.town.customer(), await shop.on_offer())

        with pytest.raises(PaymentNotFound):
            await shop.subscriptions.purchase(customer.principal, purchase.payment_id)
        with pytest.raises(PaymentNotFound):
            await shop.subscriptions.reconcile(customer.principal, purchase.payment_id)

    async def test_a_topup_is_no_plan_payment(self, shop: PlanShop, customer: Customer) -> None:
        topup = await shop.till.started(customer)

        with pytest.raises(PaymentNotFound):
            await shop.subscriptions.purchase(customer.principal, topup.payment_id)
