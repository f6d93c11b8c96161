"""The balance page: the wallet, the notice, the top-up form, free limits and the latest activity."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from testkit.pages.frame import Frame
from testkit.stack.site import Site


class BalancePage:
    """A card is a region with its heading as its name; each can be looked at by itself."""

    PATH = "/billing/balance"

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self._site = site
        self.frame = Frame(page)
        self.heading: Locator = page.get_by_role("heading", name="Balance", level=1)
        self.wallet = Wallet(page.get_by_role("region", name="Your wallet"))
        self.topup = TopupForm(page.get_by_role("region", name="Top up", exact=True))
        self.free_limits = FreeLimits(page.get_by_role("region", name="Free limits"))
        self.activity = Activity(page.get_by_role("region", name="Latest activity"))
        self.notice = LowBalanceNotice(page)
        self.payment = PaymentNews(page)

    def open(self, query: str = "") -> None:
        """Goes there; `query` begins with a question mark."""
        self.page.goto(self._site.href(f"{self.PATH}{query}"))


class Wallet:
    """The figures; each is the text of a definition named by its term."""

    def __init__(self, card: Locator) -> None:
        self.card = card
        self.failure: Locator = card.get_by_role("alert")
        self.retry: Locator = card.get_by_role("link", name="Try again")

    def figure(self, name: str) -> Locator:
        """The amount called "Available", "Paid", "Granted", "Held" or "Debt"."""
        return self.card.get_by_label(name, exact=True)


class TopupForm:
    """Choosing an amount and setting out to pay it."""

    def __init__(self, card: Locator) -> None:
        self.card = card
        self.amounts: Locator = card.get_by_role("group", name="Amount").get_by_role("radio")
        self.other_amount: Locator = card.get_by_role("radio", name="Other amount")
        self.typed_amount: Locator = card.get_by_role("textbox")
        self.recommended: Locator = card.get_by_role("radio", description="Recommended")
        self.error: Locator = card.get_by_role("alert")
        self.submit: Locator = card.get_by_role("button")
        """Says "Continue to payment", and while it is on its way "Opening the payment page…"."""

    def preset(self, amount: str) -> Locator:
        """The preset with this text, such as "RUB 500.00"."""
        return self.card.get_by_role("radio", name=amount)

    def choose(self, amount: str) -> None:
        """Chooses a preset by its text."""
        self.preset(amount).check()

    def type_amount(self, text: str) -> None:
        """Chooses another amount and types it."""
        self.other_amount.check()
        self.typed_amount.fill(text)

    def continue_to_payment(self) -> None:
        """Sends the form."""
        self.card.get_by_role("button", name="Continue to payment").click()


class FreeLimits:
    """What can still be used for nothing."""

    def __init__(self, card: Locator) -> None:
        self.card = card
        self.failure: Locator = card.get_by_role("alert")
        self.retry: Locator = card.get_by_role("link", name="Try again")

    def meter(self, name: str) -> Locator:
        """The progress bar called "Input tokens" or "Output tokens"."""
        return self.card.get_by_role("progressbar", name=name)


class Activity:
    """What happened lately, newest first."""

    def __init__(self, card: Locator) -> None:
        self.card = card
        self.lines: Locator = card.get_by_role("listitem")
        self.failure: Locator = card.get_by_role("alert")
        self.retry: Locator = card.get_by_role("link", name="Try again")


class LowBalanceNotice:
    """Why the customer should do something, and what."""

    def __init__(self, page: Page) -> None:
        self.low: Locator = page.get_by_role("region", name="Your balance is low")
        self.used_up: Locator = page.get_by_role("region", name="Your balance is used up")
        self.not_covered: Locator = page.get_by_role("region", name="Your balance did not cover the last call")
        self.any: Locator = self.low.or_(self.used_up).or_(self.not_covered)
        self.free_limits_link: Locator = self.any.get_by_role("link", name="See your free limits")
        self.topup_link: Locator = self.any.get_by_role("link", name="Choose an amount")


class PaymentNews:
    """What came of the payment that the customer comes back from."""

    def __init__(self, page: Page) -> None:
        self.credited: Locator = page.get_by_role("region", name="Top-up credited")
        self.waiting: Locator = page.get_by_role("region", name="Waiting for your payment")
        self.processing: Locator = page.get_by_role("region", name="Your payment is being processed")
        self.cancelled: Locator = page.get_by_role("region", name="The payment was cancelled")
        self.failed: Locator = page.get_by_role("region", name="The payment did not go through")
        self.under_review: Locator = page.get_by_role("region", name="We are looking at this payment")
        self.unknown: Locator = page.get_by_role("region", name="We cannot check your payment right now")
        self.back_link: Locator = self.credited.get_by_role("link", name="Back to where you were")
        self.payment_page_link: Locator = page.get_by_role("link", name="Open the payment page")
        self.try_again: Locator = self.cancelled.or_(self.failed).get_by_role("link", name="Try again")

    def go_back(self) -> None:
        """Follows the link to where the customer was blocked."""
        self.back_link.click()
