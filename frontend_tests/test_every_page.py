"""What holds for every page in every state: anybody can use it, it fits, and it talks to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response

from frontend_tests.preparations import FreeTerms, Past, PlanPayments, clear_faults
from testkit.actors.customer import SESSION_COOKIE, Customer
from testkit.browser_evidence import BrowserEvidence
from testkit.browser_watch import BrowserWatch
from testkit.pages.playground import PlaygroundPage
from testkit.stack.site import Site
from testkit.stack.stack import Stack

DESK, TABLET, PHONE = 1280, 768, 360
SCRIPT_BYTES_MAX = 40_000
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"


class Who(Enum):
    """Who looks at a page."""

    NOBODY = auto()
    NEWCOMER = auto()
    REGULAR = auto()
    BUYER = auto()


@dataclass(frozen=True, slots=True)
class State:
    """A page in one state; `path` may name a payment of the one who looks, `prompt` is sent on the page."""

    who: Who
    path: str
    prompt: str | None = None


STATES = {
    "sign-in": State(Who.NOBODY, "/sign-in"),
    "prices": State(Who.NOBODY, "/pricing"),
    "estimate-refused": State(Who.NOBODY, "/pricing?turns=0&images=12abc"),
    "balance-empty": State(Who.NEWCOMER, "/billing/balance"),
    "amount-refused": State(
        Who.REGULAR, "/billing/balance?missing=612.5&error=amount_unreadable&choice=custom&custom_amount=12abc"
    ),
    "credited": State(Who.REGULAR, "/billing/balance?topup={past.credited}"),
    "waiting": State(Who.REGULAR, "/billing/balance?topup={past.waiting}"),
    "cancelled": State(Who.REGULAR, "/billing/balance?topup={past.cancelled}"),
    "failed": State(Who.REGULAR, "/billing/balance?topup={past.failed}"),
    "plan-paid": State(Who.BUYER, "/billing/plan/{past.paid}/return"),
    "plan-waiting": State(Who.BUYER, "/billing/plan/{past.waiting}/return"),
    "plan-cancelled": State(Who.BUYER, "/billing/plan/{past.cancelled}/return"),
    "playground": State(Who.REGULAR, "/billing/playground"),
    "call-blocked": State(Who.NEWCOMER, "/billing/playground", prompt="What does a wallet weigh?"),
    "not-found": State(Who.NEWCOMER, "/billing/topups/pay_unknown/return"),
}


@dataclass
class Shown:
    """A page that is open in one state, and everything that came over the network until then."""

    page: Page
    site: Site
    watch: BrowserWatch
    answers: list[Response] = field(default_factory=list)

    def open(self, state: State, past: Past | PlanPayments) -> None:
        """Goes there, and sends the prompt where the state has one."""
        self.page.on("response", self._remember)
        self.watch.expect_status(402, "/billing/playground")
        self.watch.expect_status(404, "/billing/topups/pay_unknown/return")
        self.watch.expect_status(400, "/pricing")
        self.page.goto(self.site.href(state.path.format(past=past)))
        if state.prompt is not None:
            playground = PlaygroundPage(self.page, self.site)
            playground.ask("demo-large", state.prompt)
            playground.blocked.wait_for()

    def _remember(self, answer: Response) -> None:
        self.answers.append(answer)

    def barriers(self, scheme: Literal["light", "dark"], options: dict[str, Any]) -> list[str]:
        """What axe finds wrong, one line for each place."""
        self.page.set_viewport_size({"width": DESK, "height": 800})
        self.page.emulate_media(color_scheme=scheme)
        found = Axe().run(self.page, options={"resultTypes": ["violations"], **options}).response["violations"]
        return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


@pytest.fixture(scope="class", params=STATES)
def shown(
    request: pytest.FixtureRequest,
    browser: Browser,
    stack_of_worker: Stack,
    free_terms: FreeTerms,
    newcomer: Customer,
    past: Past,
    plan_payments: PlanPayments,
) -> Iterator[Shown]:
    """Every page in every state, one after the other; opened once for all that is to be seen there."""
    state, site = STATES[request.param], stack_of_worker.site
    free_terms.be_generous()
    clear_faults(stack_of_worker)
    context = browser.new_context(locale="en-GB", viewport={"width": DESK, "height": 800})
    customers = {Who.NEWCOMER: newcomer, Who.REGULAR: past.customer, Who.BUYER: plan_payments.customer}
    if state.who is not Who.NOBODY:
        cookie = customers[state.who].session_cookie()
        context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, "url": site.url}])
    watch = BrowserWatch(context)
    shown = Shown(context.new_page(), site, watch)
    shown.open(state, plan_payments if state.who is Who.BUYER else past)
    yield shown
    context.close()


class TestEveryPage:
    def test_has_no_barrier_in_light(self, shown: Shown) -> None:
        assert shown.barriers("light", options={}) == []

    def test_has_no_barrier_in_dark(self, shown: Shown) -> None:
        # The document is the same; only colours differ.
        assert shown.barriers("dark", options={"runOnly": ["cat.color"]}) == []

    def test_never_scrolls_sideways(self, shown: Shown, evidence: BrowserEvidence) -> None:
        too_wide = {}
        for width in (PHONE, TABLET, DESK):
            shown.page.set_viewport_size({"width": width, "height": 800})
            too_wide[width] = shown.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        evidence.picture(shown.page, "desk")

        assert {width: by for width, by in too_wide.items() if by > 0} == {}

    def test_comes_wholly_from_its_own_origin(self, shown: Shown) -> None:
        elsewhere = [answer.url for answer in shown.answers if not answer.url.startswith(f"{shown.site.url}/")]

        assert shown.answers
        assert elsewhere == []

    def test_allows_no_script_or_style_but_our_files(self, shown: Shown) -> None:
        (document,) = [answer for answer in shown.answers if answer.request.is_navigation_request()]

        assert document.headers["content-security-policy"].startswith(POLICY)

    def test_has_little_script(self, shown: Shown) -> None:
        scripts = [answer for answer in shown.answers if answer.request.resource_type == "script"]

        assert {script.url.rpartition("/")[2] for script in scripts} >= {"main.js", "topup.js"}
        assert sum(len(script.body()) for script in scripts) < SCRIPT_BYTES_MAX

    def test_leaves_the_console_silent(self, shown: Shown) -> None:
        assert shown.watch.complaints == []
