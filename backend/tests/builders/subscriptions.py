"""Plans, and everything that sells them: real services, real database, the simulated provider over real HTTP."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from backend.tests.builders.customers import Customer, Town
from backend.tests.builders.payments import ALLOWED_ORIGIN, PUBLIC, Till, open_till
from backend.tests.builders.wallets import RUB, rub
from backend.tests.builders.yookassa import SimulatedYookassa
from backend.tests.fakes.clock import StoppedClock
from billing.customers.audit import AuditTrail
from billing.customers.rules import OperatorRole
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.money import Money
from billing.kit.statements import answer
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments.beginning import Checkout
from billing.payments.chargeable import ChargeableMethods
from billing.payments.methods import SavedMethods
from billing.payments.notifications import PaymentNotifications
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.purposes import NoReceipts, Purposes
from billing.payments.records import Payment, Refund
from billing.payments.refunds import RefundService, RefundWish
from billing.payments.returning import ReturnRules
from billing.payments.rules import SUBSCRIPTION
from billing.subscriptions.entitlements import Entitlement, Entitlements
from billing.subscriptions.granting import PlanFulfilment
from billing.subscriptions.invariants import PlanVerifier
from billing.subscriptions.plan_desk import PlanDesk
from billing.subscriptions.renewals import JOB, Renewals
from billing.subscriptions.rules import Interval, Plan, PlanId, PlanTerms, RenewalId
from billing.subscriptions.service import Order, Purchase, Standing, SubscriptionService
from billing.wallets.service import Balance
from billing.webhooks.service import InboxService
from billing.wiring.payments import payment_parts
from billing.wiring.plans import plan_fulfilment, plan_services


def terms(**more: Any) -> PlanTerms:
    """A plan of 300 roubles a month that includes 100 roubles of credit."""
    given: dict[str, Any] = {
        "code": f"plan-{secrets.token_hex(6)}",
        "name": "Plus",
        "price": rub("300"),
        "interval": Interval.MONTH,
        "included_credit": rub("100"),
        **more,
    }
    return PlanTerms(**given)


def plan(**more: Any) -> Plan:
    """Such a plan, as it is on offer."""
    return Plan(PlanId("pln_1"), terms(**more), datetime(2026, 1, 1, tzinfo=UTC))


class RememberedJobs(JobQueue):
    """A queue that only remembers what was put into it."""

    def __init__(self) -> None:
        self._jobs: list[dict[str, str]] = []

    async def enqueue(
        self, uow: UnitOfWork, name: str, queue: Queue, *, lock: str | None = None, **arguments: str
    ) -> None:
        """Remembers it."""
        assert (uow.connection is not None, name, queue, bool(lock)) == (True, JOB, Queue.PAYMENT_SYNC, True)
        self._jobs.append(arguments)

    def taken(self) -> list[dict[str, str]]:
        """What was put there since it was last asked."""
        jobs, self._jobs = self._jobs, []
        return jobs


@dataclass(frozen=True)
class PlanShop:
    """Where plans are sold: over a till, to its customers."""

    till: Till
    subscriptions: SubscriptionService
    renewals: Renewals
    desk: PlanDesk
    fulfilment: PlanFulfilment
    purposes: Purposes
    states: ProviderStates
    checkout: Checkout
    refunds: RefundService
    methods: SavedMethods
    jobs: RememberedJobs

    async def renew(self) -> None:
        """The scheduler's tick, and then what it has put into the queue."""
        await self.renewals.enqueue_due()
        for arguments in self.jobs.taken():
            try:
                await self.renewals.charge(RenewalId(arguments["renewal_id"]), int(arguments["attempt"]))
            except BillingError:
                continue  # as the queue does: a refusal is final, and the lease brings the renewal back

    @property
    def begin(self) -> Begin:
        """Opens a unit of work."""
        return self.till.begin

    @property
    def clock(self) -> StoppedClock:
        """The clock of everybody here."""
        return self.till.clock

    @property
    def yookassa(self) -> SimulatedYookassa:
        """The provider's side."""
        return self.till.yookassa

    @property
    def town(self) -> Town:
        """Where customers come from."""
        return self.till.town

    async def on_offer(self, **more: Any) -> Plan:
        """A new plan on offer."""
        operator = await self.town.customer(operator_role=OperatorRole.FINANCE)
        return await self.desk.create(operator.principal, terms(**more), reason="a test", request_id="req_tests")

    async def retired(self, plan: Plan) -> None:
        """The plan is not on offer any more."""
        operator = await self.town.customer(operator_role=OperatorRole.FINANCE)
        await self.desk.retire(operator.principal, plan.terms.code, reason="a test", request_id="req_tests")

    async def ordered(self, customer: Customer, plan: Plan, *, key: str | None = None, **order: Any) -> Purchase:
        """A purchase that has begun; each call is an intent with a new key."""
        return await self.subscriptions.buy(
            customer.principal,
            plan.terms.code,
            Order(**order),
            idempotency_key=key or self.till.ids.new("key"),
            request_id="req_tests",
        )

    async def bought(self, customer: Customer, plan: Plan, **order: Any) -> Purchase:
        """A purchase on the provider's page that is paid and granted."""
        purchase = await self.ordered(customer, plan, **order)
        return await self.paid(customer, purchase)

    async def paid(self, customer: Customer, purchase: Purchase) -> Purchase:
        """The customer pays, and comes back."""
        await self.yookassa.pay(await self.provider_id(purchase.payment_id))
        return await self.subscriptions.reconcile(customer.principal, purchase.payment_id)

    async def renewing(self, plan: Plan) -> Customer:
        """Somebody whose plan is paid and renews itself."""
        customer = await self.town.customer()
        await self.bought(customer, plan, renews=True)
        return customer

    async def renewed_early(self, customer: Customer, **order: Any) -> Purchase:
        """One more period that is paid on the provider's page."""
        purchase = await self.subscriptions.renew(
            customer.principal, Order(**order), idempotency_key=self.till.ids.new("key"), request_id="req_tests"
        )
        return await self.paid(customer, purchase)

    async def provider_id(self, payment_id: str) -> str:
        """What the provider calls the payment."""
        return str((await self.till.row(payment_id))["provider_payment_id"])

    async def standing(self, customer: Customer) -> Standing:
        """What the customer has paid for."""
        return await self.subscriptions.standing(customer.principal)

    async def entitlement(self, customer: Customer) -> Entitlement:
        """What a call of the customer would be given now."""
        async with self.begin() as uow:
            return await answer(uow, Entitlements(RUB).of_account(customer.account.id, self.clock.now()))

    async def balance(self, customer: Customer) -> Balance:
        """What the customer's wallet holds."""
        return await self.till.figures(customer)

    async def let_nobody_renew(self) -> None:
        """Whoever has a plan from an earlier test of this worker is left alone from now on."""
        async with self.begin() as uow:
            await uow.connection.execute(text("UPDATE plan_subscriptions SET will_renew = false WHERE will_renew"))
            await uow.connection.execute(
                text("UPDATE plan_renewals SET status = 'superseded', due_at = NULL WHERE status = 'open'")
            )

    async def charges(self, customer: Customer) -> list[dict[str, Any]]:
        """The customer's payments at the provider, oldest first; a tick works for everybody else too."""
        payments = await self.yookassa.payments()
        return [one for one in payments if one["metadata"].get("account_id") == customer.account.id]

    async def grants(self, customer: Customer) -> list[dict[str, Any]]:
        """The customer's paid periods, the earliest first."""
        return await self.rows("SELECT * FROM plan_grants WHERE account_id = :id ORDER BY starts_at", customer)

    async def renewals_of(self, customer: Customer) -> list[dict[str, Any]]:
        """The customer's renewals, the earliest first."""
        return await self.rows("SELECT * FROM plan_renewals WHERE account_id = :id ORDER BY starts_at", customer)

    async def rows(self, query: str, customer: Customer) -> list[dict[str, Any]]:
        """What a query about the customer's account (`:id`) finds."""
        async with self.begin() as uow:
            found = await uow.connection.execute(text(query), {"id": customer.account.id})
            return [dict(row) for row in found.mappings()]

    async def stands_on(self, account: str, customer: Customer) -> Money:
        """What the customer's plan payments have left on a system account."""
        payments = [row["id"] for row in await self.till.rows_of(customer)]
        return await self.till.stands_on(account, *payments)

    async def given_back(self, purchase: Purchase, amount: str | None = None, *, is_overdraft: bool = True) -> Refund:
        """What became of an operator's wish to give this back."""

        async def nothing_else(uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
            del uow, payment, refund

        wish = RefundWish(purchase.payment_id, None if amount is None else rub(amount), is_overdraft, "a test")
        return await self.refunds.begin(wish, key=None, when_new=nothing_else)

    async def drifts(self) -> list[str]:
        """What the checker finds wrong with plans in this worker's whole database."""
        async with self.begin() as uow:
            return [f"{one.subject}: {one.sentence}" for one in await PlanVerifier().drifts(uow)]

    def notifications(self, provider: PaymentProvider | None = None) -> InboxService:
        """An inbox that hands over what the provider sends."""
        till = self.till
        handler = PaymentNotifications(begin=till.begin, provider=provider or till.provider, states=self.states)
        return InboxService(
            begin=till.begin, clock=till.clock, ids=till.ids, job_queue=till.job_queue, handlers={"yookassa": handler}
        )

    async def notified(self, body: bytes) -> dict[str, Any]:
        """The message, after this notification has been received and handed over."""
        inbox = self.notifications()
        await inbox.receive("yookassa", body)
        message_id = (await self.till.message_of(body))["id"]
        await inbox.hand_over(message_id)
        return await self.till.message(message_id)

    def with_begin(self, begin: Begin) -> PlanShop:
        """The same shop with another way to open units of work."""
        return _shop_over(replace(self.till, begin=begin), self.till.provider)

    def with_provider(self, provider: PaymentProvider) -> PlanShop:
        """The same shop with another provider behind its payments."""
        return _shop_over(self.till, provider)


def _shop_over(till: Till, provider: PaymentProvider) -> PlanShop:
    audit = AuditTrail(till.clock, till.ids)
    methods = SavedMethods(begin=till.begin, clock=till.clock, ids=till.ids, audit=audit)
    chargeable = ChargeableMethods(provider, till.customers)
    jobs = RememberedJobs()
    fulfilment = plan_fulfilment(clock=till.clock, ids=till.ids, wallets=till.wallets, methods=chargeable)
    parts = payment_parts(
        clock=till.clock,
        ids=till.ids,
        wallets=till.wallets,
        topup_ttl_days=365,
        methods=methods,
        more_purposes={SUBSCRIPTION: fulfilment},
    )
    checkout = Checkout(
        begin=till.begin,
        clock=till.clock,
        ids=till.ids,
        states=parts.states,
        provider=provider,
        purposes=parts.purposes,
        methods=chargeable,
        receipts=NoReceipts(),
        public=PUBLIC,
    )
    services = plan_services(
        begin=till.begin,
        clock=till.clock,
        ids=till.ids,
        audit=audit,
        job_queue=jobs,
        wallets=till.wallets,
        fulfilment=fulfilment,
        checkout=checkout,
        methods=chargeable,
        returns=ReturnRules(PUBLIC, frozenset({ALLOWED_ORIGIN})),
        currency=RUB,
    )
    refunds = RefundService(
        begin=till.begin,
        clock=till.clock,
        ids=till.ids,
        checkout=checkout,
        states=parts.states,
        purposes=parts.purposes,
    )
    return PlanShop(
        till=till,
        subscriptions=services.subscriptions,
        renewals=services.renewals,
        desk=services.desk,
        fulfilment=fulfilment,
        purposes=parts.purposes,
        states=parts.states,
        checkout=checkout,
        refunds=refunds,
        methods=methods,
        jobs=jobs,
    )


@asynccontextmanager
async def open_plan_shop(
    simulator: SimulatedYookassa, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
) -> AsyncIterator[PlanShop]:
    """A shop at the simulator."""
    async with open_till(simulator, begin, clock, ids, job_queue) as till:
        yield _shop_over(till, till.provider)
