"""The playground: one prompt at a time, with its price."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from testkit.pages.frame import Frame
from testkit.stack.site import Site


class PlaygroundPage:
    """Asks models, and is told when the wallet does not cover it."""

    PATH = "/billing/playground"

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self._site = site
        self.frame = Frame(page)
        self.heading: Locator = page.get_by_role("heading", name="Playground", level=1)
        self.model: Locator = page.get_by_label("Model")
        self.prompt: Locator = page.get_by_label("Prompt")
        self.send_button: Locator = page.get_by_role("button", name="Send")
        self.answer: Locator = page.get_by_role("region", name="Answer")
        self.cost: Locator = self.answer.get_by_label("Cost")
        self.available: Locator = self.answer.get_by_label("Available now")
        self.blocked: Locator = page.get_by_role("alert", name="Your balance does not cover this call")
        self.no_answer: Locator = page.get_by_role("alert", name="There is no answer")

    def open(self, query: str = "") -> None:
        """Goes there; `query` begins with a question mark."""
        self.page.goto(self._site.href(f"{self.PATH}{query}"))

    def ask(self, model: str, prompt: str) -> None:
        """Chooses a model, writes the prompt and sends it."""
        self.model.select_option(model)
        self.prompt.fill(prompt)
        self.send()

    def send(self) -> None:
        """Sends what stands there."""
        self.send_button.click()

    def top_up_and_come_back(self) -> None:
        """Follows the blocked call's way out."""
        self.blocked.get_by_role("link", name="Top up and come back").click()
