"""Everything that sells plans, put together once."""

from __future__ import annotations

from dataclasses import dataclass

from billing.customers.audit import AuditTrail
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.money import Currency
from billing.kit.unit_of_work import Begin
from billing.ledger.service import LedgerService
from billing.payments.beginning import Checkout
from billing.payments.returning import ReturnRules
from billing.subscriptions.granting import PlanFulfilment
from billing.subscriptions.plan_desk import PlanDesk
from billing.subscriptions.ports import SavedMethods
from billing.subscriptions.renewals import Renewals
from billing.subscriptions.service import SubscriptionService
from billing.subscriptions.telling import Telling
from billing.wallets.events import BillingEvents
from billing.wallets.returns import WalletReturns
from billing.wallets.service import WalletService


@dataclass(frozen=True, slots=True)
class PlanServices:
    """What customers, the worker and operators do with plans."""

    subscriptions: SubscriptionService
    renewals: Renewals
    desk: PlanDesk


def plan_fulfilment(*, clock: Clock, ids: Ids, wallets: WalletService, methods: SavedMethods) -> PlanFulfilment:
    """What plan payments buy; there is one in a process, however payments reach it."""
    ledger = LedgerService()
    return PlanFulfilment(
        clock=clock,
        ledger=ledger,
        wallets=wallets,
        returns=WalletReturns(clock=clock, ids=ids, ledger=ledger),
        methods=methods,
        telling=Telling(events=BillingEvents(clock=clock, ids=ids), wallets=wallets),
    )


def plan_services(
    *,
    begin: Begin,
    clock: Clock,
    ids: Ids,
    audit: AuditTrail,
    job_queue: JobQueue,
    wallets: WalletService,
    fulfilment: PlanFulfilment,
    checkout: Checkout,
    methods: SavedMethods,
    returns: ReturnRules,
    currency: Currency,
) -> PlanServices:
    """The services over this fulfilment."""
    return PlanServices(
        subscriptions=SubscriptionService(
            begin=begin,
            clock=clock,
            audit=audit,
            checkout=checkout,
            fulfilment=fulfilment,
            methods=methods,
            returns=returns,
        ),
        renewals=Renewals(
            begin=begin,
            clock=clock,
            ids=ids,
            job_queue=job_queue,
            checkout=checkout,
            fulfilment=fulfilment,
            methods=methods,
            telling=Telling(events=BillingEvents(clock=clock, ids=ids), wallets=wallets),
        ),
        desk=PlanDesk(begin=begin, clock=clock, ids=ids, audit=audit, currency=currency),
    )
