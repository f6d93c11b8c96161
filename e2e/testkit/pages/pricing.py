"""The public price page with its estimator."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from testkit.stack.site import Site


class PricingPage:
    """What anybody can read about prices, and ask about a plan."""

    PATH = "/pricing"

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self._site = site
        self.chat: Locator = page.get_by_role("group", name="A chat")
        self.total: Locator = page.get_by_role("status", name="All of it together")
        self.error: Locator = page.get_by_role("alert")

    def open(self) -> None:
        """Goes there."""
        self.page.goto(self._site.href(self.PATH))

    def plan_chat(self, model: str, *, question: str, answer: str, turns: str) -> None:
        """Fills in a chat and asks what it would cost."""
        self.chat.get_by_label("Model").select_option(model)
        self.chat.get_by_label("Tokens in each question").fill(question)
        self.chat.get_by_label("Tokens in each answer").fill(answer)
        self.chat.get_by_label("Questions and answers").fill(turns)
        self.page.get_by_role("button", name="Estimate").click()
