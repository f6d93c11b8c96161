"""The balance page: what it says about the wallet, what it advises, and what it does when one of its cards fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from frontend_tests.expectations import expect_advice
from frontend_tests.preparations import database_refusing
from testkit.actors.customer import Customer
from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.stack.site import Site
from testkit.stack.stack import Stack


class TestABlockedCallThatSentTheCustomerHere:
    @pytest.mark.usefixtures("generous_terms")
    def test_is_named_with_what_it_lacked_where_something_is_free(self, newcomers_balance: BalancePage) -> None:
        newcomers_balance.open("?missing=612.5")

        expect(newcomers_balance.notice.not_covered).to_contain_text("RUB 612.50 was missing")
        expect_advice(newcomers_balance, is_free=True)

    def test_is_named_even_where_the_balance_is_not_low(self, regulars_balance: BalancePage) -> None:
        regulars_balance.open("?missing=612.5")

        expect(regulars_balance.notice.not_covered).to_contain_text("RUB 612.50 was missing")
        expect_advice(regulars_balance, is_free=False)

    def test_the_smallest_amount_that_covers_it_is_recommended_and_chosen(self, regulars_balance: BalancePage) -> None:
        regulars_balance.open("?missing=612.5")

        expect(regulars_balance.topup.recommended).to_have_count(1)
        expect(regulars_balance.topup.recommended).to_be_checked()
        expect(regulars_balance.topup.preset("RUB 1,000.00")).to_be_checked()

    @pytest.mark.parametrize("missing", ["-5", "<b>5</b>"])
    def test_a_spoilt_amount_is_left_out(self, regulars_balance: BalancePage, missing: str) -> None:
        regulars_balance.open(f"?missing={missing}")

        expect(regulars_balance.heading).to_be_visible()
        expect(regulars_balance.notice.any).to_have_count(0)


class TestAWalletThatIsNotLow:
    def test_shows_its_figures_and_gives_no_advice(self, regulars_balance: BalancePage, regular: Customer) -> None:
        regulars_balance.open()

        expect(regulars_balance.notice.any).to_have_count(0)
        # RUB 500.00 paid, less a call of 1 000 tokens in (0.90) and 1 000 out (3.60).
        for name, amount in {"Available": "RUB 495.50", "Paid": "RUB 495.50", "Held": "RUB 0.00"}.items():
            expect(regulars_balance.wallet.figure(name)).to_have_text(amount)
        expect(regulars_balance.frame.balance_chip).to_have_accessible_name("Available balance: RUB 495.50")
        assert str(regular.wallet().available) == "495.50"

    def test_lists_what_happened_newest_first(self, regulars_balance: BalancePage) -> None:
        regulars_balance.open()

        lines = regulars_balance.activity.lines
        expect(lines).to_have_count(3)
        for line, words in enumerate(
            (("demo-large", "\N{MINUS SIGN}RUB 4.50"), ("demo-free", "Free"), ("Top-up", "+RUB 500.00"))
        ):
            for word in words:
                expect(lines.nth(line)).to_contain_text(word)


class TestAnEmptyWallet:
    def test_says_what_will_be_there(self, newcomers_balance: BalancePage) -> None:
        newcomers_balance.open()

        expect(newcomers_balance.activity.lines).to_have_count(0)
        expect(newcomers_balance.activity.card).to_contain_text("Nothing has happened yet")
        for name in ("Available", "Paid", "Granted", "Held", "Debt"):
            expect(newcomers_balance.wallet.figure(name)).to_have_text("RUB 0.00")


class TestDebt:
    def test_is_shown_with_how_it_will_be_paid_and_the_next_top_up_pays_it(
        self, balance: BalancePage, customer: Customer, stack: Stack
    ) -> None:
        customer.top_up("100.00")
        customer.use(stack.model, model="demo-large", output_tokens=50_000)

        balance.open()

        # 50 000 tokens out cost 180.00 and ten in 0.009; 100.00 of it were there.
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")
        expect(balance.wallet.figure("Debt")).to_have_text("RUB 80.009")
        expect(balance.wallet.card).to_contain_text("paid first by your next top-up")

        customer.top_up("150.00")
        balance.open()
        expect(balance.wallet.figure("Debt")).to_have_text("RUB 0.00")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 69.991")


class TestACardThatFails:
    @pytest.mark.parametrize(
        ("table", "card"), [("free_quota_terms", "Free limits"), ("usage_events", "Latest activity")]
    )
    def test_never_hides_the_balance_and_comes_back_alone(
        self, regulars_balance: BalancePage, stack: Stack, watch: BrowserWatch, table: str, card: str
    ) -> None:
        failing = regulars_balance.page.get_by_role("region", name=card)
        with database_refusing(stack, table):
            regulars_balance.open()
            expect(failing.get_by_role("alert")).to_contain_text("The rest of the page works.")
            expect(regulars_balance.page.get_by_role("main").get_by_role("alert")).to_have_count(1)
            expect(regulars_balance.wallet.figure("Available")).to_have_text("RUB 495.50")
            expect(regulars_balance.topup.submit).to_be_enabled()
        watch.forget_navigations()

        failing.get_by_role("link", name="Try again").click()

        expect(failing.get_by_role("alert")).to_have_count(0)
        expect(failing).to_be_focused()
        assert watch.navigations == []

    def test_without_a_balance_the_customer_can_still_top_up(self, regulars_balance: BalancePage, stack: Stack) -> None:
        with database_refusing(stack, "credit_lots"):
            regulars_balance.open()

            expect(regulars_balance.wallet.failure).to_contain_text("We could not load your balance.")
            expect(regulars_balance.frame.balance_chip).to_have_count(0)
            expect(regulars_balance.notice.any).to_have_count(0)
            expect(regulars_balance.topup.submit).to_be_enabled()
        regulars_balance.wallet.retry.click()

        expect(regulars_balance.wallet.figure("Available")).to_have_text("RUB 495.50")

    def test_that_fails_again_keeps_what_was_there(
        self, regulars_balance: BalancePage, stack: Stack, watch: BrowserWatch
    ) -> None:
        path = "/billing/balance/cards/free-limits"
        watch.expect_status(500, path)
        regulars_balance.page.route(f"**{path}", lambda route: route.fulfill(status=500, body="<p>oops</p>"))
        with database_refusing(stack, "free_quota_terms"):
            regulars_balance.open()

        with regulars_balance.page.expect_response(f"**{path}"):
            regulars_balance.free_limits.retry.click()

        expect(regulars_balance.free_limits.card).not_to_have_attribute("aria-busy", "true")
        expect(regulars_balance.free_limits.failure).to_be_visible()
        expect(regulars_balance.free_limits.retry).to_be_visible()
        expect(regulars_balance.wallet.figure("Available")).to_have_text("RUB 495.50")

    def test_a_session_that_has_ended_puts_no_sign_in_form_into_a_card(
        self, signed_in_as: Callable[[Customer], Page], newcomer: Customer, site: Site, stack: Stack
    ) -> None:
        page = signed_in_as(newcomer)
        balance = BalancePage(page, site)
        with database_refusing(stack, "usage_events"):
            balance.open()
        page.context.clear_cookies()

        with page.expect_response("**/sign-in?*"):
            balance.activity.retry.click()

        expect(balance.activity.card).not_to_have_attribute("aria-busy", "true")
        expect(balance.activity.failure).to_be_visible()
        expect(page.get_by_label("Password")).to_have_count(0)
