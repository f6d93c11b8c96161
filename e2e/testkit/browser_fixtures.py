"""Fixtures for suites that drive a browser against the real product.

A suite's conftest brings them in:

    from testkit.browser_fixtures import *  # noqa: F403 - pytest finds fixtures and hooks as names of this module

- `stack` (one per worker) is the product: server, worker, PostgreSQL, simulators. `stack.provider` (`stack.stripe`
  where Stripe collects) and `stack.model` are the simulators' remote controls (faults, payments, notifications),
  without faults before each test. A folder with other needs overrides `stack_of_worker` with a `verified_stack`.
- `login` is a customer nobody has used: an empty wallet, untouched free limits. `stack.take_customer()` gives another;
  the first 24 are there, and more are seeded when they are taken, which takes some seconds.
- `customer` acts as that login over HTTP to prepare state: `customer.top_up("500.00")`, `customer.call("demo-small")`,
  `customer.spend_free_limits(stack.model)`, `customer.use(stack.model, output_tokens=1_000_000)`, `customer.wallet()`,
  `customer.start_topup("500.00")`.
- `page` is a fresh page in a fresh context; `signed_in_page` has the customer's session already.
- `site` is the server at `/`: `BalancePage(signed_in_page, site).open()`. Other base paths: `stack.site_at("/chat")`.
- `watch` listens: an error in the console, an uncaught exception, a failed request, or an answer from 400 on fails the
  test in teardown. What belongs to the story is said before: `watch.expect_status(402, "/billing/playground")`.
  `watch.navigations` is the way that the main frame took, redirects included.
- `picture("name")` keeps a screenshot for people; a failed test keeps its trace and last look by itself.
- `context_options` can be overridden or parametrised: viewport, locale, colour scheme.

To shape one response at the network (only in frontend_tests/), use Playwright's own
`page.route("**/billing/balance/cards/balance", lambda route: route.fulfill(status=500, body=""))` and say
`watch.expect_status(500, "/cards/balance")`. To make the product itself answer differently use `stack.model.plan(…)`,
`stack.provider.plan(…)`, `stack.set_free_terms(…)` (for the whole stack, from the next call on: put it back).
What needs other settings, or moves the clock, which never goes back, starts a stack of its own:
`with Stack.start(customers=1, settings={"BILLING_TOPUP_PRESETS": ""}) as other: …`.

After a worker's last test `billing ledger verify` reads all that its tests have moved: a drift fails that test, which
otherwise carries the property `ledger_verified`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from testkit.actors.customer import SESSION_COOKIE, Customer
from testkit.browser import LAUNCH_ARGUMENTS, executable_path
from testkit.browser_evidence import BrowserEvidence
from testkit.browser_watch import BrowserWatch
from testkit.simulators.notifications import DeliveryMode
from testkit.stack.errors import StackError
from testkit.stack.site import Site
from testkit.stack.stack import Login, Stack

__all__ = [
    "browser",
    "context",
    "context_options",
    "customer",
    "evidence",
    "login",
    "page",
    "picture",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
    "signed_in_page",
    "site",
    "stack",
    "stack_of_worker",
    "watch",
]

_PATIENCE_MS = 15_000
_STACKS = pytest.StashKey[list[Stack]]()
_HAS_FAILED = pytest.StashKey[bool]()

expect.set_options(timeout=_PATIENCE_MS)


@contextmanager
def verified_stack(config: pytest.Config, **how: Any) -> Iterator[Stack]:
    """A product, started like this, for all tests of this worker; its books are verified after the last of them."""
    with Stack.start(**how) as stack:
        config.stash.setdefault(_STACKS, []).append(stack)
        yield stack
        stack.require_alive()


@pytest.fixture(scope="session")
def stack_of_worker(pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The product for all tests of this worker, with whatever earlier tests left in it."""
    with verified_stack(pytestconfig) as stack:
        yield stack


@pytest.fixture
def stack(stack_of_worker: Stack) -> Stack:
    """The running product; its outside parties do nothing unusual until the test asks them to."""
    stack_of_worker.require_alive()
    stack_of_worker.model.clear_faults()
    stack_of_worker.payments.clear_faults()
    stack_of_worker.payments.notify(DeliveryMode.DELIVER)
    return stack_of_worker


@pytest.fixture
def site(stack: Stack) -> Site:
    """The server at `/`."""
    return stack.site


@pytest.fixture
def login(stack: Stack) -> Login:
    """A customer nobody has used yet."""
    return stack.take_customer()


@pytest.fixture
def customer(stack: Stack, login: Login) -> Iterator[Customer]:
    """The same customer, acting over HTTP."""
    with Customer(stack.site, login, stack.payments) as customer:
        yield customer


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium per worker."""
    path = executable_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(LAUNCH_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def context_options() -> dict[str, Any]:
    """How this test's browser is set up: English, a laptop's window, light."""
    return {"locale": "en-GB", "viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> BrowserEvidence:
    """Where this test's pictures and traces go."""
    return BrowserEvidence(request.node)


@pytest.fixture
def context(
    browser: Browser, context_options: dict[str, Any], evidence: BrowserEvidence, request: pytest.FixtureRequest
) -> Iterator[BrowserContext]:
    """A browser without cookies; its trace is kept when the test fails."""
    context = browser.new_context(**context_options)
    context.set_default_timeout(_PATIENCE_MS)
    context.tracing.start(screenshots=True, snapshots=True)
    yield context
    if request.node.stash.get(_HAS_FAILED, False):
        evidence.of_failure(context)
    context.close()


@pytest.fixture
def watch(context: BrowserContext, evidence: BrowserEvidence) -> Iterator[BrowserWatch]:
    """Listens to every page of the test, and fails it over what a strict customer would complain about."""
    watch = BrowserWatch(context)
    yield watch
    if watch.complaints:
        evidence.of_failure(context)
        pytest.fail("The browser complains:\n" + "\n".join(watch.complaints), pytrace=False)


@pytest.fixture
def page(context: BrowserContext, watch: BrowserWatch) -> Page:
    """A fresh page that is being listened to."""
    del watch
    return context.new_page()


@pytest.fixture
def signed_in_page(page: Page, context: BrowserContext, site: Site, customer: Customer) -> Page:
    """A fresh page in which the customer is signed in at `site`."""
    context.add_cookies([{"name": SESSION_COOKIE, "value": customer.session_cookie(), "url": site.url}])
    return page


@pytest.fixture
def picture(page: Page, evidence: BrowserEvidence) -> Callable[[str], Path]:
    """Keeps a screenshot of the page under a label."""
    return lambda label: evidence.picture(page, label)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers for the fixtures whether the test has failed."""
    report = yield
    if report.failed:
        item.stash[_HAS_FAILED] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Verifies the books after the worker's last test, while the stack still stands, and records that they agreed."""
    problem = _problem_in_books(item) if nextitem is None else None
    yield
    if problem is not None:
        pytest.fail(problem, pytrace=False)


def _problem_in_books(item: pytest.Item) -> str | None:
    stacks = item.config.stash.get(_STACKS, [])
    if not stacks:
        return None
    try:
        books = [stack.verify_books() for stack in stacks]
    except StackError as error:
        return f"The books could not be verified: {error}"
    item.user_properties.append(("ledger_verified", all(each.are_right for each in books)))
    drifts = [each.report for each in books if not each.are_right]
    return "The books do not agree:\n" + "\n".join(drifts) if drifts else None
