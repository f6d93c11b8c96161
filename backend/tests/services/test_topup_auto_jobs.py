"""What the worker does by itself: tops wallets up, and asks about receipts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.auto_topups import Garage, open_garage
from backend.tests.builders.jobs import HandTicked, JobDesk, job_desk, none_left
from backend.tests.builders.wallets import rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.builders.yookassa import simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing.kit.ids import Ids
from billing.kit.jobs import Queue
from billing.payments import auto_topups_jobs, receipts_jobs
from billing.payments.receipts_checks import ReceiptChecks

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture
def queue(own_database: URL) -> HandTicked:
    """A queue that this test has for itself."""
    return HandTicked(own_database)


@pytest.fixture
async def desk(own_database: URL) -> AsyncIterator[JobDesk]:
    """What is in it."""
    async with job_desk(own_database) as desk:
        yield desk


@pytest.fixture
async def garage(desk: JobDesk, queue: HandTicked, clock: StoppedClock, ids: Ids) -> AsyncIterator[Garage]:
    """Customers and wallets in the same database."""
    wallets = build_wallets(desk.begin, clock, ids)
    async with simulated_yookassa() as simulator, open_garage(simulator, wallets, queue) as garage:
        yield garage


async def work_off(desk: JobDesk, queue: HandTicked) -> None:
    """A worker takes what is in the queue."""
    await JobDesk(queue, desk.begin, desk.database_url).work_off(Queue.PAYMENT_SYNC, is_reached=none_left)


class TestTheWorker:
    async def test_tops_up_what_the_tick_has_found(self, garage: Garage, desk: JobDesk, queue: HandTicked) -> None:
        customer = await garage.low()
        auto_topups_jobs.register(queue, garage.runs)

        await queue.ticks["payments.auto_topups"]()
        await work_off(desk, queue)

        assert [charge["state"] for charge in await garage.charges(customer)] == ["succeeded"]
        assert await garage.available(customer) == rub("550")

    async def test_asks_about_receipts(self, garage: Garage, desk: JobDesk, queue: HandTicked) -> None:
        checks = ReceiptChecks(
            begin=garage.begin, clock=garage.clock, job_queue=queue, provider=garage.provider, states=garage.states
        )
        receipts_jobs.register(queue, checks)

        await queue.ticks["payments.receipts_due"]()
        waiting = await desk.standing()
        await work_off(desk, queue)

        assert [job.name for job in waiting] == ["payments.receipts"]
