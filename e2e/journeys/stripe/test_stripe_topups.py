"""My shop collects through Stripe: I pay there, and whatever Stripe says later, my wallet is right."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer
from testkit.pages.balance import BalancePage
from testkit.pages.checkout import CheckoutPage
from testkit.simulators.notifications import DeliveryMode
from testkit.stack.site import Site
from testkit.stack.stack import Stack
from testkit.waiting import until


def set_out_to_pay(page: Page, site: Site) -> tuple[BalancePage, CheckoutPage]:
    """From the balance to Stripe's page; answers both."""
    balance, checkout = BalancePage(page, site), CheckoutPage(page)
    balance.open()
    balance.topup.choose("RUB 500.00")
    balance.topup.continue_to_payment()
    expect(checkout.pay_button).to_be_visible()
    return balance, checkout


def session_id_of(page_url: str) -> str:
    """The session that this page of Stripe's is for."""
    return urlsplit(page_url).path.rpartition("/")[2]


def intent_of(stack: Stack, page_url: str) -> str:
    """The payment intent behind the session of this page."""
    session_id = session_id_of(page_url)
    (found,) = [item["payment_intent"] for item in stack.stripe.state("sessions") if item["id"] == session_id]
    return str(found)


class TestIPayAtStripe:
    @pytest.mark.parametrize("base_path", ["", "/chat"], ids=["at-the-root", "at-chat"])
    def test_i_come_back_to_where_the_shop_lives_and_my_money_is_there(
        self, signed_in_page: Page, stack: Stack, base_path: str
    ) -> None:
        shop = stack.site_at(base_path)
        balance, checkout = set_out_to_pay(signed_in_page, shop)

        checkout.pay()

        expect(balance.payment.credited).to_contain_text("RUB 500.00 is in your wallet.")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")
        assert signed_in_page.url.startswith(shop.href(f"{BalancePage.PATH}?topup="))

    def test_its_signed_event_credits_me_although_i_never_come_back(self, customer: Customer, stack: Stack) -> None:
        topup = customer.start_topup("500.00")

        stack.stripe.pay_at(topup["confirmation_url"])

        assert until("succeeded", lambda: customer.topup(topup["payment_id"])["status"]) == "succeeded"
        assert customer.wallet().available == Decimal(500)

    def test_a_lost_event_is_not_missed_and_a_late_one_credits_nothing_twice(
        self, customer: Customer, stack: Stack
    ) -> None:
        stack.stripe.notify(DeliveryMode.HOLD)

        customer.top_up("500.00")
        released = stack.stripe.release()
        stack.stripe.wait_for_notifications()

        assert {item["state"] for item in released} == {"delivered"}
        assert customer.wallet().available == Decimal(500)


class TestMyBankRefusesMyCard:
    def test_i_am_told_there_and_pay_with_another_one(self, signed_in_page: Page, site: Site) -> None:
        balance, checkout = set_out_to_pay(signed_in_page, site)

        checkout.decline()
        expect(checkout.card_declined).to_be_visible()
        checkout.pay()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")


class TestMyBankAsksWhoIAm:
    def test_a_wrong_answer_pays_nothing_and_a_right_one_does(self, signed_in_page: Page, site: Site) -> None:
        balance, checkout = set_out_to_pay(signed_in_page, site)

        checkout.pay_with_proof()
        expect(checkout.bank_asks).to_be_visible()
        checkout.fail_to_prove()
        expect(checkout.card_declined).to_be_visible()
        checkout.pay_with_proof()
        checkout.prove()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")


class TestILeaveStripesPageWithoutPaying:
    def test_nothing_is_credited_and_the_same_payment_can_still_be_paid(self, signed_in_page: Page, site: Site) -> None:
        balance, checkout = set_out_to_pay(signed_in_page, site)
        its_page = signed_in_page.url

        checkout.abandon()
        expect(balance.payment.waiting).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")
        balance.payment.payment_page_link.click()
        expect(checkout.pay_button).to_be_visible()
        assert signed_in_page.url == its_page
        checkout.pay()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")

    def test_once_the_page_has_expired_i_am_told_that_nothing_was_taken(
        self, signed_in_page: Page, site: Site, customer: Customer, stack: Stack
    ) -> None:
        topup = customer.start_topup("500.00")
        stack.stripe.act(session_id_of(topup["confirmation_url"]), "expire")
        balance = BalancePage(signed_in_page, site)

        signed_in_page.goto(site.href(f"/billing/topups/{topup['payment_id']}/return"))

        expect(balance.payment.cancelled).to_contain_text("No money was taken for the RUB 500.00.")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")


class TestMyBankTakesDays:
    @pytest.mark.parametrize(
        ("step", "news", "available"),
        [("arrive", "Top-up credited", "RUB 500.00"), ("fail", "The payment did not go through", "RUB 0.00")],
    )
    def test_i_am_credited_when_the_money_arrives_and_told_when_it_does_not(
        self,
        signed_in_page: Page,
        site: Site,
        customer: Customer,
        stack: Stack,
        picture: Callable[[str], Path],
        step: str,
        news: str,
        available: str,
    ) -> None:
        topup = customer.start_topup("500.00")
        session_id = session_id_of(topup["confirmation_url"])
        balance = BalancePage(signed_in_page, site)

        stack.stripe.act(session_id, "process")
        signed_in_page.goto(site.href(f"/billing/topups/{topup['payment_id']}/return"))
        expect(balance.payment.waiting).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")
        picture("on its way")
        stack.stripe.act(session_id, step)
        signed_in_page.reload()

        expect(signed_in_page.get_by_role("region", name=news)).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text(available)


class TestStripeGivesMyMoneyBack:
    def test_a_refund_on_its_dashboard_leaves_my_wallet_once(self, customer: Customer, stack: Stack) -> None:
        topup = customer.start_topup("500.00")
        stack.stripe.pay_at(topup["confirmation_url"])
        until("succeeded", lambda: customer.topup(topup["payment_id"])["status"])

        stack.stripe.refund_in_the_dashboard(intent_of(stack, topup["confirmation_url"]), 20_000)

        assert until(Decimal(300), lambda: customer.wallet().available) == Decimal(300)
        assert stack.verify_books().are_right
