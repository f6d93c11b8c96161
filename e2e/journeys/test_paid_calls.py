"""I pay for what I get, for nothing else, and for every time that I get it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer
from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.playground import PlaygroundPage
from testkit.simulators.faults import Fault, FaultKind
from testkit.stack.site import Site
from testkit.stack.stack import Stack


class TestTheModelGivesNoAnswer:
    @pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.RESET, FaultKind.MALFORMED_JSON])
    def test_my_money_is_not_charged_and_not_held(
        self,
        signed_in_page: Page,
        site: Site,
        customer: Customer,
        stack: Stack,
        watch: BrowserWatch,
        picture: Callable[[str], Path],
        kind: FaultKind,
    ) -> None:
        customer.top_up("500.00")
        stack.model.plan(Fault(kind=kind, operation="create_chat_completion"))
        watch.expect_status(502, "/billing/playground")
        playground, balance = PlaygroundPage(signed_in_page, site), BalancePage(signed_in_page, site)

        playground.open()
        playground.ask("demo-large", "Hello")
        expect(playground.no_answer).to_contain_text("Nothing was charged.")
        picture("no answer")
        playground.frame.go_to_balance()

        expect(balance.wallet.figure("Available")).to_have_text("RUB 500.00")
        expect(balance.wallet.figure("Held")).to_have_text("RUB 0.00")


class TestMyProgramSendsTheSameRequestIdTwice:
    def test_each_answer_is_charged(self, signed_in_page: Page, site: Site, customer: Customer) -> None:
        customer.top_up("500.00")
        mine = {"X-Request-Id": "always-the-same"}

        first = customer.call("demo-large", "Hello", headers=mine)
        second = customer.call("demo-large", "Hello", headers=mine)

        assert (first.status, second.status) == (200, 200)
        assert first.operation_id != second.operation_id
        assert first.charged
        assert second.charged
        assert second.available == Decimal(500) - first.charged - second.charged
        balance = BalancePage(signed_in_page, site)
        balance.open()
        expect(balance.activity.lines).to_have_count(3)
