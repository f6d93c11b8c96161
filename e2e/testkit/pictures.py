"""The pictures that README and docs show, taken from the running product, so that they show what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from testkit.actors.customer import SESSION_COOKIE, Customer
from testkit.browser import LAUNCH_ARGUMENTS, executable_path
from testkit.pages.balance import BalancePage
from testkit.pages.payment import PaymentPage
from testkit.pages.playground import PlaygroundPage
from testkit.pages.pricing import PricingPage
from testkit.pages.sign_in import SignInPage
from testkit.stack.site import Site
from testkit.stack.stack import Stack

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 800}
QUESTION = "Explain double-entry bookkeeping to a ten-year-old."
_PATIENCE_MS = 15_000


@dataclass(frozen=True, slots=True)
class Studio:
    """A browser that looks at one site, and the folder in which what it saw is kept."""

    browser: Browser
    site: Site
    folder: Path
    say: Callable[[str], None]

    @contextmanager
    def page(
        self, *, scheme: Scheme = "light", size: ViewportSize = DESK, customer: Customer | None = None
    ) -> Iterator[Page]:
        """A page of its own, signed in where there is a customer."""
        context = self.browser.new_context(locale="en-GB", viewport=size, color_scheme=scheme)
        context.set_default_timeout(_PATIENCE_MS)
        if customer is not None:
            context.add_cookies([{"name": SESSION_COOKIE, "value": customer.session_cookie(), "url": self.site.url}])
        try:
            yield context.new_page()
        finally:
            context.close()

    def keep(self, page: Page, name: str, *, is_whole: bool = False) -> None:
        """Keeps what the page shows: the window, or the whole page however long it is."""
        path = self.folder / f"{name}.png"
        page.mouse.move(0, 0)  # nothing shall look as if somebody pointed at it
        page.screenshot(path=path, full_page=is_whole, animations="disabled")
        self.say(str(path))


def take_pictures(folder: Path, *, report: Path, say: Callable[[str], None]) -> None:
    """Starts the product, gives two customers a past, and takes every picture; the report's where there is one.

    Raises:
        BrowserNotFoundError: there is no Chromium.
        StackError: the product did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chromium = executable_path()
    with Stack.start() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(LAUNCH_ARGUMENTS))
        studio = Studio(browser, stack.site, folder, say)
        with _next_customer(stack) as regular, _next_customer(stack) as newcomer:
            _live_through(regular, stack)
            _take_balance(studio, regular)
            _take_recovery(studio, newcomer)
        _take_sign_in(studio)
        _take_pricing(studio)
        if report.exists():
            _take_report(studio, report)
        browser.close()


def _next_customer(stack: Stack) -> Customer:
    return Customer(stack.site, stack.take_customer(), stack.provider)


def _live_through(customer: Customer, stack: Stack) -> None:
    """Some weeks of a customer in a moment: two payments, a call for nothing and two with a price in whole coins."""
    customer.top_up("500.00")
    customer.use(stack.model, model="demo-free", input_tokens=3_150, output_tokens=7_420)
    customer.use(stack.model, model="demo-large", input_tokens=8_000, output_tokens=11_500)
    customer.top_up("1000.00")
    customer.use(stack.model, model="demo-small", input_tokens=12_500, output_tokens=3_000)


def _take_balance(studio: Studio, customer: Customer) -> None:
    for scheme in SCHEMES:
        with studio.page(scheme=scheme, customer=customer) as page:
            BalancePage(page, studio.site).open()
            studio.keep(page, f"balance-{scheme}")
        with studio.page(scheme=scheme, size=PHONE, customer=customer) as page:
            BalancePage(page, studio.site).open()
            studio.keep(page, f"balance-360-{scheme}", is_whole=True)


def _take_recovery(studio: Studio, customer: Customer) -> None:
    """A call that is blocked for want of money, and the wallet after the top-up that it led to."""
    with studio.page(customer=customer) as page:
        playground = PlaygroundPage(page, studio.site)
        playground.open()
        playground.ask("demo-large", QUESTION)
        playground.blocked.wait_for()
        studio.keep(page, "playground-blocked-light")
        playground.top_up_and_come_back()
        balance = BalancePage(page, studio.site)
        balance.topup.continue_to_payment()
        PaymentPage(page).pay()
        balance.payment.credited.wait_for()
        studio.keep(page, "topup-credited-light", is_whole=True)


def _take_sign_in(studio: Studio) -> None:
    with studio.page() as page:
        SignInPage(page, studio.site).open()
        studio.keep(page, "sign-in-light")


def _take_pricing(studio: Studio) -> None:
    for scheme in SCHEMES:
        for size, suffix in ((DESK, scheme), (PHONE, f"360-{scheme}")):
            with studio.page(scheme=scheme, size=size) as page:
                PricingPage(page, studio.site).open()
                studio.keep(page, f"pricing-{suffix}", is_whole=True)


def _take_report(studio: Studio, report: Path) -> None:
    for scheme in SCHEMES:
        with studio.page(scheme=scheme) as page:
            page.goto(report.resolve().as_uri())
            studio.keep(page, f"report-{scheme}")
