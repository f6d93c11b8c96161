"""Each page by itself, against the real product with prepared data: what it says, in every branch, and to everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from frontend_tests.preparations import FreeTerms, Past, PlanPayments, buy_plans, live_through
from testkit.actors.customer import SESSION_COOKIE, Customer
from testkit.browser_fixtures import *  # noqa: F403 - pytest finds fixtures and hooks as names of this module
from testkit.browser_fixtures import verified_stack
from testkit.pages.balance import BalancePage
from testkit.stack.site import Site
from testkit.stack.stack import Stack


@pytest.fixture(scope="session")  # type: ignore[no-redef]  # instead of the imported one
def stack_of_worker(pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The product with all of its pages, for all tests of this worker."""
    with verified_stack(pytestconfig, settings={"ENABLE_BILLING_SUBSCRIPTIONS": "1"}) as stack:
        yield stack


@pytest.fixture(scope="session")
def free_terms(stack_of_worker: Stack) -> FreeTerms:
    """What is free on this stack, as the last test left it: each test that depends on it says what it needs."""
    return FreeTerms(stack_of_worker)


@pytest.fixture
def generous_terms(free_terms: FreeTerms) -> None:
    """Something is free, and there is a model for it."""
    free_terms.be_generous()


@pytest.fixture(scope="session")
def newcomer(stack_of_worker: Stack) -> Iterator[Customer]:
    """Somebody who has never done anything, and shall not: all tests of the worker share them, to look only."""
    with Customer(stack_of_worker.site, stack_of_worker.take_customer(), stack_of_worker.provider) as newcomer:
        yield newcomer


@pytest.fixture(scope="session")
def shopper(stack_of_worker: Stack) -> Iterator[Customer]:
    """Somebody who sets out to pay again and again and never does; shared, so let each test ask for its own amount."""
    with Customer(stack_of_worker.site, stack_of_worker.take_customer(), stack_of_worker.provider) as shopper:
        yield shopper


@pytest.fixture(scope="session")
def past(stack_of_worker: Stack, free_terms: FreeTerms) -> Iterator[Past]:
    """Somebody with payments and calls behind them, free limits used up; shared like the newcomer, to look only."""
    free_terms.be_generous()
    with Customer(stack_of_worker.site, stack_of_worker.take_customer(), stack_of_worker.provider) as regular:
        yield live_through(regular, stack_of_worker)


@pytest.fixture(scope="session")
def plan_payments(stack_of_worker: Stack) -> Iterator[PlanPayments]:
    """Somebody who has paid for one plan and not for another; shared, to look only."""
    with Customer(stack_of_worker.site, stack_of_worker.take_customer(), stack_of_worker.provider) as buyer:
        yield buy_plans(buyer, stack_of_worker)


@pytest.fixture
def regular(past: Past) -> Customer:
    """The customer with that past."""
    return past.customer


@pytest.fixture
def signed_in_as(context: BrowserContext, page: Page, site: Site) -> Callable[[Customer], Page]:
    """Makes the page's browser be this customer; answers the page."""

    def sign_in(customer: Customer) -> Page:
        context.add_cookies([{"name": SESSION_COOKIE, "value": customer.session_cookie(), "url": site.url}])
        return page

    return sign_in


@pytest.fixture
def balance(signed_in_page: Page, site: Site) -> BalancePage:
    """The balance page of the test's customer, not opened yet."""
    return BalancePage(signed_in_page, site)


@pytest.fixture
def newcomers_balance(signed_in_as: Callable[[Customer], Page], newcomer: Customer, site: Site) -> BalancePage:
    """The balance page of somebody to whom nothing has happened, not opened yet."""
    return BalancePage(signed_in_as(newcomer), site)


@pytest.fixture
def regulars_balance(signed_in_as: Callable[[Customer], Page], regular: Customer, site: Site) -> BalancePage:
    """The balance page of somebody with a past, not opened yet."""
    return BalancePage(signed_in_as(regular), site)


@pytest.fixture
def shoppers_balance(signed_in_as: Callable[[Customer], Page], shopper: Customer, site: Site) -> BalancePage:
    """The balance page of somebody who sets out to pay, not opened yet."""
    return BalancePage(signed_in_as(shopper), site)
