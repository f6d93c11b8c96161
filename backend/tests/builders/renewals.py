"""Renewals that are due, put off or refused, and what looks after them when nobody else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import ALLOWED_ORIGIN, OFFER, PUBLIC
from backend.tests.builders.subscriptions import PlanShop
from backend.tests.builders.wallets import rub
from billing.customers.audit import AuditTrail
from billing.kit.unit_of_work import Begin
from billing.payments.janitor import PaymentJanitor
from billing.payments.news import PaymentNews
from billing.payments.returning import ReturnRules
from billing.payments.service import TopupService
from billing.subscriptions.rules import RENEWS_BEFORE
from billing.wallets.events import BillingEvents

END = datetime(2026, 4, 2, 12, 0, tzinfo=UTC)
"""When the first paid period of `PlanShop.renewing` ends."""

_OF_OTHERS = "UPDATE {table} SET next_check_at = '2999-01-01' WHERE next_check_at IS NOT NULL AND {theirs}"


def wait_until_due(shop: PlanShop) -> None:
    """Time goes on until the first renewal is due."""
    shop.clock.move(END - RENEWS_BEFORE - shop.clock.now())


async def refuse_the_method(shop: PlanShop, customer: Customer) -> None:
    """The bank refuses what the customer has saved first."""
    first, *_ = await shop.charges(customer)
    await shop.yookassa.refuse_method(first["payment_method"]["id"])


async def put_off(shop: PlanShop) -> None:
    """Renewals are due, and nothing can be charged: the provider is away."""
    wait_until_due(shop)
    await shop.yookassa.plan("unavailable", "create_payment", times=3)
    await shop.renew()


async def another_method(shop: PlanShop, customer: Customer) -> str:
    """The id of a card that the customer has saved with a top-up."""
    topups = TopupService(
        begin=shop.begin,
        audit=AuditTrail(shop.clock, shop.till.ids),
        checkout=shop.checkout,
        offer=OFFER,
        returns=ReturnRules(PUBLIC, frozenset({ALLOWED_ORIGIN})),
    )
    topup = await topups.start(
        customer.principal, amount=rub("500"), saves_method=True, idempotency_key=shop.till.ids.new("key")
    )
    await shop.yookassa.pay(await shop.provider_id(topup.payment_id))
    await topups.reconcile(customer.principal, topup.payment_id)
    newest, *_ = await shop.methods.methods_of(customer.principal)
    return newest.id


async def check(shop: PlanShop, customer: Customer, *, after: timedelta) -> None:
    """The round of checks after this time, for the payments of this customer."""
    till = shop.till
    shop.clock.move(after)
    await leave_others_alone(shop.begin, customer)
    janitor = PaymentJanitor(
        begin=shop.begin,
        clock=shop.clock,
        job_queue=till.job_queue,
        checkout=shop.checkout,
        refunds=shop.refunds,
        states=shop.states,
        news=PaymentNews(wallets=till.wallets, events=BillingEvents(clock=shop.clock, ids=till.ids)),
    )
    await janitor.check_due()


async def leave_others_alone(begin: Begin, customer: Customer) -> None:
    """Nothing is due but the payments of this customer, whatever earlier tests have left."""
    async with begin() as uow:
        for table, theirs in (("payments", "account_id <> :id"), ("refunds", "CAST(:id AS text) IS NOT NULL")):
            statement = _OF_OTHERS.format(table=table, theirs=theirs)
            await uow.connection.execute(text(statement), {"id": customer.account.id})
