"""What looks after payments: over a shop and a database in which nothing is due but what a test begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.customers import Customer
from backend.tests.builders.owner import owner_engine
from backend.tests.builders.payments import PUBLIC, Till, open_till
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing.admin.reconciliation_desk import ReconciliationDesk
from billing.customers.audit import AuditTrail
from billing.customers.rules import OperatorRole
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import units_of_work
from billing.payments.beginning import Checkout
from billing.payments.chargeable import ChargeableMethods
from billing.payments.comparison import RecordedDifference, Window
from billing.payments.janitor import PaymentJanitor, Round
from billing.payments.models import PaymentRow, RefundRow
from billing.payments.open_disputes import OpenDisputes
from billing.payments.ports import PaymentProvider
from billing.payments.purposes import NoReceipts
from billing.payments.reconciliation import Reconciliation
from billing.wiring.ground import Ground
from billing.wiring.payment_upkeep import payment_upkeep
from billing.wiring.payments import PaymentParts, payment_parts

_NEVER = datetime(2999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Caretaker:
    """The till of one test, and those who look after it."""

    till: Till
    ground: Ground
    parts: PaymentParts
    url: URL
    job_queue: JobQueue
    janitor: PaymentJanitor
    reconciliation: Reconciliation
    disputes: OpenDisputes
    desk: ReconciliationDesk

    async def after(self, wait: timedelta) -> Round:
        """What a round of checks comes to after this time."""
        self.till.clock.move(wait)
        return await self.janitor.check_due()

    async def refused_start(self, customer: Customer, **plan: Any) -> str:
        """A top-up whose beginning goes wrong at the provider as planned; the id of its row."""
        await self.till.yookassa.plan(operation="create_payment", times=3, **plan)
        return str((await self.till.started(customer)).payment_id)

    async def operator(self) -> Customer:
        """Somebody who may decide about money."""
        return await self.till.town.customer(operator_role=OperatorRole.FINANCE)

    async def as_owner(self, statement: str, **values: object) -> None:
        """Does to the database what no process of ours may."""
        engine = owner_engine(self.url)
        async with engine.begin() as connection:
            await connection.execute(text(statement), values)
        await engine.dispose()

    async def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """What stands in the database."""
        async with self.ground.begin() as uow:
            return [dict(row) for row in (await uow.connection.execute(text(statement), values)).mappings()]

    def with_provider(self, provider: PaymentProvider | None) -> Caretaker:
        """The same with another provider, or none."""
        return _caretaker(self.till, self.ground, self.parts, self.url, self.job_queue, provider)


async def begun(caretaker: Caretaker, customer: Customer) -> str:
    """A top-up of 500 roubles that waits to be paid."""
    return (await caretaker.till.started(customer)).payment_id


async def paid(caretaker: Caretaker, customer: Customer) -> str:
    """A top-up of 500 roubles that the customer has paid, and of which we have not heard."""
    payment_id = await begun(caretaker, customer)
    await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
    return payment_id


async def credited(caretaker: Caretaker, customer: Customer) -> str:
    """A top-up of 500 roubles that was paid and credited."""
    payment_id = await paid(caretaker, customer)
    await caretaker.till.topups.reconcile(customer.principal, payment_id)
    return payment_id


async def lost(caretaker: Caretaker, customer: Customer) -> str:
    """A paid top-up whose row a restored backup does not have; the id that it had."""
    payment_id = await paid(caretaker, customer)
    await caretaker.as_owner("DELETE FROM payments WHERE id = :id", id=payment_id)
    return payment_id


async def only_difference(caretaker: Caretaker, window: Window) -> RecordedDifference:
    """The one difference that a run of this window lists."""
    before = {one.id for one in await caretaker.reconciliation.differences()}
    done = await caretaker.reconciliation.run(window)
    (new,) = [one for one in await caretaker.reconciliation.differences() if one.id not in before]
    assert done.differences == 1
    return new


@asynccontextmanager
async def open_caretaker(
    simulator: SimulatedYookassa, engine: AsyncEngine, url: URL, clock: StoppedClock, ids: Ids
) -> AsyncIterator[Caretaker]:
    """A till with its caretakers; what earlier tests left in this database is never due, and of another shop."""
    begin, job_queue = units_of_work(engine), JobQueue(url)
    ground = Ground(engine, begin, clock, ids, AuditTrail(clock, ids))
    await _put_aside_what_others_left(url)
    async with open_till(simulator, begin, clock, ids, job_queue) as till:
        parts = payment_parts(clock=clock, ids=ids, wallets=till.wallets, topup_ttl_days=365)
        yield _caretaker(till, ground, parts, url, job_queue, till.provider)


async def _put_aside_what_others_left(url: URL) -> None:
    """Tests move the clock, so that what they left may have begun at any time around now."""
    engine = owner_engine(url)
    async with engine.begin() as connection:
        await connection.execute(update(PaymentRow).values(shop_id="of an earlier test"))
        for row in (PaymentRow, RefundRow):
            await connection.execute(update(row).where(row.next_check_at.is_not(None)).values(next_check_at=_NEVER))
    await engine.dispose()


@asynccontextmanager
async def open_own_caretaker(url: URL) -> AsyncIterator[Caretaker]:
    """The same over a database and a shop that one test has for itself."""
    clock = StoppedClock(datetime.now(UTC))
    engine = application_engine(url, connections_max=4)
    async with (
        simulated_yookassa() as simulator,
        open_caretaker(simulator, engine, url, clock, Ids(clock)) as caretaker,
    ):
        yield caretaker
    await engine.dispose()


def _caretaker(
    till: Till,
    ground: Ground,
    parts: PaymentParts,
    url: URL,
    job_queue: JobQueue,
    provider: PaymentProvider | None,
) -> Caretaker:
    checkout = Checkout(
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        states=parts.states,
        provider=provider,
        purposes=parts.purposes,
        methods=ChargeableMethods(provider, till.customers),
        receipts=NoReceipts(),
        public=PUBLIC,
    )
    upkeep = payment_upkeep(ground, job_queue, parts, checkout, provider, customers=till.customers, public=PUBLIC)
    desk = ReconciliationDesk(
        begin=ground.begin,
        reconciliation=upkeep.reconciliation,
        adoption=upkeep.adoption,
        janitor=upkeep.janitor,
        audit=ground.audit,
    )
    return Caretaker(till, ground, parts, url, job_queue, upkeep.janitor, upkeep.reconciliation, upkeep.disputes, desk)
