"""The payment provider's page, as its simulator shows it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


class PaymentPage:
    """Where the customer pays, is refused, or thinks better of it; each leads back to the shop."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heading: Locator = page.get_by_role("heading", name="Payment to shop")
        self.pay_button: Locator = page.get_by_role("button", name="Pay", exact=True)
        self.decline_button: Locator = page.get_by_role("button", name="Decline")
        self.abandon_button: Locator = page.get_by_role("button", name="Abandon")
        self.is_over: Locator = page.get_by_role("status")

    def pay(self) -> None:
        """The card is good."""
        self.pay_button.click()

    def decline(self) -> None:
        """The bank says no."""
        self.decline_button.click()

    def abandon(self) -> None:
        """The customer goes back without paying."""
        self.abandon_button.click()
