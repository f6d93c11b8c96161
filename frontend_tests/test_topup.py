"""Topping up: choosing an amount, setting out to pay, and coming back, however the payment went."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from frontend_tests.preparations import Past
from testkit.actors.customer import Customer
from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.payment import PaymentPage
from testkit.pages.sign_in import SignInPage
from testkit.simulators.faults import Fault, FaultKind
from testkit.stack.site import Site
from testkit.stack.stack import Login, Stack

STEPS_TO_THE_FORM_MAX = 20


def amount_asked(page: Page) -> Locator:
    """What the provider's page wants to be paid."""
    expect(PaymentPage(page).heading).to_be_visible()
    return page.get_by_role("main")


def in_any_spaces(sentence: str) -> re.Pattern[str]:
    """The sentence, whichever spaces it is written with: amounts of money are kept on one line."""
    return re.compile(r"\s".join(re.escape(word) for word in sentence.split(" ")))


class TestChoosingAnAmount:
    def test_presets_are_offered_and_the_first_is_chosen(self, newcomers_balance: BalancePage) -> None:
        newcomers_balance.open()

        form = newcomers_balance.topup
        expect(form.amounts).to_have_count(5)
        for amount in ("RUB 500.00", "RUB 1,000.00", "RUB 2,500.00", "RUB 5,000.00", "Other amount"):
            expect(form.preset(amount)).to_be_visible()
        expect(form.preset("RUB 500.00")).to_be_checked()
        expect(form.recommended).to_have_count(0)
        expect(form.typed_amount).to_be_hidden()

    def test_a_preset_leads_to_the_payment_page(self, shoppers_balance: BalancePage) -> None:
        shoppers_balance.open()

        shoppers_balance.topup.choose("RUB 2,500.00")
        shoppers_balance.topup.continue_to_payment()

        expect(amount_asked(shoppers_balance.page)).to_contain_text("2500.00 RUB")

    @pytest.mark.parametrize("typed", ["1 000,50", "1,000.50"])
    def test_another_amount_is_understood_as_it_was_meant(self, shoppers_balance: BalancePage, typed: str) -> None:
        shoppers_balance.open()

        shoppers_balance.topup.type_amount(typed)
        shoppers_balance.topup.continue_to_payment()

        expect(amount_asked(shoppers_balance.page)).to_contain_text("1000.50 RUB")

    def test_what_was_typed_never_replaces_a_chosen_preset(self, shoppers_balance: BalancePage) -> None:
        shoppers_balance.open()

        shoppers_balance.topup.type_amount("777")
        shoppers_balance.topup.choose("RUB 500.00")
        expect(shoppers_balance.topup.typed_amount).to_be_hidden()
        shoppers_balance.topup.continue_to_payment()

        expect(amount_asked(shoppers_balance.page)).to_contain_text("500.00 RUB")

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            ("12abc", "Enter an amount such as 1000.50."),
            ("1000.555", "more decimals than the currency"),
            ("1,000", "can mean two amounts"),
            ("99.99", "Choose an amount from RUB 100.00 to RUB 100,000.00."),
        ],
    )
    def test_a_doubtful_amount_is_refused_and_stays_to_be_mended(
        self, newcomers_balance: BalancePage, typed: str, sentence: str
    ) -> None:
        newcomers_balance.open("?missing=12.50")

        newcomers_balance.topup.type_amount(typed)
        newcomers_balance.topup.continue_to_payment()

        field = newcomers_balance.topup.typed_amount
        expect(newcomers_balance.topup.error).to_contain_text(sentence)
        expect(field).to_have_value(typed)
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(in_any_spaces(sentence))
        expect(newcomers_balance.notice.not_covered).to_contain_text("RUB 12.50 was missing")


class TestOneIntent:
    def test_a_double_click_sends_the_form_once_and_begins_one_payment(
        self, shoppers_balance: BalancePage, site: Site, stack: Stack, watch: BrowserWatch
    ) -> None:
        shoppers_balance.open()
        shoppers_balance.topup.type_amount("1234.56")

        shoppers_balance.topup.submit.dblclick()

        expect(amount_asked(shoppers_balance.page)).to_contain_text("1234.56 RUB")
        assert watch.navigations.count(site.href("/billing/topups")) == 1
        begun = [payment for payment in stack.provider.payments() if payment["amount"]["value"] == "1234.56"]
        assert len(begun) == 1

    def test_the_form_can_be_sent_again_after_going_back(self, shoppers_balance: BalancePage) -> None:
        shoppers_balance.open()
        shoppers_balance.topup.continue_to_payment()
        expect(amount_asked(shoppers_balance.page)).to_be_visible()

        shoppers_balance.page.go_back()

        expect(shoppers_balance.topup.submit).to_have_text("Continue to payment")
        expect(shoppers_balance.topup.submit).not_to_have_attribute("aria-disabled", "true")


class TestAProviderThatCannotBegin:
    def test_is_told_in_a_sentence_with_the_choice_kept(self, shoppers_balance: BalancePage, stack: Stack) -> None:
        stack.provider.plan(Fault(kind=FaultKind.UNAVAILABLE, operation="create_payment", times=10))
        shoppers_balance.open()

        shoppers_balance.topup.choose("RUB 1,000.00")
        shoppers_balance.topup.continue_to_payment()

        expect(shoppers_balance.topup.error).to_contain_text("cannot be reached right now")
        expect(shoppers_balance.topup.preset("RUB 1,000.00")).to_be_checked()
        expect(shoppers_balance.wallet.figure("Available")).to_have_text("RUB 0.00")


class TestComingBack:
    def test_from_a_paid_payment_says_credited_and_refreshing_is_harmless(
        self, regulars_balance: BalancePage, past: Past
    ) -> None:
        regulars_balance.open(f"?topup={past.credited}")
        expect(regulars_balance.payment.credited).to_contain_text("RUB 500.00 is in your wallet.")

        regulars_balance.page.reload()

        expect(regulars_balance.payment.credited).to_be_visible()
        expect(regulars_balance.wallet.figure("Available")).to_have_text("RUB 495.50")

    def test_from_a_cancelled_payment_says_that_no_money_was_taken(
        self, regulars_balance: BalancePage, past: Past
    ) -> None:
        regulars_balance.open(f"?topup={past.cancelled}")

        expect(regulars_balance.payment.cancelled).to_contain_text("No money was taken for the RUB 520.00.")
        expect(regulars_balance.payment.credited).to_have_count(0)
        regulars_balance.payment.try_again.click()
        expect(regulars_balance.topup.card).to_be_in_viewport()

    def test_from_a_declined_payment_says_that_another_card_can_be_used(
        self, regulars_balance: BalancePage, past: Past
    ) -> None:
        regulars_balance.open(f"?topup={past.failed}")

        expect(regulars_balance.payment.failed).to_contain_text("The RUB 530.00 could not be paid this way.")
        expect(regulars_balance.payment.try_again).to_be_visible()
        expect(regulars_balance.payment.credited).to_have_count(0)

    def test_without_having_paid_says_what_is_waited_for_and_leads_to_the_same_payment(
        self, regulars_balance: BalancePage, past: Past
    ) -> None:
        regulars_balance.open(f"?topup={past.waiting}")
        expect(regulars_balance.payment.waiting).to_contain_text("you can leave this page, it happens without you")

        regulars_balance.payment.payment_page_link.click()

        expect(amount_asked(regulars_balance.page)).to_contain_text("510.00 RUB")

    def test_while_it_is_uncertain_keeps_checking_until_it_is_credited(
        self, balance: BalancePage, customer: Customer, stack: Stack
    ) -> None:
        stack.provider.plan(Fault(kind=FaultKind.MALFORMED_JSON, operation="create_payment", times=100))
        begun = customer.start_topup("540.00", return_to="/billing/playground")
        balance.open(f"?topup={begun['payment_id']}")
        expect(balance.payment.processing).to_contain_text("You can leave this page")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 0.00")

        (payment,) = [item for item in stack.provider.payments() if item["amount"]["value"] == "540.00"]
        stack.provider.pay(payment["id"])
        stack.provider.clear_faults()

        expect(balance.payment.credited).to_contain_text("RUB 540.00 is in your wallet.")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 540.00")
        expect(balance.frame.balance_chip).to_have_accessible_name("Available balance: RUB 540.00")
        expect(balance.notice.any).to_have_count(0)
        expect(balance.activity.lines).to_have_count(1)
        expect(balance.payment.back_link).to_be_visible()

    def test_checking_never_overwrites_what_the_customer_is_typing(
        self, balance: BalancePage, customer: Customer, stack: Stack
    ) -> None:
        begun = customer.start_topup("550.00")
        balance.open(f"?topup={begun['payment_id']}")
        expect(balance.payment.waiting).to_be_visible()
        balance.topup.type_amount("1234")

        stack.provider.pay(begun["confirmation_url"].partition("orderId=")[2])
        balance.topup.typed_amount.press_sequentially(".50")

        expect(balance.wallet.figure("Available")).to_have_text("RUB 550.00")
        expect(balance.topup.typed_amount).to_have_value("1234.50")
        expect(balance.topup.typed_amount).to_be_focused()

    @pytest.mark.parametrize("path", ["balance?topup={}", "topups/{}/return", "topups/{}/pay"])
    def test_with_somebody_elses_payment_shows_nothing_of_it(
        self, newcomers_balance: BalancePage, past: Past, site: Site, watch: BrowserWatch, path: str
    ) -> None:
        watch.expect_status(404)
        page = newcomers_balance.page

        page.goto(site.href(f"/billing/{path.format(past.credited)}"))

        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        expect(page.get_by_text("There is no such payment, or it is not yours to see.")).to_be_visible()
        expect(page.get_by_text("500.00")).to_have_count(0)
        page.get_by_role("link", name="Go to your balance").click()
        expect(newcomers_balance.wallet.figure("Available")).to_have_text("RUB 0.00")


class TestWithTheKeyboardAlone:
    def test_an_amount_is_chosen_and_paid(self, balance: BalancePage) -> None:
        balance.open()
        keys = balance.page.keyboard

        keys.press("Tab")
        expect(balance.page.get_by_role("link", name="Skip to content")).to_be_focused()
        keys.press("Enter")
        self._tab_to(balance.topup.preset("RUB 500.00"))
        keys.press("ArrowDown")
        expect(balance.topup.preset("RUB 1,000.00")).to_be_checked()
        self._tab_to(balance.topup.submit)
        keys.press("Enter")
        self._tab_to(PaymentPage(balance.page).pay_button)
        keys.press("Enter")

        expect(balance.payment.credited).to_contain_text("RUB 1,000.00 is in your wallet.")

    def _tab_to(self, wanted: Locator) -> None:
        wanted.wait_for()
        for _ in range(STEPS_TO_THE_FORM_MAX):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            wanted.page.keyboard.press("Tab")
        expect(wanted).to_be_focused()


class TestWithoutJavaScript:
    @pytest.fixture
    def context_options(self, context_options: dict[str, Any]) -> dict[str, Any]:
        return {**context_options, "java_script_enabled": False}

    def test_somebody_signs_in_tops_up_and_comes_back_to_a_credited_wallet(
        self, page: Page, site: Site, login: Login
    ) -> None:
        balance = BalancePage(page, site)
        balance.open()
        SignInPage(page, site).sign_in(login)
        expect(balance.topup.typed_amount).to_be_hidden()

        balance.topup.type_amount("1 000,50")
        balance.topup.continue_to_payment()
        expect(amount_asked(page)).to_contain_text("1000.50 RUB")
        PaymentPage(page).pay()

        expect(balance.payment.credited).to_contain_text("RUB 1,000.50 is in your wallet.")
        expect(balance.wallet.figure("Available")).to_have_text("RUB 1,000.50")


class TestUnderAnotherBasePath:
    def test_everything_is_found_there_and_the_provider_is_told_to_come_back_there(
        self,
        signed_in_as: Callable[[Customer], Page],
        shopper: Customer,
        stack: Stack,
        watch: BrowserWatch,
    ) -> None:
        shop = stack.site_at("/a/b")
        page = signed_in_as(shopper)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        balance = BalancePage(page, shop)

        balance.open()
        balance.topup.type_amount("1357.9")
        expect(balance.topup.card).to_have_css("border-top-left-radius", "16px")
        balance.topup.continue_to_payment()
        expect(amount_asked(page)).to_contain_text("1357.90 RUB")

        (payment,) = [item for item in stack.provider.payments() if item["amount"]["value"] == "1357.90"]
        assert payment["confirmation"]["return_url"].startswith(f"{shop.url}/billing/topups/")
        ours = [url for url in asked if not url.startswith(stack.provider.url)]
        assert [url for url in ours if not url.startswith(f"{shop.url}/")] == []
        assert {"app.css", "main.js", "topup.js"} <= {url.rpartition("/")[2] for url in ours}
        assert watch.navigations[0] == shop.href("/billing/balance")
