"""The playground: an answer with its price, a blocked call with its way out, and questions that cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer
from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.playground import PlaygroundPage
from testkit.simulators.faults import Fault, FaultKind
from testkit.stack.site import Site
from testkit.stack.stack import Stack


@pytest.fixture
def playground(signed_in_page: Page, site: Site) -> PlaygroundPage:
    return PlaygroundPage(signed_in_page, site)


class TestAnAnswer:
    def test_appears_in_place_with_its_cost_and_the_balance_follows(
        self, playground: PlaygroundPage, customer: Customer, watch: BrowserWatch
    ) -> None:
        customer.top_up("500.00")
        playground.open()
        watch.forget_navigations()

        playground.ask("demo-large", "Hello")

        expect(playground.cost).to_contain_text("RUB")
        left = customer.wallet().available
        assert Decimal(499) < left < Decimal(500)
        expect(playground.available).to_have_text(f"RUB {left}")
        expect(playground.frame.balance_chip).to_have_accessible_name(f"Available balance: RUB {left}")
        expect(playground.prompt).to_have_value("Hello")
        assert watch.navigations == []

    @pytest.mark.usefixtures("generous_terms")
    def test_of_a_free_model_costs_nothing(self, playground: PlaygroundPage) -> None:
        playground.open()

        playground.ask("demo-free", "Hello")

        expect(playground.cost).to_have_text("Free")
        expect(playground.available).to_have_text("RUB 0.00")


class TestABlockedCall:
    def test_says_what_is_missing_and_the_balance_page_says_the_same(
        self, signed_in_as: Callable[[Customer], Page], newcomer: Customer, site: Site, watch: BrowserWatch
    ) -> None:
        watch.expect_status(402, "/billing/playground")
        page = signed_in_as(newcomer)
        playground, balance = PlaygroundPage(page, site), BalancePage(page, site)
        playground.open()

        playground.ask("demo-large", "Hello")
        expect(playground.blocked).to_contain_text("Nothing was sent and nothing was charged.")
        sentence = playground.blocked.get_by_text("is missing").inner_text()
        missing = sentence.partition("; ")[2].partition(" is missing")[0]
        playground.top_up_and_come_back()

        expect(balance.notice.not_covered).to_contain_text(f"{missing} was missing")


class TestAQuestionThatGetsNoAnswer:
    def test_because_the_model_fails_costs_nothing_and_can_be_sent_again(
        self, playground: PlaygroundPage, customer: Customer, stack: Stack, watch: BrowserWatch
    ) -> None:
        watch.expect_status(502, "/billing/playground")
        customer.top_up("500.00")
        stack.model.plan(Fault(kind=FaultKind.SERVER_ERROR, operation="create_chat_completion"))
        playground.open()

        playground.ask("demo-large", "Hello")
        expect(playground.no_answer).to_contain_text("Nothing was charged.")
        expect(playground.frame.balance_chip).to_have_accessible_name("Available balance: RUB 500.00")
        playground.send()

        expect(playground.answer).to_be_visible()

    def test_because_it_is_empty_is_not_sent(self, playground: PlaygroundPage, stack: Stack) -> None:
        stack.model.forget_calls()
        playground.open()

        playground.ask("demo-large", "")

        expect(playground.prompt).to_be_focused()
        assert stack.model.calls() == []
