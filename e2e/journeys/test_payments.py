"""I pay, or do not, and whatever happens between the provider and the shop, my wallet is right."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer, provider_payment_id
from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.payment import PaymentPage
from testkit.pages.playground import PlaygroundPage
from testkit.pages.sign_in import SignInPage
from testkit.simulators.notifications import DeliveryMode
from testkit.stack.site import Site
from testkit.stack.stack import Login, Stack
from testkit.waiting import until

FIRST_CHECK_SECONDS = 70
"""A minute after it was begun a payment is asked about without anybody's doing."""
CHECKED_WITHIN_SECONDS = 40
"""The scheduler looks every ten seconds of the machine's own time."""
PAYMENT_STEPS_MAX = 8
"""Form, payment page of ours, the provider's, its answer, the return, the balance: and a little room."""


def set_out_to_pay(page: Page, site: Site, amount: str = "RUB 500.00") -> tuple[BalancePage, PaymentPage, str]:
    """From the balance to the provider's page; answers both, and the provider's id of the payment."""
    balance, payment = BalancePage(page, site), PaymentPage(page)
    balance.open()
    balance.topup.choose(amount)
    balance.topup.continue_to_payment()
    expect(payment.pay_button).to_be_visible()
    return balance, payment, provider_payment_id(page.url)


def notification_of(stack: Stack, payment_id: str) -> dict[str, Any]:
    """The only notification about this payment, once it has been tried."""
    (found,) = [item for item in stack.provider.wait_for_notifications() if item["object_id"] == payment_id]
    return found


class TestIComeBackToWhereTheShopLives:
    @pytest.mark.parametrize(
        "base_path",
        [
            pytest.param("", id="at-the-root"),
            pytest.param("/chat", id="at-chat"),
            pytest.param("/a/b", id="at-a-b", marks=pytest.mark.slow),
        ],
    )
    def test_the_way_there_and_back_stays_under_its_path_and_never_turns_in_circles(
        self,
        page: Page,
        stack: Stack,
        login: Login,
        watch: BrowserWatch,
        base_path: str,
    ) -> None:
        # One proxy strips the path, the other passes it on; deployments do both.
        shop = stack.site_at(base_path, strips_prefix=base_path == "/chat")
        balance, payment = BalancePage(page, shop), PaymentPage(page)
        balance.open("?missing=12.50&return_to=/billing/playground")
        SignInPage(page, shop).sign_in(login)
        expect(balance.notice.not_covered).to_contain_text("RUB 12.50 was missing")

        watch.forget_navigations()
        balance.topup.choose("RUB 500.00")
        balance.topup.continue_to_payment()
        payment.pay()
        expect(balance.payment.credited).to_be_visible()

        way = [urlsplit(url) for url in watch.navigations]
        ours = [step.path for step in way if shop.url.startswith(f"{step.scheme}://{step.netloc}")]
        assert ours[0] == f"{base_path}/billing/topups"
        assert ours[-1] == f"{base_path}/billing/balance"
        assert ours[-2].startswith(f"{base_path}/billing/topups/")
        assert ours[-2].endswith("/return")
        assert all(path.startswith(f"{base_path}/billing/") for path in ours)
        assert len(way) <= PAYMENT_STEPS_MAX
        balance.payment.go_back()
        expect(PlaygroundPage(page, shop).heading).to_be_visible()
        assert page.url == shop.href("/billing/playground")


class TestMyBankSaysNo:
    def test_i_am_told_so_and_can_pay_another_way(self, signed_in_page: Page, site: Site) -> None:
        balance, payment, _ = set_out_to_pay(signed_in_page, site)

        payment.decline()
        expect(balance.payment.failed).to_contain_text("The RUB 500.00 could not be paid this way.")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")
        balance.payment.try_again.click()
        balance.topup.choose("RUB 500.00")
        balance.topup.continue_to_payment()
        payment.pay()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")


class TestMyBankAsksWhoIAm:
    def test_a_wrong_answer_pays_nothing_and_a_right_one_does(self, signed_in_page: Page, site: Site) -> None:
        balance, payment, _ = set_out_to_pay(signed_in_page, site)

        payment.pay_with_proof()
        expect(payment.bank_asks).to_be_visible()
        payment.fail_to_prove()
        expect(balance.payment.failed).to_contain_text("The RUB 500.00 could not be paid this way.")
        balance.payment.try_again.click()
        balance.topup.choose("RUB 500.00")
        balance.topup.continue_to_payment()
        payment.pay_with_proof()
        payment.prove()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")


class TestILeaveThePaymentPageWithoutPaying:
    def test_nothing_is_credited_and_the_same_payment_can_still_be_paid(
        self, signed_in_page: Page, site: Site, picture: Callable[[str], Path]
    ) -> None:
        balance, payment, payment_id = set_out_to_pay(signed_in_page, site)

        payment.abandon()
        expect(balance.payment.waiting).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")
        picture("waiting")
        balance.payment.payment_page_link.click()
        expect(payment.pay_button).to_be_visible()
        assert provider_payment_id(signed_in_page.url) == payment_id
        payment.pay()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")


class TestTheProvidersNotification:
    def test_alone_it_credits_me_although_i_never_come_back(self, customer: Customer, stack: Stack) -> None:
        topup = customer.start_topup("500.00")

        stack.provider.pay(provider_payment_id(topup["confirmation_url"]))

        assert until("succeeded", lambda: customer.topup(topup["payment_id"])["status"]) == "succeeded"
        assert customer.wallet().available == Decimal(500)

    def test_lost_on_the_way_it_is_not_missed_because_i_come_back(
        self, signed_in_page: Page, site: Site, stack: Stack
    ) -> None:
        stack.provider.notify(DeliveryMode.LOSE)
        balance, payment, payment_id = set_out_to_pay(signed_in_page, site)

        payment.pay()

        expect(balance.payment.credited).to_be_visible()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")
        assert notification_of(stack, payment_id)["state"] == "lost"

    @pytest.mark.slow  # it waits for the worker's own round
    def test_lost_on_the_way_and_my_browser_closed_the_shop_finds_my_money_by_itself(
        self, signed_in_page: Page, site: Site, stack: Stack, customer: Customer
    ) -> None:
        stack.provider.notify(DeliveryMode.LOSE)
        _, _, payment_id = set_out_to_pay(signed_in_page, site)
        signed_in_page.close()
        stack.provider.pay(payment_id)
        assert customer.available() == 0

        stack.move_clock(FIRST_CHECK_SECONDS)

        credited = until(Decimal(500), customer.available, within_seconds=CHECKED_WITHIN_SECONDS)
        assert credited == Decimal(500)
        assert notification_of(stack, payment_id)["state"] == "lost"

    def test_repeated_ten_times_at_once_it_credits_me_once(
        self, signed_in_page: Page, site: Site, stack: Stack, customer: Customer
    ) -> None:
        stack.provider.notify(DeliveryMode.HOLD)
        balance, payment, payment_id = set_out_to_pay(signed_in_page, site)
        payment.pay()
        expect(balance.payment.credited).to_be_visible()

        repeated = stack.provider.repeat(notification_of(stack, payment_id)["id"], times=10, at_once=True)

        assert [attempt["status"] for attempt in repeated["attempts"]] == [200] * 10
        # A later payment's notification is worked on after these ten, and comes alone on top of the first.
        stack.provider.notify(DeliveryMode.DELIVER)
        later = customer.start_topup("100.00")
        stack.provider.pay(provider_payment_id(later["confirmation_url"]))
        assert until("succeeded", lambda: customer.topup(later["payment_id"])["status"]) == "succeeded"
        balance.open()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 600.00")

    def test_forged_with_our_own_token_it_credits_nothing(
        self, signed_in_page: Page, site: Site, stack: Stack, customer: Customer
    ) -> None:
        topup = customer.start_topup("500.00")
        payment_id = provider_payment_id(topup["confirmation_url"])
        (real,) = [item for item in stack.provider.payments() if item["id"] == payment_id]

        forged = stack.provider.forge("payment.succeeded", {**real, "status": "succeeded", "paid": True})
        assert [attempt["status"] for attempt in forged["attempts"]] == [200]
        # The bank's true answer is worked on after the forgery; a payment that had succeeded would never be cancelled.
        stack.provider.decline(payment_id)

        assert until("canceled", lambda: customer.topup(topup["payment_id"])["status"]) == "canceled"
        balance = BalancePage(signed_in_page, site)
        balance.open()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")
        expect(balance.activity.lines).to_have_count(0)
