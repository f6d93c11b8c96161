"""Stripe's Checkout page, as its simulator shows it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


class CheckoutPage:
    """Where the customer pays or goes back; a card that is refused is no end, another one can be tried."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pay_button: Locator = page.get_by_role("button", name="Pay", exact=True)
        self.card_declined: Locator = page.get_by_role("alert").filter(has_text="Your card was declined.")
        self.bank_asks: Locator = page.get_by_role("heading", name="Your bank wants to be sure that it is you")
        self.is_over: Locator = page.get_by_role("status")

    def pay(self) -> None:
        """The card is good."""
        self.pay_button.click()

    def decline(self) -> None:
        """The bank says no."""
        self._press("Decline")

    def abandon(self) -> None:
        """The customer goes back without paying."""
        self._press("Abandon")

    def pay_with_proof(self) -> None:
        """The bank asks first who is paying; what the customer answers there is another step."""
        self._press("Pay with 3-D Secure")

    def prove(self) -> None:
        """The answer to the bank is right."""
        self._press("Confirm")

    def fail_to_prove(self) -> None:
        """The answer to the bank is wrong."""
        self._press("Refuse")

    def _press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
