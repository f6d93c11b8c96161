"""What page tests look for in more than one place."""

from __future__ import annotations

from playwright.sync_api import expect

from testkit.pages.balance import BalancePage


def expect_advice(balance: BalancePage, *, is_free: bool) -> None:
    """Exactly one of the two hints is there."""
    expect(balance.notice.free_limits_link).to_have_count(1 if is_free else 0)
    expect(balance.notice.topup_link).to_have_count(0 if is_free else 1)
