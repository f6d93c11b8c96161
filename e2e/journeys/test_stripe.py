"""My shop collects through Stripe: I pay there, and whatever Stripe says later, my wallet is right."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from testkit.actors.customer import Customer
from testkit.simulators.notifications import DeliveryMode
from testkit.stack.product import Collector
from testkit.stack.stack import Stack
from testkit.waiting import until

pytestmark = pytest.mark.slow  # starts a product of its own


@pytest.fixture(scope="module")
def stripe_stack() -> Iterator[Stack]:
    """A product of its own, because the others of this run collect through YooKassa."""
    with Stack.start(collector=Collector.STRIPE) as stack:
        yield stack


@pytest.fixture
def customer(stripe_stack: Stack) -> Iterator[Customer]:
    """Somebody with an empty wallet; events arrive."""
    stripe_stack.stripe.notify(DeliveryMode.DELIVER)
    with Customer(stripe_stack.site, stripe_stack.take_customer(), stripe_stack.payments) as customer:
        yield customer


def intent_of(stack: Stack, page_url: str) -> str:
    """The payment intent behind the session of this page."""
    (session_id,) = [item["id"] for item in stack.stripe.state("sessions") if item["id"] in page_url]
    (found,) = [item["payment_intent"] for item in stack.stripe.state("sessions") if item["id"] == session_id]
    return str(found)


class TestIPayAtStripe:
    def test_its_signed_event_credits_me_although_i_never_come_back(
        self, customer: Customer, stripe_stack: Stack
    ) -> None:
        topup = customer.start_topup("500.00")

        stripe_stack.stripe.pay_at(topup["confirmation_url"])

        assert until("succeeded", lambda: customer.topup(topup["payment_id"])["status"]) == "succeeded"
        assert customer.wallet().available == Decimal(500)

    def test_a_lost_event_is_not_missed_and_a_late_one_credits_nothing_twice(
        self, customer: Customer, stripe_stack: Stack
    ) -> None:
        stripe_stack.stripe.notify(DeliveryMode.HOLD)

        customer.top_up("500.00")
        released = stripe_stack.stripe.release()
        stripe_stack.stripe.wait_for_notifications()

        assert {item["state"] for item in released} == {"delivered"}
        assert customer.wallet().available == Decimal(500)


class TestStripeGivesMyMoneyBack:
    def test_a_refund_on_its_dashboard_leaves_my_wallet_once(self, customer: Customer, stripe_stack: Stack) -> None:
        topup = customer.start_topup("500.00")
        stripe_stack.stripe.pay_at(topup["confirmation_url"])
        until("succeeded", lambda: customer.topup(topup["payment_id"])["status"])

        stripe_stack.stripe.refund_in_the_dashboard(intent_of(stripe_stack, topup["confirmation_url"]), 20_000)

        assert until(Decimal(300), lambda: customer.wallet().available) == Decimal(300)
        assert stripe_stack.verify_books().are_right
