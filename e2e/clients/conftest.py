"""One running product for every client, with one customer who can pay and one who cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testkit.actors.customer import Customer
from testkit.browser_fixtures import pytest_runtest_teardown, stack, stack_of_worker
from testkit.stack.stack import Stack

__all__ = ["customer", "poor_customer", "pytest_runtest_teardown", "stack", "stack_of_worker"]


@pytest.fixture(scope="session")
def customer(stack_of_worker: Stack) -> Iterator[Customer]:
    """Somebody with money enough for all calls here; each test looks at what its own call has changed."""
    with Customer(stack_of_worker.site, stack_of_worker.take_customer(), stack_of_worker.provider) as customer:
        customer.top_up("500.00")
        yield customer


@pytest.fixture(scope="session")
def poor_customer(stack_of_worker: Stack) -> Iterator[Customer]:
    """Somebody without any money."""
    with Customer(stack_of_worker.site, stack_of_worker.take_customer(), stack_of_worker.provider) as customer:
        yield customer
