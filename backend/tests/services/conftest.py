"""What tests of services share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Town, customers_service
from backend.tests.builders.owner import owner_engine
from backend.tests.builders.subscriptions import PlanShop, open_plan_shop
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing.customers.service import CustomersService
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
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


@pytest.fixture(scope="module")
async def plan_provider() -> AsyncIterator[SimulatedYookassa]:
    """Who collects for plans."""
    async with simulated_yookassa() as simulator:
        yield simulator


@pytest.fixture
async def plan_shop(
    plan_provider: SimulatedYookassa, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
) -> AsyncIterator[PlanShop]:
    """Where plans are sold; whatever a test did, paid time is what was paid for, once."""
    async with open_plan_shop(plan_provider, begin, clock, ids, job_queue) as shop:
        await shop.let_nobody_renew()
        yield shop
        assert await shop.drifts() == []
