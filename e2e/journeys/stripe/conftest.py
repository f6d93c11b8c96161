"""The same product where Stripe collects and plans are sold: a stack of its own for the stories in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testkit.browser_fixtures import verified_stack
from testkit.stack.product import Collector
from testkit.stack.stack import Stack


@pytest.fixture(scope="session")
def stack_of_worker(pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The product for all tests of this folder, with whatever earlier tests left in it."""
    settings = {"ENABLE_BILLING_SUBSCRIPTIONS": "1"}
    with verified_stack(pytestconfig, collector=Collector.STRIPE, settings=settings) as stack:
        yield stack
