"""Somebody whose wallet is empty is stopped, tops up, and goes on where they were."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.payment import PaymentPage
from testkit.pages.playground import PlaygroundPage
from testkit.pages.sign_in import SignInPage
from testkit.stack.site import Site
from testkit.stack.stack import Login, Stack


class TestIAmBlockedTopUpAndGoOn:
    def test_the_call_that_was_blocked_succeeds_after_my_payment(
        self, page: Page, site: Site, login: Login, stack: Stack, watch: BrowserWatch
    ) -> None:
        watch.expect_status(402, "/billing/playground")
        playground, balance, payment = PlaygroundPage(page, site), BalancePage(page, site), PaymentPage(page)
        playground.open()
        SignInPage(page, site).sign_in(login)
        playground.ask("demo-large", "Tell me a story about a wallet.")
        expect(playground.blocked).to_be_visible()

        playground.top_up_and_come_back()
        expect(balance.notice.not_covered).to_contain_text("was missing")
        balance.topup.choose("RUB 500.00")
        balance.topup.continue_to_payment()
        payment.pay()
        expect(balance.payment.credited).to_contain_text("RUB 500.00 is in your wallet")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")
        balance.payment.go_back()

        expect(playground.prompt).to_have_value("Tell me a story about a wallet.")
        playground.send()
        expect(playground.answer).to_be_visible()
        expect(playground.cost).to_contain_text("RUB")
        assert stack.verify_books().are_right
