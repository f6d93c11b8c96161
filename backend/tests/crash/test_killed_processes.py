"""Whatever a process was doing when it was killed, no money is lost, made up or counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.jobs import JobDesk, Standing, job_desk, none_left
from backend.tests.builders.payments import Till, open_till
from backend.tests.builders.wallets import Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from backend.tests.crash.processes import started
from backend.tests.fakes.clock import StoppedClock
from billing.kit.clock import MovableClock
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, snapshots, units_of_work
from billing.ledger.service import LedgerService
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings
from billing.webhooks.service import HAND_OVER_JOB

pytestmark = [pytest.mark.slow, pytest.mark.money]

HOLD_TTL_SECONDS = WalletSettings().hold_ttl_seconds


def move(offset_file: Path, seconds: int) -> None:
    """Lets so much time pass in every process."""
    offset_file.write_text(str(seconds), encoding="ascii")


@pytest.fixture
async def own_engine(own_database: URL) -> AsyncIterator[AsyncEngine]:
    """Connections to a database that nobody else uses."""
    engine = application_engine(own_database, connections_max=4)
    yield engine
    await engine.dispose()


@pytest.fixture
def own_begin(own_engine: AsyncEngine) -> Begin:
    """Units of work in it."""
    return units_of_work(own_engine)


@pytest.fixture
def bank(own_begin: Begin, ids: Ids, clock: StoppedClock) -> Wallets:
    """Wallets in it, before anything happens."""
    return build_wallets(own_begin, clock, ids)


class TestKilledGateway:
    @pytest.fixture
    def offset_file(self, tmp_path: Path) -> Path:
        """The clock that both processes share."""
        return tmp_path / "clock"

    @pytest.fixture
    def restarted(self, own_begin: Begin, offset_file: Path) -> WalletService:
        """The service as the next process has it."""
        clock = MovableClock(offset_file)
        return WalletService(
            begin=own_begin, clock=clock, ids=Ids(clock), ledger=LedgerService(), settings=WalletSettings()
        )

    async def test_a_hold_whose_owner_was_killed_is_given_back_after_its_time_and_ends_once(
        self, bank: Wallets, restarted: WalletService, own_engine: AsyncEngine, offset_file: Path, own_database: URL
    ) -> None:
        wallet, operation = await bank.with_paid("100"), bank.operation()
        words = ("after the hold", own_database, str(offset_file), wallet, operation)
        async with started("holder", *words) as child:
            assert await child.says() == "after the hold"
            await child.kill()

        swept_early = await restarted.sweep()
        move(offset_file, HOLD_TTL_SECONDS)
        swept = [await restarted.sweep(), await restarted.sweep()]

        assert (swept_early, swept) == (0, [1, 0])
        assert (await bank.balance(wallet)).available == rub("100")
        for _ in range(2):
            async with bank.begin() as uow:
                late = await restarted.settle(uow, wallet, operation, rub("12"))
            assert late.is_late
        assert (await bank.balance(wallet)).available == rub("88")
        assert await bank.drifts(snapshots(own_engine)) == ()

    async def test_a_charge_that_was_not_committed_never_happened_and_can_be_made_again(
        self, bank: Wallets, restarted: WalletService, own_engine: AsyncEngine, offset_file: Path, own_database: URL
    ) -> None:
        wallet, operation = await bank.with_paid("100"), bank.operation()
        words = ("in the middle of charging", own_database, str(offset_file), wallet, operation)
        async with started("holder", *words) as child:
            assert await child.says() == "in the middle of charging"
            held_before = (await bank.balance(wallet)).held
            await child.kill()

        async with bank.begin() as uow:
            charge = await restarted.settle(uow, wallet, operation, rub("12"))

        assert (held_before, charge.charged, charge.is_late) == (rub("30"), rub("12"), False)
        assert (await bank.balance(wallet)).available == rub("88")
        assert await bank.drifts(snapshots(own_engine)) == ()


class TestKilledTopup:
    @pytest.fixture
    async def simulator(self) -> AsyncIterator[SimulatedYookassa]:
        """A provider that survives us."""
        async with simulated_yookassa() as simulator:
            yield simulator

    @pytest.fixture
    async def till(
        self, simulator: SimulatedYookassa, own_begin: Begin, own_database: URL, clock: StoppedClock, ids: Ids
    ) -> AsyncIterator[Till]:
        """Where money comes in, as the next process has it."""
        async with open_till(simulator, own_begin, clock, ids, JobQueue(own_database)) as till:
            yield till

    @pytest.fixture
    async def desk(self, own_database: URL) -> AsyncIterator[JobDesk]:
        """The queue of that database."""
        async with job_desk(own_database) as desk:
            yield desk

    @pytest.mark.parametrize("point", ["before the call", "after the call"])
    async def test_the_same_click_after_the_restart_finds_the_one_payment_and_credits_it_once(
        self, till: Till, own_database: URL, point: str
    ) -> None:
        customer = await till.town.customer()
        who = (customer.principal.account_id, str(customer.principal.person_id))
        async with started("buyer", point, own_database, till.yookassa.url, *who) as child:
            assert await child.says() == "at the provider"
            await child.kill()

        topup = await till.started(customer, idempotency_key="click")
        await till.yookassa.pay(await till.yookassa.only_payment_id())
        await asyncio.gather(*(till.topups.reconcile(customer.principal, topup.payment_id) for _ in range(3)))

        assert [row["id"] for row in await till.rows_of(customer)] == [topup.payment_id]
        assert await till.available(customer) == rub("500")

    async def test_a_notification_whose_worker_was_killed_is_handed_over_by_the_next_and_credited_once(
        self, till: Till, desk: JobDesk, own_database: URL
    ) -> None:
        customer = await till.town.customer()
        await till.started(customer)
        await till.yookassa.pay(await till.yookassa.only_payment_id())
        await till.inbox.receive("yookassa", await till.yookassa.notification())
        async with started("postman", own_database, till.yookassa.url) as child:
            assert await child.says() == "at the provider"
            await child.kill()
        standing = await desk.standing()

        await self._rescue(desk, till)

        assert standing == [Standing(HAND_OVER_JOB, "doing", 0)]
        assert await till.available(customer) == rub("500")

    @staticmethod
    async def _rescue(desk: JobDesk, till: Till) -> None:
        """Thirty seconds later, another worker finds what the dead one left."""

        async def retry_stalled() -> None:
            await desk.queue.retry_stalled()

        desk.queue.register("tests.rescue", Queue.USAGE, retry_stalled)
        desk.queue.register(HAND_OVER_JOB, Queue.PAYMENT_SYNC, till.inbox.hand_over)
        await desk.age_heartbeats()
        await desk.enqueue("tests.rescue", Queue.USAGE)
        await desk.work_off(Queue.USAGE, Queue.PAYMENT_SYNC, is_reached=none_left)
