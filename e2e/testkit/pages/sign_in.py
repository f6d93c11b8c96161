"""The sign-in page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from testkit.stack.site import Site
from testkit.stack.stack import Login


class SignInPage:
    """Where somebody who is not known yet says who they are."""

    PATH = "/sign-in"

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self._site = site
        self.email: Locator = page.get_by_label("E-mail")
        self.password: Locator = page.get_by_label("Password")
        self.error: Locator = page.get_by_role("alert")

    def open(self) -> None:
        """Goes there."""
        self.page.goto(self._site.href(self.PATH))

    def sign_in(self, login: Login) -> None:
        """Fills in the form and sends it."""
        self.email.fill(login.email)
        self.password.fill(login.password)
        self.page.get_by_role("button", name="Sign in").click()
