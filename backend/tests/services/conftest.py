"""What tests of services share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.auto_topups import Garage, open_garage
from backend.tests.builders.customers import Town, customers_service
from backend.tests.builders.outbound import Post, open_post, remote_receiver
from backend.tests.builders.owner import owner_engine
from backend.tests.builders.payments import Till
from backend.tests.builders.stripe import SimulatedStripe, simulated_stripe
from backend.tests.builders.stripe_till import StripeTill, open_stripe_till
from backend.tests.builders.subscriptions import PlanShop, open_plan_shop
from backend.tests.builders.upkeep import Caretaker, open_caretaker
from backend.tests.builders.wallets import Wallets
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing.customers.service import CustomersService
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin, units_of_work
from billing.payments.comparison import Window
from testkit.simulators.remote import ReceiverRemote


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


@pytest.fixture
async def garage(simulator: SimulatedYookassa, wallets: Wallets, job_queue: JobQueue) -> AsyncIterator[Garage]:
    """Where methods are saved, and wallets top themselves up."""
    async with open_garage(simulator, wallets, job_queue) as garage:
        yield garage


@pytest.fixture
async def caretaker(
    simulator: SimulatedYookassa, engine: AsyncEngine, database_url: URL, clock: StoppedClock, ids: Ids
) -> AsyncIterator[Caretaker]:
    """Who looks after payments."""
    async with open_caretaker(simulator, engine, database_url, clock, ids) as caretaker:
        yield caretaker


@pytest.fixture
def window(clock: StoppedClock) -> Window:
    """The time of this test, in which nothing of another one's began."""
    return Window(clock.now(), clock.now() + timedelta(hours=1))


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[ReceiverRemote]:
    """Whoever receives messages."""
    with remote_receiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: ReceiverRemote) -> ReceiverRemote:
    """The receiver, with no fault planned and no call made."""
    shared_receiver.reset()
    return shared_receiver


@pytest.fixture
async def post(
    begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue, receiver: ReceiverRemote
) -> AsyncIterator[Post]:
    """The services that send messages to customers."""
    async with open_post(begin=begin, clock=clock, ids=ids, job_queue=job_queue, receiver=receiver) as post:
        yield post


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


@pytest.fixture(scope="module")
async def stripe_simulator() -> AsyncIterator[SimulatedStripe]:
    """Stripe."""
    async with simulated_stripe() as simulator:
        yield simulator


@pytest.fixture
async def stripe_till(till: Till, stripe_simulator: SimulatedStripe) -> AsyncIterator[StripeTill]:
    """Where money comes in through Stripe."""
    async with open_stripe_till(till, stripe_simulator) as stripe_till:
        yield stripe_till
