"""Wallets that top themselves up: real services, real database, the simulated provider over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.payments import ALLOWED_ORIGIN, OFFER, PUBLIC
from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.builders.yookassa import SimulatedYookassa
from billing.customers.audit import AuditTrail
from billing.kit.jobs import JobQueue
from billing.kit.money import Money
from billing.payments.auto_topups import AutoTopups, AutoTopupStanding
from billing.payments.auto_topups_rules import AutoTopupTerms
from billing.payments.auto_topups_runs import JOB, AutoTopupRuns
from billing.payments.beginning import Checkout
from billing.payments.chargeable import ChargeableMethods
from billing.payments.methods import SavedMethods
from billing.payments.ports import PaymentProvider
from billing.payments.purposes import NoReceipts, Receipts
from billing.payments.read_back import ReadBack
from billing.payments.records import Refund
from billing.payments.refunds import RefundService, RefundWish
from billing.payments.returning import ReturnRules
from billing.payments.rules import ProviderPaymentId, TopupOffer
from billing.payments.service import TopupService
from billing.wallets.events import BillingEvents
from billing.wiring.payments import payment_parts

COOL_OFF = timedelta(minutes=10)

_JOBS = text(
    """
    SELECT id, args ->> 'leased_until' AS leased_until FROM procrastinate_jobs
    WHERE task_name = :job AND args ->> 'account_id' = :account_id AND id > :last ORDER BY id LIMIT 100
    """
)


class Garage:
    """Everything about saved methods and automatic top-ups, at one provider."""

    def __init__(
        self,
        yookassa: SimulatedYookassa,
        wallets: Wallets,
        job_queue: JobQueue,
        *,
        provider: PaymentProvider | None,
        receipts: Receipts | None = None,
        offer: TopupOffer = OFFER,
    ) -> None:
        self.yookassa = yookassa
        self.wallets = wallets
        self.begin, self.clock, self.ids = wallets.begin, wallets.clock, wallets.ids
        self.job_queue = job_queue
        self.provider = provider
        self.customers = customers_service(self.begin, self.clock, self.ids)
        self.town = Town(self.customers, self.begin)
        audit = AuditTrail(self.clock, self.ids)
        self.methods = SavedMethods(begin=self.begin, clock=self.clock, ids=self.ids, audit=audit)
        self.parts = payment_parts(
            clock=self.clock,
            ids=self.ids,
            wallets=wallets.service,
            topup_ttl_days=365,
            auto_topup_cool_off=COOL_OFF,
            methods=self.methods,
        )
        self.states = self.parts.states
        self.checkout = Checkout(
            begin=self.begin,
            clock=self.clock,
            ids=self.ids,
            states=self.states,
            provider=provider,
            purposes=self.parts.purposes,
            methods=ChargeableMethods(provider, self.customers),
            receipts=receipts or NoReceipts(),
            public=PUBLIC,
        )
        self._open_services(audit, offer)
        self._last_job: dict[str, int] = {}

    def _open_services(self, audit: AuditTrail, offer: TopupOffer) -> None:
        """What customers, operators and the worker use."""
        self.refunds = RefundService(
            begin=self.begin,
            clock=self.clock,
            ids=self.ids,
            checkout=self.checkout,
            states=self.states,
            purposes=self.parts.purposes,
        )
        self.topups = TopupService(
            begin=self.begin,
            audit=audit,
            checkout=self.checkout,
            offer=offer,
            returns=ReturnRules(PUBLIC, frozenset({ALLOWED_ORIGIN})),
        )
        self.auto_topups = AutoTopups(
            begin=self.begin,
            clock=self.clock,
            ids=self.ids,
            audit=audit,
            wallets=self.wallets.service,
            provider=self.provider,
            offer=offer,
        )
        self.runs = AutoTopupRuns(
            begin=self.begin,
            clock=self.clock,
            job_queue=self.job_queue,
            customers=self.customers,
            checkout=self.checkout,
            provider=self.provider,
            events=BillingEvents(clock=self.clock, ids=self.ids),
            offer=offer,
            cool_off=COOL_OFF,
        )

    def but(
        self,
        *,
        provider: PaymentProvider | None,
        receipts: Receipts | None = None,
        offer: TopupOffer = OFFER,
    ) -> Garage:
        """The same customers and wallets, with these instead."""
        other = Garage(self.yookassa, self.wallets, self.job_queue, provider=provider, receipts=receipts, offer=offer)
        other._last_job = self._last_job
        return other

    async def paid_with_consent(self, customer: Customer, amount: str = "500", **request: Any) -> str:
        """Our id of a top-up with which the customer let what they paid with be kept."""
        topup = await self.topups.start(
            customer.principal,
            amount=rub(amount),
            saves_method=True,
            idempotency_key=self.ids.new("key"),
            **request,
        )
        await self.yookassa.pay((await self.row(topup.payment_id))["provider_payment_id"])
        await self.topups.reconcile(customer.principal, topup.payment_id)
        return topup.payment_id

    async def refunded(self, payment_id: str, amount: str) -> Refund:
        """Money that an operator has given back."""

        async def nothing_else(*_: object) -> None:
            """Nobody is audited here."""

        wish = RefundWish(payment_id, rub(amount), is_overdraft=False, reason="asked for it")
        return await self.refunds.begin(wish, key=None, when_new=nothing_else)

    async def driver(self, *, time_zone: str = "UTC") -> tuple[Customer, str]:
        """A customer with 500 in the wallet and a saved method, whose id comes along."""
        customer = await self.town.customer(time_zone=time_zone)
        await self.paid_with_consent(customer)
        (method, *_) = await self.methods.methods_of(customer.principal)
        return customer, method.id

    async def agreed(
        self, customer: Customer, method_id: str, *, threshold: str = "100", amount: str = "500", limit: str = "2000"
    ) -> AutoTopupStanding:
        """The customer agrees to be charged."""
        terms = AutoTopupTerms(rub(threshold), rub(amount), rub(limit))
        return await self.auto_topups.set(
            customer.principal, terms, method_id=method_id, has_consented=True, request_id="req_tests"
        )

    async def low(self, *, time_zone: str = "UTC", limit: str = "2000") -> Customer:
        """A customer who has agreed, and whose wallet has fallen below the threshold."""
        customer, method_id = await self.driver(time_zone=time_zone)
        await self.agreed(customer, method_id, limit=limit)
        await self.spend(customer, "450")
        return customer

    async def spend(self, customer: Customer, amount: str) -> None:
        """A call that costs so much."""
        async with self.begin() as uow:
            wallet_id = await self.wallets.service.of_account(uow, customer.account.id, RUB)
        operation = await self.wallets.hold(wallet_id, amount)
        async with self.begin() as uow:
            await self.wallets.service.settle(uow, wallet_id, operation, rub(amount))

    async def tick(self, customer: Customer) -> int:
        """The scheduler's tick, and the jobs that it has for this customer; says how many those were."""
        await self.runs.enqueue_due()
        jobs = await self.jobs_of(customer.account.id)
        for leased_until in jobs:
            await self.runs.run(customer.account.id, leased_until)
        return len(jobs)

    async def jobs_of(self, account_id: str) -> list[datetime]:
        """The leases of the jobs that this account has got since they were last looked at."""
        values = {"job": JOB, "account_id": account_id, "last": self._last_job.get(account_id, 0)}
        async with self.begin() as uow:
            rows = (await uow.connection.execute(_JOBS, values)).all()
        if rows:
            self._last_job[account_id] = rows[-1].id
        return [datetime.fromisoformat(row.leased_until) for row in rows]

    async def standing(self, customer: Customer) -> AutoTopupStanding:
        """How the customer's automatic top-up stands."""
        return await self.auto_topups.get(customer.principal)

    async def available(self, customer: Customer) -> Money:
        """What the customer can spend."""
        async with self.begin() as uow:
            wallet_id = await self.wallets.service.of_account(uow, customer.account.id, RUB)
            return (await self.wallets.service.balance(uow, wallet_id)).available

    async def charges(self, customer: Customer) -> list[dict[str, Any]]:
        """The rows of the customer's automatic top-ups, oldest first."""
        return await self._rows(
            "SELECT * FROM payments WHERE account_id = :id AND purpose = 'auto_topup' ORDER BY created_at, id",
            customer.account.id,
        )

    async def row(self, payment_id: str) -> dict[str, Any]:
        """The payment's row."""
        (row,) = await self._rows("SELECT * FROM payments WHERE id = :id", payment_id)
        return row

    async def told(self, customer: Customer) -> list[dict[str, Any]]:
        """What the customer was told of the automatic top-up, oldest first."""
        return await self._rows(
            "SELECT * FROM billing_events WHERE account_id = :id AND kind LIKE 'auto_topup%' ORDER BY id",
            customer.account.id,
        )

    async def audited(self, customer: Customer) -> list[str]:
        """What the audit trail says that people did here, oldest first; beginning a top-up left out."""
        rows = await self._rows(
            "SELECT action FROM audit_entries WHERE account_id = :id AND action <> 'topup.started' ORDER BY id",
            customer.account.id,
        )
        return [row["action"] for row in rows]

    async def charged_at_provider(self, customer: Customer) -> list[dict[str, Any]]:
        """The automatic top-ups that the provider has of this customer."""
        return [
            payment
            for payment in await self.yookassa.payments()
            if payment["metadata"]["account_id"] == customer.account.id
            and payment["metadata"]["purpose"] == "auto_topup"
        ]

    async def heard(self, customer: Customer) -> None:
        """What a notification about the customer's last automatic top-up leads to."""
        assert self.provider is not None
        last = (await self.charged_at_provider(customer))[-1]
        read_back = ReadBack(begin=self.begin, provider=self.provider, states=self.states)
        await read_back.named(ProviderPaymentId(last["id"]))

    async def _rows(self, query: str, id_: str) -> list[dict[str, Any]]:
        async with self.begin() as uow:
            found = await uow.connection.execute(text(query), {"id": id_})
            return [dict(row) for row in found.mappings()]


@asynccontextmanager
async def open_garage(simulator: SimulatedYookassa, wallets: Wallets, job_queue: JobQueue) -> AsyncIterator[Garage]:
    """A garage at the simulator."""
    yookassa = await simulator.fresh()
    provider = yookassa.provider()
    try:
        yield Garage(yookassa, wallets, job_queue, provider=provider)
    finally:
        await provider.aclose()
