"""Plan payments that a bank wants back: the period ends with the money, and runs again with it."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.subscriptions import PlanShop
from backend.tests.builders.wallets import rub
from billing.payments.ports import ProviderDispute
from billing.payments.provider_states import Picture
from billing.payments.rules import Actor, DisputeStatus, ProviderDisputeId, ProviderPaymentId
from billing.subscriptions.service import Purchase

pytestmark = [pytest.mark.money, pytest.mark.slow]

OPEN, LOST, WON = DisputeStatus.OPEN, DisputeStatus.LOST, DisputeStatus.WON


@pytest.fixture
def shop(plan_shop: PlanShop) -> PlanShop:
    """Where plans are sold."""
    return plan_shop


@pytest.fixture
async def customer(shop: PlanShop) -> Customer:
    """Somebody who wants a plan."""
    return await shop.town.customer()


@pytest.fixture
async def purchase(shop: PlanShop, customer: Customer) -> Purchase:
    """Their plan of 300 roubles, which runs."""
    return await shop.bought(customer, await shop.on_offer(discount_percent=20))


async def disputed(
    shop: PlanShop, purchase: Purchase, status: DisputeStatus, amount: str = "300", *, name: str = "dp"
) -> None:
    """The provider says how the dispute of this name about the payment stands."""
    payment_id = ProviderPaymentId(await shop.provider_id(purchase.payment_id))
    seen = await shop.till.provider.get_payment(payment_id)
    refunds = await shop.till.provider.refunds_of(payment_id)
    dispute = ProviderDispute(ProviderDisputeId(f"{name}_{payment_id}"), payment_id, status, rub(amount))
    async with shop.begin() as uow:
        await shop.states.apply_provider_state(
            uow, purchase.payment_id, Picture(seen, refunds, (dispute,)), actor=Actor.READ_BACK
        )


async def refunded_in_cabinet(shop: PlanShop, purchase: Purchase, amount: str) -> None:
    """The provider's own staff gives this much back, and the provider tells us."""
    await shop.yookassa.refund_in_cabinet(await shop.provider_id(purchase.payment_id), rub(amount))
    await shop.notified(await shop.yookassa.notification("refund.succeeded"))


async def require_ended(shop: PlanShop, customer: Customer) -> None:
    """The period is over, renews itself no more, and what was left of its credit is gone."""
    (grant,) = await shop.grants(customer)
    standing = await shop.standing(customer)
    assert grant["ended_at"] == shop.clock.now()
    assert (standing.running, standing.will_renew) == (None, False)
    assert (await shop.balance(customer)).available == rub("0")
    assert await shop.stands_on("plan_sales", customer) == rub("0")


class TestSeveralPartsThatAreAll:
    @pytest.fixture
    async def customer(self, shop: PlanShop) -> Customer:
        """Somebody whose plan renews itself, and who has spent a part of its credit."""
        customer = await shop.renewing(await shop.on_offer())
        await shop.till.spent(customer, "30")
        return customer

    @pytest.fixture
    async def purchase(self, shop: PlanShop, customer: Customer) -> Purchase:
        """The plan of 300 roubles that they have."""
        (grant,) = await shop.grants(customer)
        return await shop.subscriptions.purchase(customer.principal, grant["payment_id"])

    async def test_a_refund_and_a_dispute_about_the_rest_end_the_period(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await refunded_in_cabinet(shop, purchase, "100")
        between = await shop.standing(customer)

        await disputed(shop, purchase, OPEN, "200")

        assert (between.running is not None, between.will_renew) == (True, True)
        await require_ended(shop, customer)

    async def test_a_dispute_and_a_refund_of_the_rest_end_it(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await disputed(shop, purchase, OPEN, "200")
        between = await shop.standing(customer)

        await refunded_in_cabinet(shop, purchase, "100")

        assert (between.running is not None, between.will_renew) == (True, True)
        await require_ended(shop, customer)

    @pytest.mark.parametrize("first", [OPEN, LOST])
    async def test_two_disputes_end_it(
        self, shop: PlanShop, customer: Customer, purchase: Purchase, first: DisputeStatus
    ) -> None:
        await disputed(shop, purchase, first, "100", name="one")

        await disputed(shop, purchase, OPEN, "200", name="other")

        await require_ended(shop, customer)

    async def test_a_won_dispute_counts_no_more(self, shop: PlanShop, customer: Customer, purchase: Purchase) -> None:
        await disputed(shop, purchase, OPEN, "200", name="one")
        await disputed(shop, purchase, WON, "200", name="one")

        await disputed(shop, purchase, OPEN, "100", name="other")

        assert (await shop.standing(customer)).running is not None
        assert await shop.stands_on("plan_sales", customer) == rub("200")

    async def test_a_part_that_returns_lets_the_period_run_again(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await refunded_in_cabinet(shop, purchase, "100")
        await disputed(shop, purchase, OPEN, "200")

        await disputed(shop, purchase, WON, "200")

        assert (await shop.standing(customer)).running is not None
        assert (await shop.balance(customer)).available == rub("70")
        assert await shop.stands_on("plan_sales", customer) == rub("200")

    async def test_a_dispute_that_is_won_after_all_was_refunded_brings_nothing_back(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await disputed(shop, purchase, OPEN, "200")
        await refunded_in_cabinet(shop, purchase, "300")

        await disputed(shop, purchase, WON, "200")

        await require_ended(shop, customer)


class TestDisputes:
    async def test_an_open_one_ends_the_period(self, shop: PlanShop, customer: Customer, purchase: Purchase) -> None:
        await disputed(shop, purchase, OPEN)

        assert (await shop.standing(customer)).running is None
        assert (await shop.entitlement(customer)).discount_percent == 0
        assert await shop.stands_on("plan_sales", customer) == rub("0")
        assert await shop.stands_on("disputes", customer) == rub("300")

    async def test_a_won_one_lets_the_rest_of_the_period_run(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await disputed(shop, purchase, OPEN)
        shop.clock.move(timedelta(days=5))

        await disputed(shop, purchase, WON)

        assert (await shop.standing(customer)).running is not None
        assert await shop.stands_on("plan_sales", customer) == rub("300")
        assert set(await shop.till.told(customer)) == {
            "subscription.paid",
            "subscription.ended",
            "subscription.restored",
            "dispute.opened",
            "dispute.won",
        }

    async def test_a_won_one_brings_back_the_credit_that_was_left(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await shop.till.spent(customer, "30")
        await disputed(shop, purchase, OPEN)
        between = (await shop.balance(customer)).available

        await disputed(shop, purchase, WON)

        (lot,) = (await shop.balance(customer)).lots
        assert (between, lot.left) == (rub("0"), rub("70"))
        assert lot.expires_at == (await shop.grants(customer))[0]["ends_at"]

    async def test_a_lost_one_is_the_end(self, shop: PlanShop, customer: Customer, purchase: Purchase) -> None:
        await disputed(shop, purchase, OPEN)

        await disputed(shop, purchase, LOST)

        assert (await shop.standing(customer)).running is None
        assert await shop.stands_on("provider:yookassa", customer) == rub("0")

    @pytest.mark.parametrize(
        "order", [seen for size in (1, 2, 3) for seen in itertools.product((OPEN, WON), repeat=size)]
    )
    async def test_however_the_news_comes_it_ends_as_the_last_state_says(
        self, shop: PlanShop, customer: Customer, purchase: Purchase, order: tuple[DisputeStatus, ...]
    ) -> None:
        for status in order:
            await disputed(shop, purchase, status)

        is_running = (await shop.standing(customer)).running is not None
        assert is_running == (WON in order)
        assert await shop.stands_on("plan_sales", customer) == rub("300" if WON in order else "0")

    async def test_a_won_one_does_not_push_aside_what_was_bought_meanwhile(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await disputed(shop, purchase, OPEN)
        other = await shop.bought(customer, await shop.on_offer())

        await disputed(shop, purchase, WON)

        running = (await shop.standing(customer)).running
        assert running is not None
        assert running.payment_id == other.payment_id

    async def test_one_that_is_won_after_the_period_would_have_ended_brings_nothing_back(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        await disputed(shop, purchase, OPEN)
        shop.clock.move(timedelta(days=40))

        await disputed(shop, purchase, WON)

        assert (await shop.standing(customer)).running is None

    async def test_one_about_a_period_that_is_over_ends_nothing(
        self, shop: PlanShop, customer: Customer, purchase: Purchase
    ) -> None:
        shop.clock.move(timedelta(days=40))

        await disputed(shop, purchase, OPEN)

        assert (await shop.grants(customer))[0]["ended_at"] is None
