"""What the worker does for payments without anybody's doing: checks what is due, compares both books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.jobs import HandTicked, JobDesk, none_left
from backend.tests.builders.upkeep import Caretaker, credited, open_own_caretaker
from backend.tests.builders.wallets import rub
from billing.kit.jobs import Queue
from billing.payments import jobs
from billing.payments.ports import ProviderDispute
from billing.payments.provider_states import Picture
from billing.payments.rules import Actor, DisputeStatus, PaymentId, ProviderDisputeId, ProviderPaymentId

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture
async def caretaker(own_database: URL) -> AsyncIterator[Caretaker]:
    """Who looks after payments, in a database and a shop of their own."""
    async with open_own_caretaker(own_database) as caretaker:
        yield caretaker


@pytest.fixture
def queue(own_database: URL, caretaker: Caretaker) -> HandTicked:
    """The queue of that database, which knows what is to be done."""
    queue = HandTicked(own_database)
    jobs.register(queue, caretaker.janitor, caretaker.reconciliation, caretaker.disputes)
    return queue


async def work_off(caretaker: Caretaker, queue: HandTicked) -> None:
    """A worker takes what is in the queue."""
    desk = JobDesk(queue, caretaker.ground.begin, caretaker.url)
    await desk.work_off(Queue.PAYMENT_SYNC, is_reached=none_left)


class TestTheWorker:
    async def test_credits_what_the_tick_has_found_due(self, caretaker: Caretaker, queue: HandTicked) -> None:
        customer = await caretaker.till.town.customer()
        await caretaker.till.started(customer)
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
        caretaker.till.clock.move(timedelta(minutes=1))

        await queue.ticks["payments.check_due"]()
        await work_off(caretaker, queue)

        assert await caretaker.till.available(customer) == rub("500")

    async def test_compares_both_books_once_a_day(self, caretaker: Caretaker, queue: HandTicked) -> None:
        for _ in range(2):
            await queue.ticks["payments.reconcile_due"]()
            await work_off(caretaker, queue)

        assert len(await caretaker.rows("SELECT id FROM reconciliation_runs WHERE is_daily")) == 1

    async def test_asks_about_an_open_dispute_once_a_day(self, caretaker: Caretaker, queue: HandTicked) -> None:
        payment_id = PaymentId(await credited(caretaker, await caretaker.till.town.customer()))
        theirs = ProviderPaymentId(await caretaker.till.yookassa.only_payment_id())
        seen = replace(await caretaker.till.provider.get_payment(theirs), is_disputed=True)
        dispute = ProviderDispute(ProviderDisputeId("dp_1"), theirs, DisputeStatus.OPEN, seen.amount)
        async with caretaker.ground.begin() as uow:
            await caretaker.parts.states.apply_provider_state(
                uow, payment_id, Picture(seen, (), (dispute,)), actor=Actor.READ_BACK
            )
        asked_before = len(await caretaker.till.yookassa.calls("get_payment"))

        for _ in range(2):
            caretaker.till.clock.move(timedelta(hours=23))
            await queue.ticks["payments.disputes_due"]()
            await work_off(caretaker, queue)

        (row,) = await caretaker.rows("SELECT updated_at FROM disputes")
        assert row["updated_at"] == caretaker.till.clock.now()
        assert len(await caretaker.till.yookassa.calls("get_payment")) == asked_before + 1
