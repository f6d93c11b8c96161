"""Wallets with credit in them, for tests that begin where money already is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from backend.tests.fakes.clock import StoppedClock
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import Begin
from billing.ledger.chart_of_accounts import PROMOTIONS, provider_account
from billing.ledger.invariants import EVERYTHING, Drift, Extent, LedgerVerifier
from billing.ledger.service import LedgerService
from billing.wallets.invariants import WalletVerifier
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import Balance, WalletService
from billing.wallets.settings import WalletSettings

RUB = Currency("RUB")


def rub(amount: str) -> Money:
    """So many roubles."""
    return Money.from_decimal(amount, RUB)


@dataclass(frozen=True)
class Wallets:
    """The wallet service with what tests need around it."""

    service: WalletService
    begin: Begin
    ids: Ids
    clock: StoppedClock

    async def opened(self) -> WalletId:
        """An empty wallet of a fresh account."""
        account_id = await self.account()
        async with self.begin() as uow:
            return await self.service.of_account(uow, account_id, RUB)

    async def account(self) -> str:
        """A fresh account, without people."""
        account_id = f"acc_{secrets.token_hex(12)}"
        async with self.begin() as uow:
            await uow.connection.execute(
                text(
                    "INSERT INTO accounts (id, kind, name, time_zone, created_at)"
                    " VALUES (:id, 'personal', 'A customer', 'UTC', :at)",
                ),
                {"id": account_id, "at": self.clock.now()},
            )
        return account_id

    async def with_paid(self, amount: str, *, expires_at: datetime | None = None) -> WalletId:
        """A wallet with one lot of paid credit."""
        wallet_id = await self.opened()
        await self.pay_in(wallet_id, amount, expires_at=expires_at)
        return wallet_id

    async def pay_in(self, wallet_id: WalletId, amount: str, *, expires_at: datetime | None = None) -> str:
        """One more lot of paid credit; answers the transfer's id."""
        return await self._credit(wallet_id, amount, LotSource.TOPUP, expires_at)

    async def grant(self, wallet_id: WalletId, amount: str, *, expires_at: datetime | None = None) -> str:
        """One more lot of granted credit; answers the transfer's id."""
        return await self._credit(wallet_id, amount, LotSource.PROMOTION, expires_at)

    async def hold(self, wallet_id: WalletId, amount: str) -> OperationId:
        """An open hold of a new operation."""
        operation_id = self.operation()
        async with self.begin() as uow:
            await self.service.hold(uow, wallet_id, rub(amount), operation_id)
        return operation_id

    def operation(self) -> OperationId:
        """A new operation's id."""
        return OperationId(self.ids.new("opr"))

    async def balance(self, wallet_id: WalletId) -> Balance:
        """The wallet as its owner sees it now."""
        async with self.begin() as uow:
            return await self.service.balance(uow, wallet_id)

    async def drifts(self, snapshot: Begin, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """What the checker finds wrong in the ledger, and in the wallets of this worker's whole database or a part."""
        async with snapshot() as view:
            return (*await LedgerVerifier().drifts(view), *await WalletVerifier(self.clock).drifts(view, extent))

    async def _credit(self, wallet_id: WalletId, amount: str, source: LotSource, expires_at: datetime | None) -> str:
        transfer_id = self.ids.new("trf")
        counter = PROMOTIONS if source.is_granted else provider_account("yookassa")
        async with self.begin() as uow:
            await self.service.credit(
                uow,
                wallet_id,
                rub(amount),
                source=source,
                transfer_id=transfer_id,
                counter_account=counter,
                origin=self.ids.new("pay"),
                expires_at=expires_at,
            )
        return transfer_id


def wallets(begin: Begin, clock: StoppedClock, ids: Ids) -> Wallets:
    """The real service over the real database, with a clock that tests move."""
    service = WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=WalletSettings())
    return Wallets(service, begin, ids, clock)
