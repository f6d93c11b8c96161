"""I run out of credit, top up, and go on where I was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer
from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.payment import PaymentPage
from testkit.pages.playground import PlaygroundPage
from testkit.pages.sign_in import SignInPage
from testkit.stack.site import Site
from testkit.stack.stack import Login, Stack

STORY = "Tell me a story about a wallet."


class TestMyCallIsStoppedBecauseMyWalletIsEmpty:
    def test_i_top_up_come_back_and_the_same_call_succeeds(
        self,
        page: Page,
        site: Site,
        login: Login,
        stack: Stack,
        watch: BrowserWatch,
        picture: Callable[[str], Path],
        record_property: Callable[[str, object], None],
    ) -> None:
        watch.expect_status(402, "/billing/playground")
        playground, balance, payment = PlaygroundPage(page, site), BalancePage(page, site), PaymentPage(page)
        playground.open()
        SignInPage(page, site).sign_in(login)
        playground.ask("demo-large", STORY)
        expect(playground.blocked).to_contain_text("is missing. Nothing was sent and nothing was charged.")
        picture("blocked")

        playground.top_up_and_come_back()
        expect(balance.notice.not_covered).to_contain_text("was missing")
        balance.topup.choose("RUB 500.00")
        balance.topup.continue_to_payment()
        payment.pay()
        expect(balance.payment.credited).to_contain_text("RUB 500.00 is in your wallet.")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")
        picture("credited")
        balance.payment.go_back()
        expect(playground.prompt).to_have_value(STORY)
        expect(playground.model).to_have_value("demo-large")
        playground.send()

        expect(playground.cost).to_contain_text("RUB")
        expect(playground.available).not_to_have_text("RUB 500.00")
        picture("answered")
        books = stack.verify_books()
        record_property("ledger_verified", books.are_right)
        assert books.are_right, books.report


class TestMyBalanceIsLow:
    def test_while_something_is_free_i_am_shown_it_and_can_use_it(
        self, signed_in_page: Page, site: Site, watch: BrowserWatch
    ) -> None:
        balance, playground = BalancePage(signed_in_page, site), PlaygroundPage(signed_in_page, site)
        balance.open()
        expect(balance.notice.used_up).to_be_visible()
        expect(balance.notice.topup_link).to_have_count(0)

        balance.notice.free_limits_link.click()
        expect(balance.free_limits.card).to_be_in_viewport()
        balance.frame.go_to_playground()
        playground.ask("demo-free", "Hello")

        expect(playground.cost).to_have_text("Free")
        assert watch.navigations[-1] == site.href("/billing/playground")

    def test_with_nothing_free_left_i_am_asked_to_top_up(
        self, signed_in_page: Page, site: Site, customer: Customer, stack: Stack
    ) -> None:
        customer.top_up("100.00")
        customer.spend_free_limits(stack.model)
        customer.use(stack.model, input_tokens=1000, output_tokens=1000)
        balance = BalancePage(signed_in_page, site)

        balance.open()

        expect(balance.notice.low).to_be_visible()
        expect(balance.notice.free_limits_link).to_have_count(0)
        balance.notice.topup_link.click()
        expect(balance.topup.card).to_be_in_viewport()
