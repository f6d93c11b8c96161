"""What surrounds every page of somebody who is signed in."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


class Frame:
    """Header and navigation."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.navigation: Locator = page.get_by_role("navigation", name="Main")
        self.balance_chip: Locator = page.get_by_role("banner").get_by_role("link", name="Available balance")
        """A link that says "Available balance: RUB 0.00", or "Available balance, low: …"."""

    def go_to_balance(self) -> None:
        """Follows the navigation to the balance."""
        self.navigation.get_by_role("link", name="Balance", exact=True).click()

    def go_to_playground(self) -> None:
        """Follows the navigation to the playground."""
        self.navigation.get_by_role("link", name="Playground", exact=True).click()

    def sign_out(self) -> None:
        """Ends the session."""
        self.page.get_by_role("button", name="Sign out").click()
