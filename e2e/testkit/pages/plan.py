"""Where buyers of a plan come back to from the provider's page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


class PlanReturnPage:
    """What came of the payment for a plan."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.paid: Locator = page.get_by_role("heading", name="Your plan is paid")
        self.runs_until: Locator = page.get_by_role("main").get_by_text("It runs until")
        self.waiting: Locator = page.get_by_role("heading", name="Waiting for your payment")
        self.cancelled: Locator = page.get_by_role("heading", name="The payment was cancelled")
        self.check_again: Locator = page.get_by_role("link", name="Check again")
        self.payment_page_link: Locator = page.get_by_role("link", name="Open the payment page")

    def go_to_balance(self) -> None:
        """Follows the link to the wallet."""
        self.page.get_by_role("link", name="Go to your balance").click()
