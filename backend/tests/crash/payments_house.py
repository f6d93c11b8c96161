"""The services of one process that takes money in, wired as server and worker have them, over a simulated provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.customers import customers_service
from backend.tests.builders.jobs import HandTicked
from backend.tests.builders.stripe import SimulatedStripe
from backend.tests.builders.yookassa import SimulatedYookassa
from backend.tests.fakes.clock import StoppedClock
from billing.admin.payment_desk import PaymentDesk
from billing.admin.reconciliation_desk import ReconciliationDesk
from billing.customers.audit import AuditTrail
from billing.customers.service import CustomersService
from billing.kit.ids import Ids
from billing.kit.jobs import Queue, Work
from billing.kit.unit_of_work import Begin, units_of_work
from billing.ledger.service import LedgerService
from billing.payments import auto_topups_jobs, receipts_jobs
from billing.payments import jobs as payment_jobs
from billing.payments.notifications import PaymentNotifications
from billing.payments.ports import PaymentProvider
from billing.subscriptions import jobs as plan_jobs
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings
from billing.webhooks import jobs as webhook_jobs
from billing.webhooks.service import InboxService
from billing.wiring.ground import Ground
from billing.wiring.settings import read_settings
from billing.wiring.takings import Takings, takings_of
from billing.wiring.terms import terms_of
from testkit.loopback import NO_TLS

SIMULATORS: dict[str, Callable[[str, httpx.AsyncClient], SimulatedStripe | SimulatedYookassa]] = {
    "stripe": SimulatedStripe,
    "yookassa": SimulatedYookassa,
}

_JOBS = text("SELECT args FROM procrastinate_jobs WHERE id > :after AND task_name = :name ORDER BY id LIMIT 100")


class Jobs(HandTicked):
    """The real queue, which also remembers what its jobs do."""

    def __init__(self, database_url: URL) -> None:
        super().__init__(database_url)
        self.works: dict[str, Work] = {}

    def register(self, name: str, queue: Queue, work: Work) -> None:
        """Registers and remembers it."""
        super().register(name, queue, work)
        self.works[name] = work


@dataclass(frozen=True, slots=True)
class House:
    """Everything that is about payments in one process."""

    engine: AsyncEngine
    ground: Ground
    clock: StoppedClock
    jobs: Jobs
    wallets: WalletService
    customers: CustomersService
    takings: Takings
    inbox: InboxService
    payments: PaymentDesk
    reconciliation: ReconciliationDesk
    provider: PaymentProvider

    async def last_job(self) -> int:
        """The id of the newest job."""
        async with units_of_work(self.engine)() as uow:  # looking is no step at which anybody dies
            return int(await uow.connection.scalar(text("SELECT coalesce(max(id), 0) FROM procrastinate_jobs")) or 0)

    async def work_on(self, name: str, *, after: int) -> None:
        """Does the jobs of this name that are newer than that one, as a worker that dies before it can say so."""
        async with units_of_work(self.engine)() as uow:
            jobs = list((await uow.connection.execute(_JOBS, {"after": after, "name": name})).scalars())
        for arguments in jobs:
            await self.jobs.works[name](**arguments)


def house_over(engine: AsyncEngine, begin: Begin, url: URL, clock: StoppedClock, provider: PaymentProvider) -> House:
    """The services over this database, clock and provider; their jobs are registered."""
    ids, settings = Ids(clock), read_settings({})
    audit = AuditTrail(clock, ids)
    ground = Ground(engine, begin, clock, ids, audit)
    jobs = Jobs(url)
    wallets = WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=WalletSettings())
    customers = customers_service(begin, clock, ids)
    takings = takings_of(settings, terms_of(settings), ground, jobs, provider, customers=customers, wallets=wallets)
    handler = PaymentNotifications(begin=begin, provider=provider, states=takings.states)
    inbox = InboxService(begin=begin, clock=clock, ids=ids, job_queue=jobs, handlers={provider.name: handler})
    upkeep = takings.upkeep
    _register(jobs, takings, inbox)
    return House(
        engine=engine,
        ground=ground,
        clock=clock,
        jobs=jobs,
        wallets=wallets,
        customers=customers,
        takings=takings,
        inbox=inbox,
        payments=PaymentDesk(begin=begin, refunds=upkeep.refunds, audit=audit),
        reconciliation=ReconciliationDesk(
            begin=begin,
            reconciliation=upkeep.reconciliation,
            adoption=upkeep.adoption,
            janitor=upkeep.janitor,
            audit=audit,
        ),
        provider=provider,
    )


@asynccontextmanager
async def connected(kind: str, url: str) -> AsyncIterator[PaymentProvider]:
    """Our adapter for the simulator of this kind that runs there."""
    async with httpx.AsyncClient(verify=NO_TLS, base_url=f"{url}/control/", trust_env=False) as control:
        provider = SIMULATORS[kind](url, control).provider()
        try:
            yield provider
        finally:
            await provider.aclose()


def _register(jobs: Jobs, takings: Takings, inbox: InboxService) -> None:
    webhook_jobs.register(jobs, inbox)
    receipts_jobs.register(jobs, takings.upkeep.receipts)
    payment_jobs.register(jobs, takings.upkeep.janitor, takings.upkeep.reconciliation, takings.upkeep.disputes)
    auto_topups_jobs.register(jobs, takings.auto_topup_runs)
    plan_jobs.register(jobs, takings.plans.renewals)
