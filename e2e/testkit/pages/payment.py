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
        self.prove_button: Locator = page.get_by_role("button", name="Pay with 3-D Secure")
        self.bank_asks: Locator = page.get_by_role("heading", name="Your bank asks")
        self.confirm_button: Locator = page.get_by_role("button", name="Confirm")
        self.wrong_code_button: Locator = page.get_by_role("button", name="Enter a wrong code")

    def pay(self) -> None:
        """The card is good."""
        self.pay_button.click()

    def decline(self) -> None:
        """The bank says no."""
        self.decline_button.click()

    def abandon(self) -> None:
        """The customer goes back without paying."""
        self.abandon_button.click()

    def pay_with_proof(self) -> None:
        """The bank asks first who is paying; what the customer answers there is another step."""
        self.prove_button.click()

    def prove(self) -> None:
        """The answer to the bank is right."""
        self.confirm_button.click()

    def fail_to_prove(self) -> None:
        """The answer to the bank is wrong."""
        self.wrong_code_button.click()
