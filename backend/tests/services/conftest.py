"""What tests of services share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Town, customers_service
from backend.tests.builders.owner import owner_engine
from backend.tests.fakes.clock import StoppedClock
from billing.customers.service import CustomersService
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, units_of_work


@pytest.fixture
def customers(begin: Begin, clock: StoppedClock, ids: Ids) -> CustomersService:
    """The real service of customers."""
    return customers_service(begin, clock, ids)


@pytest.fixture
def town(customers: CustomersService, begin: Begin) -> Town:
    """Where customers come from."""
    return Town(customers, begin)


@pytest.fixture(scope="session")
async def begin_as_owner(database_url: URL) -> AsyncIterator[Begin]:
    """Units of work of the schema's owner, for what the application's own role may not do."""
    engine = owner_engine(database_url)
    yield units_of_work(engine)
    await engine.dispose()
