"""The price page: whoever thinks about using this can find out what it would cost, with or without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from testkit.browser_watch import BrowserWatch
from testkit.pages.pricing import PricingPage
from testkit.stack.site import Site

SIX_SEVENTY_FIVE = "RUB\N{NO-BREAK SPACE}6.75"


@pytest.fixture
def pricing(page: Page, site: Site) -> PricingPage:
    return PricingPage(page, site)


class TestTheEstimator:
    def test_tells_what_a_growing_chat_costs_and_keeps_the_plan_in_the_address(self, pricing: PricingPage) -> None:
        pricing.open()

        pricing.plan_chat("demo-large", question="1 000", answer="500", turns="2")
        expect(pricing.total).to_have_text(SIX_SEVENTY_FIVE)
        pricing.page.reload()

        expect(pricing.total).to_have_text(SIX_SEVENTY_FIVE)
        expect(pricing.chat.get_by_label("Questions and answers")).to_have_value("2")

    def test_needs_no_script(self, browser: Browser, site: Site) -> None:
        context = browser.new_context(locale="en-GB", java_script_enabled=False)
        pricing = PricingPage(context.new_page(), site)
        pricing.open()

        pricing.plan_chat("demo-large", question="1000", answer="500", turns="2")

        expect(pricing.total).to_have_text(SIX_SEVENTY_FIVE)
        context.close()

    def test_keeps_what_was_typed_and_says_what_is_wrong_with_it(
        self, pricing: PricingPage, watch: BrowserWatch
    ) -> None:
        watch.expect_status(400, "/pricing")
        pricing.open()

        pricing.plan_chat("demo-large", question="many", answer="500", turns="2")

        question = pricing.chat.get_by_label("Tokens in each question")
        expect(pricing.error).to_be_visible()
        expect(question).to_have_value("many")
        expect(question).to_have_accessible_description("Enter a whole number from 0 to 1,000,000.")

    def test_marks_the_field_that_is_wrong_and_no_other(self, pricing: PricingPage, watch: BrowserWatch) -> None:
        watch.expect_status(400, "/pricing")
        pricing.open()

        pricing.plan_chat("demo-large", question="many", answer="500", turns="2")

        question, answer = (pricing.chat.get_by_label(f"Tokens in each {text}") for text in ("question", "answer"))
        as_ever = answer.evaluate("field => getComputedStyle(field).borderTopColor")
        expect(question).not_to_have_css("border-top-color", as_ever)
