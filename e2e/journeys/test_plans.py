"""Plans where they are not sold."""

from __future__ import annotations

import pytest

from testkit.actors.customer import Customer


class TestThisShopSellsNoPlans:
    @pytest.mark.slow  # quick by itself, but every push waits for enough of them
    def test_nobody_is_shown_any(self, customer: Customer) -> None:
        answer = customer.plans()

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "billing_disabled")
