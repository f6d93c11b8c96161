"""Where customers pay, processes are killed and others take over: one provider, one database, one clock of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Town
from backend.tests.builders.jobs import JobDesk, none_left, working
from backend.tests.builders.owner import owner_engine
from backend.tests.builders.providers import Backstage
from backend.tests.builders.stripe import simulated_stripe
from backend.tests.builders.wallets import RUB
from backend.tests.builders.yookassa import YookassaBackstage, simulated_yookassa
from backend.tests.crash.payments_house import House, connected, house_over
from backend.tests.crash.payments_scripts import Names
from backend.tests.crash.processes import Forker
from backend.tests.fakes.clock import StoppedClock
from billing.kit.database import application_engine
from billing.kit.jobs import Queue
from billing.kit.unit_of_work import snapshots, units_of_work
from billing.ledger.invariants import LedgerVerifier
from billing.payments.invariants import PaymentVerifier
from billing.payments.ports import ProviderPayment
from billing.payments.rules import ProviderPaymentId, ProviderStatus
from billing.subscriptions.invariants import PlanVerifier
from billing.wallets.invariants import WalletVerifier
from billing.wiring.verification import Verification

_DAY = timedelta(days=1)
_WAITS = (timedelta(minutes=2), timedelta(minutes=16), timedelta(minutes=16), timedelta(hours=2))
"""How a recovery lets time pass: the first checks, then the longest lease and a wait between two tries, twice."""

_NO_TICKS = {"payments.reconcile_due"}
"""The provider's clock does not move with ours, so that its lists by time say nothing about what is made later."""

_ROWS = {
    "payments": "SELECT purpose || ' ' || state AS word FROM payments WHERE account_id = :id",
    "refunds": "SELECT refund.state AS word FROM refunds AS refund JOIN payments AS payment"
    " ON payment.id = refund.payment_id WHERE payment.account_id = :id",
    "disputes": "SELECT dispute.state AS word FROM disputes AS dispute JOIN payments AS payment"
    " ON payment.id = dispute.payment_id WHERE payment.account_id = :id",
    "grants": "SELECT 'paid period' AS word FROM plan_grants WHERE account_id = :id AND ended_at IS NULL",
    "audited": "SELECT action AS word FROM audit_entries WHERE account_id = :id",
    "told": "SELECT kind AS word FROM billing_events WHERE account_id = :id",
}
_WAITING = text(
    """
    SELECT 'payment ' || id AS what FROM payments
    WHERE state IN ('created', 'pending', 'waiting_for_capture') OR next_check_at IS NOT NULL
    UNION ALL SELECT 'refund ' || id FROM refunds WHERE state IN ('created', 'pending') OR next_check_at IS NOT NULL
    UNION ALL SELECT 'message ' || id FROM inbox_messages WHERE status NOT IN ('done', 'ignored')
    UNION ALL SELECT 'renewal ' || id FROM plan_renewals WHERE status = 'open'
    UNION ALL SELECT 'hold ' || id FROM holds WHERE status = 'open'
    UNION ALL SELECT 'job ' || task_name || ' ' || status FROM procrastinate_jobs
    LIMIT 100
    """
)


@dataclass(frozen=True)
class End:
    """What became of one customer's payments, with the provider and with us."""

    at_provider: Counter[str]
    available: str
    ours: dict[str, Counter[str]]

    def says(self, table: str) -> dict[str, int]:
        """What our rows say, and how often."""
        return dict(self.ours[table])


@dataclass(frozen=True)
class Street:
    """One test's world; `house` is the process that has survived."""

    kind: str
    simulator_url: str
    backstage: Backstage
    url: URL
    house: House
    forker: Forker

    @property
    def town(self) -> Town:
        """Where customers come from."""
        return Town(self.house.customers, self.house.ground.begin)

    def lives(self, script: str, names: Names) -> int:
        """A child does all of it; how many steps that took."""
        return self.forker.lives(script, names, **self.world)

    def dies(self, script: str, names: Names, *, at: int, is_after: bool) -> None:
        """A child does it until it is killed."""
        self.forker.dies(script, names, at=at, is_after=is_after, **self.world)

    @property
    def world(self) -> dict[str, str]:
        """Where a child finds all this."""
        return {
            "database_url": self.url.render_as_string(hide_password=False),
            "kind": self.kind,
            "simulator_url": self.simulator_url,
            "now": self.house.clock.now().isoformat(),
        }

    async def recover(self) -> None:
        """What every installation does by itself: jobs are worked on, ticks come by, time passes; customers pay."""
        desk = JobDesk(self.house.jobs, units_of_work(self.house.engine), self.url)
        async with working(self.house.jobs, Queue.PAYMENT_SYNC):
            await desk.until(none_left)
            for wait in _WAITS:
                self.house.clock.move(wait)
                for name, tick in self.house.jobs.ticks.items():
                    if name not in _NO_TICKS:
                        await tick()
                await desk.until(none_left)
                await self._pay_what_can_be_paid()

    async def end(self, names: Names) -> End:
        """What became of this customer's payments."""
        theirs = Counter(
            f"{one.purpose} {one.status.value} {one.amount.to_decimal()}"
            for one in await self._payments()
            if one.account_id == names.account_id
        )
        ours = {table: Counter(await self.words(query, names.account_id)) for table, query in _ROWS.items()}
        async with self.house.ground.begin() as uow:
            wallet_id = await self.house.wallets.of_account(uow, names.principal().account_id, RUB)
            available = (await self.house.wallets.balance(uow, wallet_id)).available
        return End(theirs, available.to_decimal(), ours)

    async def waiting(self) -> list[str]:
        """What is not over, and what nothing but a person would end."""
        async with self.house.ground.begin() as uow:
            return list((await uow.connection.execute(_WAITING)).scalars())

    async def drifts(self) -> list[str]:
        """What the checkers find wrong in the whole database."""
        verifiers = (LedgerVerifier(), WalletVerifier(self.house.clock), PaymentVerifier(), PlanVerifier())
        found = await Verification(snapshots(self.house.engine), verifiers).drifts()
        return [f"{one.subject}: {one.sentence}" for one in found]

    async def as_owner(self, statement: str, **values: object) -> None:
        """Does to the database what no process of ours may."""
        engine = owner_engine(self.url)
        async with engine.begin() as connection:
            await connection.execute(text(statement), values)
        await engine.dispose()

    async def provider_id(self, payment_id: str) -> ProviderPaymentId:
        """What the provider calls this payment of ours."""
        (found,) = await self.words("SELECT provider_payment_id AS word FROM payments WHERE id = :id", payment_id)
        return ProviderPaymentId(found)

    async def pay(self, payment_id: str) -> ProviderPaymentId:
        """The customer pays this payment of ours at the provider; its id there."""
        provider_id = await self.provider_id(payment_id)
        await self.backstage.pay(provider_id)
        return provider_id

    async def words(self, query: str, id_: str) -> list[Any]:
        """What a query about one id (`:id`) finds in its one column."""
        async with self.house.ground.begin() as uow:
            return list((await uow.connection.execute(text(query), {"id": id_})).scalars())

    async def _payments(self) -> list[ProviderPayment]:
        now = datetime.now(UTC)
        found = self.house.provider.list_payments(since=now - _DAY, until=now + _DAY)
        return [one async for one in found]

    async def _pay_what_can_be_paid(self) -> None:
        for one in await self._payments():
            if one.status is ProviderStatus.PENDING:
                await self.backstage.pay(one.id)


@asynccontextmanager
async def open_street(kind: str, url: URL, children: Forker) -> AsyncIterator[Street]:
    """A world with a provider of this kind."""
    async with AsyncExitStack() as stack:
        backstage: Backstage
        if kind == "stripe":
            stripe = await stack.enter_async_context(simulated_stripe())
            simulator_url, backstage = stripe.url, stripe
        else:
            yookassa = await stack.enter_async_context(simulated_yookassa())
            simulator_url, backstage = yookassa.url, YookassaBackstage(yookassa)
        provider = await stack.enter_async_context(connected(kind, simulator_url))
        engine = application_engine(url, connections_max=8)
        stack.push_async_callback(engine.dispose)
        house = house_over(engine, units_of_work(engine), url, StoppedClock(datetime.now(UTC)), provider)
        yield Street(kind, simulator_url, backstage, url, house, children)
