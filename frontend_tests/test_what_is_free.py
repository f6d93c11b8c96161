"""What the balance page advises when money runs low: free use exactly where a free call is possible, else a top-up."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from frontend_tests.expectations import expect_advice
from frontend_tests.preparations import FreeTerms
from testkit.actors.customer import Customer
from testkit.pages.balance import BalancePage
from testkit.stack.stack import Stack


class TestALowBalanceWhileSomethingIsFree:
    @pytest.mark.usefixtures("generous_terms")
    def test_an_empty_wallet_is_pointed_to_the_free_limits(self, newcomers_balance: BalancePage) -> None:
        balance = newcomers_balance
        balance.open()

        expect(balance.notice.used_up).to_be_visible()
        expect_advice(balance, is_free=True)
        balance.notice.free_limits_link.click()

        expect(balance.free_limits.card).to_be_in_viewport()
        expect(balance.free_limits.card).to_contain_text("20,000 of 20,000 left")

    @pytest.mark.usefixtures("generous_terms")
    def test_so_is_a_wallet_below_the_threshold_and_the_header_agrees(
        self, balance: BalancePage, customer: Customer
    ) -> None:
        customer.top_up("100.00")
        customer.call("demo-small")

        balance.open()

        expect(balance.notice.low).to_be_visible()
        expect_advice(balance, is_free=True)
        expect(balance.frame.balance_chip).to_have_accessible_name(re.compile(r"Available balance, low: RUB\W99\.9"))


class TestALowBalanceWithNothingFree:
    @pytest.mark.usefixtures("generous_terms")
    def test_once_the_free_limits_are_used_up_topping_up_is_advised(
        self, balance: BalancePage, customer: Customer, stack: Stack
    ) -> None:
        customer.spend_free_limits(stack.model)

        balance.open()

        expect(balance.notice.used_up).to_be_visible()
        expect_advice(balance, is_free=False)
        expect(balance.free_limits.card.get_by_text("used up")).to_have_count(2)
        balance.notice.topup_link.click()
        expect(balance.topup.card).to_be_in_viewport()

    def test_where_free_use_is_switched_off_topping_up_is_advised(
        self, newcomers_balance: BalancePage, free_terms: FreeTerms
    ) -> None:
        free_terms.be_off()

        newcomers_balance.open()

        expect_advice(newcomers_balance, is_free=False)
        expect(newcomers_balance.free_limits.card).to_contain_text("No free usage at the moment")

    def test_where_no_free_model_exists_topping_up_is_advised_although_limits_are_untouched(
        self, newcomers_balance: BalancePage, free_terms: FreeTerms
    ) -> None:
        free_terms.name_a_model_that_is_not_served()

        newcomers_balance.open()

        expect_advice(newcomers_balance, is_free=False)
        expect(newcomers_balance.free_limits.card).to_contain_text("20,000 of 20,000 left")
        expect(newcomers_balance.free_limits.card).to_contain_text("No model takes free usage right now")
