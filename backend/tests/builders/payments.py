"""Everything that takes money in: real services, real database, the simulated provider over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.wallets import RUB, rub
from backend.tests.builders.yookassa import SimulatedYookassa
from backend.tests.fakes.clock import StoppedClock
from billing.customers.audit import AuditTrail
from billing.customers.service import CustomersService
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.money import Money
from billing.kit.public_address import parse_public_address
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.ledger.chart_of_accounts import PROMOTIONS
from billing.ledger.service import LedgerService
from billing.payments.adapters.yookassa import YookassaProvider
from billing.payments.beginning import Checkout
from billing.payments.chargeable import ChargeableMethods
from billing.payments.notifications import PaymentNotifications
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.purposes import NoReceipts, Purposes
from billing.payments.records import KeyClaim, Payment, Refund
from billing.payments.refunds import RefundService, RefundWish
from billing.payments.returning import ReturnRules
from billing.payments.rules import TopupOffer
from billing.payments.service import Topup, TopupService
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId
from billing.wallets.service import Balance, WalletService
from billing.wallets.settings import WalletSettings
from billing.webhooks.rules import MessageStatus, digest_of_body
from billing.webhooks.service import InboxService
from billing.wiring.payments import payment_parts

PUBLIC = parse_public_address("https://shop.example/chat")
ALLOWED_ORIGIN = "https://app.example"
OFFER = TopupOffer(
    currency=RUB,
    presets=(rub("500"), rub("1000")),
    is_custom_allowed=True,
    minimum=rub("100"),
    maximum=rub("10000"),
)


@dataclass(frozen=True)
class Till:
    """Where money comes in, with the customers who bring it."""

    topups: TopupService
    refunds: RefundService
    purposes: Purposes
    states: ProviderStates
    notifications: PaymentNotifications
    inbox: InboxService
    wallets: WalletService
    provider: YookassaProvider
    yookassa: SimulatedYookassa
    town: Town
    customers: CustomersService
    begin: Begin
    clock: StoppedClock
    ids: Ids
    job_queue: JobQueue

    async def started(self, customer: Customer, amount: str = "500", **request: Any) -> Topup:
        """A top-up of this customer that has begun; each call is an intent with a new key."""
        key = request.pop("idempotency_key", None) or self.ids.new("key")
        return await self.topups.start(customer.principal, amount=rub(amount), idempotency_key=key, **request)

    async def available(self, customer: Customer) -> Money:
        """What the customer can spend."""
        async with self.begin() as uow:
            wallet_id = await self.wallets.of_account(uow, customer.account.id, RUB)
            return (await self.wallets.balance(uow, wallet_id)).available

    async def paid(self, customer: Customer, amount: str = "500") -> Topup:
        """A top-up of this customer that is paid and credited."""
        topup = await self.started(customer, amount)
        await self.yookassa.pay((await self.row(topup.payment_id))["provider_payment_id"])
        return await self.topups.reconcile(customer.principal, topup.payment_id)

    async def spent(self, customer: Customer, amount: str) -> None:
        """The customer has spent this much."""
        operation = self.operation()
        async with self.begin() as uow:
            wallet_id = await self.wallets.of_account(uow, customer.account.id, RUB)
            await self.wallets.hold(uow, wallet_id, rub("0"), operation)
            await self.wallets.settle(uow, wallet_id, operation, rub(amount))

    async def given(self, customer: Customer, amount: str) -> None:
        """The customer was given this much."""
        async with self.begin() as uow:
            wallet_id = await self.wallets.of_account(uow, customer.account.id, RUB)
            await self.wallets.credit(
                uow,
                wallet_id,
                rub(amount),
                source=LotSource.PROMOTION,
                transfer_id=self.ids.new("grant"),
                counter_account=PROMOTIONS,
                origin="a gift",
            )

    def operation(self) -> OperationId:
        """The id of a new operation."""
        return OperationId(self.ids.new("opr"))

    async def figures(self, customer: Customer) -> Balance:
        """What the customer's wallet holds."""
        async with self.begin() as uow:
            return await self.wallets.balance(uow, await self.wallets.of_account(uow, customer.account.id, RUB))

    async def refunded(
        self, payment_id: str, amount: str | None = None, *, is_overdraft: bool = False, key: str | None = None
    ) -> Refund:
        """What became of an operator's wish to give this back."""

        async def nothing_else(uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
            del uow, payment, refund

        wish = RefundWish(payment_id, None if amount is None else rub(amount), is_overdraft, "a test")
        claimed = None if key is None else ("acc_desk", KeyClaim("refunds.start", key, amount or "all"))
        return await self.refunds.begin(wish, key=claimed, when_new=nothing_else)

    async def told(self, customer: Customer) -> list[str]:
        """The kinds of events that the account was told, oldest first."""
        async with self.begin() as uow:
            found = await uow.connection.execute(
                text("SELECT kind FROM billing_events WHERE account_id = :id ORDER BY occurred_at, id"),
                {"id": customer.account.id},
            )
            return list(found.scalars())

    async def stands_on(self, account: str, *payment_ids: str) -> Money:
        """What the transfers of these payments have left on a system account, without the provider's fees."""
        async with self.begin() as uow:
            total = await uow.connection.scalar(
                text(
                    "SELECT coalesce(sum(amount_micros), 0)::bigint FROM ledger_entries AS entry"
                    " JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id"
                    " WHERE account = :account AND reference = ANY(:ids) AND kind <> 'provider_fee'"
                ),
                {"account": account, "ids": list(payment_ids)},
            )
            return Money(total or 0, RUB)

    async def row(self, payment_id: str) -> dict[str, Any]:
        """The payment's row."""
        async with self.begin() as uow:
            found = await uow.connection.execute(text("SELECT * FROM payments WHERE id = :id"), {"id": payment_id})
            return dict(found.mappings().one())

    async def standing(self, payment_id: str) -> tuple[str, int]:
        """Where the payment stands, and what of it was given back, in whole roubles."""
        row = await self.row(payment_id)
        return row["state"], row["refunded_micros"] // 1_000_000

    async def rows_of(self, customer: Customer) -> list[dict[str, Any]]:
        """The customer's payments, oldest first."""
        async with self.begin() as uow:
            found = await uow.connection.execute(
                text("SELECT * FROM payments WHERE account_id = :id ORDER BY created_at, id"),
                {"id": customer.account.id},
            )
            return [dict(row) for row in found.mappings()]

    async def notified(self, body: bytes) -> dict[str, Any]:
        """The message, after this notification has been received and handed over."""
        await self.inbox.receive("yookassa", body)
        message_id = (await self.message_of(body))["id"]
        await self.inbox.hand_over(message_id)
        return await self.message(message_id)

    async def message_of(self, body: bytes) -> dict[str, Any]:
        """The stored message of this notification."""
        async with self.begin() as uow:
            found = await uow.connection.execute(
                text("SELECT * FROM inbox_messages WHERE digest = :digest"), {"digest": digest_of_body(body.decode())}
            )
            return dict(found.mappings().one())

    async def message(self, message_id: str) -> dict[str, Any]:
        """A stored message."""
        async with self.begin() as uow:
            found = await uow.connection.execute(
                text("SELECT * FROM inbox_messages WHERE id = :id"), {"id": message_id}
            )
            return dict(found.mappings().one())

    async def status_of(self, message_id: str) -> MessageStatus:
        """Where a stored message stands."""
        return MessageStatus((await self.message(message_id))["status"])

    def with_provider(self, provider: PaymentProvider | None) -> Till:
        """The same till with another provider behind the top-ups."""
        checkout = _checkout(self.begin, self.clock, self.ids, self.states, self.purposes, provider)
        return replace(
            self,
            topups=_topup_service(self.begin, self.clock, self.ids, checkout),
            refunds=_refund_service(self.begin, self.clock, self.ids, checkout, self.states, self.purposes),
        )

    def with_notifications_of(self, provider: PaymentProvider) -> Till:
        """The same till with another provider behind the inbox."""
        notifications = PaymentNotifications(begin=self.begin, provider=provider, states=self.states)
        return replace(self, inbox=_inbox(self.begin, self.clock, self.ids, self.job_queue, notifications))


def _checkout(
    begin: Begin,
    clock: StoppedClock,
    ids: Ids,
    states: ProviderStates,
    purposes: Purposes,
    provider: PaymentProvider | None,
) -> Checkout:
    return Checkout(
        begin=begin,
        clock=clock,
        ids=ids,
        states=states,
        provider=provider,
        purposes=purposes,
        methods=ChargeableMethods(provider, customers_service(begin, clock, ids)),
        receipts=NoReceipts(),
        public=PUBLIC,
    )


def _topup_service(begin: Begin, clock: StoppedClock, ids: Ids, checkout: Checkout) -> TopupService:
    return TopupService(
        begin=begin,
        audit=AuditTrail(clock, ids),
        checkout=checkout,
        offer=OFFER,
        returns=ReturnRules(PUBLIC, frozenset({ALLOWED_ORIGIN})),
    )


def _refund_service(
    begin: Begin, clock: StoppedClock, ids: Ids, checkout: Checkout, states: ProviderStates, purposes: Purposes
) -> RefundService:
    return RefundService(begin=begin, clock=clock, ids=ids, checkout=checkout, states=states, purposes=purposes)


def _inbox(
    begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue, notifications: PaymentNotifications
) -> InboxService:
    return InboxService(begin=begin, clock=clock, ids=ids, job_queue=job_queue, handlers={"yookassa": notifications})


@asynccontextmanager
async def open_till(
    simulator: SimulatedYookassa, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
) -> AsyncIterator[Till]:
    """A till at the simulator."""
    yookassa = await simulator.fresh()
    provider = yookassa.provider()
    wallets = WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=WalletSettings())
    parts = payment_parts(clock=clock, ids=ids, wallets=wallets, topup_ttl_days=365)
    states, purposes = parts.states, parts.purposes
    checkout = _checkout(begin, clock, ids, states, purposes, provider)
    notifications = PaymentNotifications(begin=begin, provider=provider, states=states)
    customers = customers_service(begin, clock, ids)
    try:
        yield Till(
            topups=_topup_service(begin, clock, ids, checkout),
            refunds=_refund_service(begin, clock, ids, checkout, states, purposes),
            purposes=purposes,
            states=states,
            notifications=notifications,
            inbox=_inbox(begin, clock, ids, job_queue, notifications),
            wallets=wallets,
            provider=provider,
            yookassa=yookassa,
            town=Town(customers, begin),
            customers=customers,
            begin=begin,
            clock=clock,
            ids=ids,
            job_queue=job_queue,
        )
    finally:
        await provider.aclose()
