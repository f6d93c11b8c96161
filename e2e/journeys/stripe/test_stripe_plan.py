"""I buy a plan: what it promises I get, until I give it up."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer
from testkit.pages.balance import BalancePage
from testkit.pages.checkout import CheckoutPage
from testkit.pages.plan import PlanReturnPage
from testkit.stack.site import Site
from testkit.stack.stack import OPERATOR, Stack

PRICE_LEFT = Decimal("0.9")
MODEL = "demo-large"


@pytest.fixture(scope="session")
def plan(stack_of_worker: Stack) -> str:
    """The code of a plan on offer: RUB 300 a month, RUB 100 of credit, a tenth off each call."""
    words = ["--name", "Plus", "--price", "300", "--included-credit", "100", "--discount-percent", "10"]
    stack_of_worker.run_command("plans", "create", "plus", *words, "--operator", OPERATOR, "--reason", "spring offer")
    return "plus"


class TestIBuyAPlanOnStripesPage:
    def test_it_makes_my_calls_cheaper_and_i_can_cancel_and_resume_it(
        self, signed_in_page: Page, site: Site, customer: Customer, plan: str, picture: Callable[[str], Path]
    ) -> None:
        full_price = customer.quote(MODEL)
        checkout, bought = CheckoutPage(signed_in_page), PlanReturnPage(signed_in_page)
        purchase = customer.buy_plan(plan, renews=True)

        signed_in_page.goto(purchase["confirmation_url"])
        checkout.abandon()
        expect(bought.waiting).to_be_visible()
        picture("waiting")
        assert customer.quote(MODEL) == full_price
        bought.payment_page_link.click()
        checkout.pay()
        expect(bought.paid).to_be_visible()
        expect(bought.runs_until).to_be_visible()
        picture("paid")

        assert customer.quote(MODEL) == full_price * PRICE_LEFT
        bought.go_to_balance()
        balance = BalancePage(signed_in_page, site)
        expect(balance.wallet.figure("Granted")).to_have_text("RUB 100.00")
        expect(balance.activity.lines.first).to_contain_text("Granted credit")
        assert customer.subscription()["will_renew"]
        assert not customer.cancel_plan("period_end")["will_renew"]
        assert customer.quote(MODEL) == full_price * PRICE_LEFT
        assert customer.resume_plan()["will_renew"]
        assert customer.cancel_plan("now")["running"] is None
        assert customer.quote(MODEL) == full_price
