"""What a top-up buys: credit in the account's wallet, and how that goes back."""

from __future__ import annotations

from datetime import datetime, timedelta

from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import SystemAccount, provider_account
from billing.payments.news import PaymentNews
from billing.payments.records import GivenBack, Payment
from billing.payments.rules import PaymentId
from billing.wallets.models import LotSource
from billing.wallets.returns import WalletReturns
from billing.wallets.rules import WalletId
from billing.wallets.service import WalletService


class TopupFulfilment:
    """Turns the money of top-ups, begun by customers or by us, into credit."""

    def __init__(
        self,
        *,
        wallets: WalletService,
        returns: WalletReturns,
        news: PaymentNews,
        clock: Clock,
        topup_ttl_days: int,
    ) -> None:
        self._wallets = wallets
        self._returns = returns
        self._news = news
        self._clock = clock
        self._topup_ttl_days = topup_ttl_days

    async def is_wanted(self, uow: UnitOfWork, payment: Payment) -> bool:
        """Always: who began a top-up takes it back by not paying it, or by removing the method."""
        del uow, payment
        return True

    async def succeeded(self, uow: UnitOfWork, payment: Payment) -> None:
        """Credits the wallet with what was paid."""
        wallet_id = await self._wallet_of(uow, payment)
        await self._wallets.credit(
            uow,
            wallet_id,
            payment.amount,
            source=LotSource.TOPUP,
            transfer_id=transfer_id_of(payment.id),
            counter_account=provider_account(payment.provider),
            origin=payment.id,
            expires_at=self._expires_at(),
        )
        await self._news.credited(uow, payment, wallet_id)

    async def canceled(self, uow: UnitOfWork, payment: Payment) -> None:
        """Nothing was given for it."""
        del uow, payment

    async def unspent(self, uow: UnitOfWork, payment: Payment) -> Money:
        """What is left of the credit that it gave, without what calls that are under way keep of it."""
        return await self._returns.left_of(uow, await self._wallet_of(uow, payment), payment.id)

    async def given_back(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """Takes the amount from its own credit, then from other paid credit; what is spent already becomes debt."""
        await self._returns.take(
            uow,
            await self._wallet_of(uow, payment),
            given.amount,
            origin=payment.id,
            transfer_id=given.transfer_id,
            counter_account=SystemAccount(given.account),
        )

    async def returned(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """Gives the amount back as paid credit of the same payment, with a whole life before it."""
        await self._wallets.credit(
            uow,
            await self._wallet_of(uow, payment),
            given.amount,
            source=LotSource.REFUND_RETURN,
            transfer_id=given.transfer_id,
            counter_account=SystemAccount(given.account),
            origin=payment.id,
            expires_at=self._expires_at(),
        )

    def _expires_at(self) -> datetime | None:
        return self._clock.now() + timedelta(days=self._topup_ttl_days) if self._topup_ttl_days else None

    async def _wallet_of(self, uow: UnitOfWork, payment: Payment) -> WalletId:
        return await self._wallets.of_account(uow, payment.account_id, payment.amount.currency)


def transfer_id_of(payment_id: PaymentId) -> str:
    """The one transfer that can ever credit this payment."""
    return f"credit:{payment_id}"
