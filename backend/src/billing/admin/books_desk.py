"""The books as they were: what stood on a wallet or on a system account at any past moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from billing.customers.rules import Principal, require_operator
from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin
from billing.ledger.chart_of_accounts import SystemAccount, WalletAccount
from billing.ledger.service import LedgerService


class BooksDesk:
    """Reads the books for operators; each answer is one statement, so it is of one moment."""

    def __init__(self, *, begin: Begin, ledger: LedgerService) -> None:
        self._begin = begin
        self._ledger = ledger

    async def wallet_at(self, principal: Principal, wallet_id: str, at: datetime) -> Mapping[WalletAccount, Money]:
        """What stood on each of the wallet's accounts that had moved before the moment; debt is negative.

        Raises:
            Forbidden: the caller is no operator.
            InvalidInput: the moment has no time zone.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._ledger.balances_at(uow, wallet_id, check_moment(at))

    async def account_at(self, principal: Principal, account: str, at: datetime) -> tuple[Money, ...]:
        """What stood on the system account before the moment, one amount per currency.

        Raises:
            Forbidden: the caller is no operator.
            InvalidInput: the moment has no time zone.
            LedgerAccountUnknown: the chart of accounts does not have it.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._ledger.system_balances_at(uow, SystemAccount(account), check_moment(at))


def check_moment(at: datetime) -> datetime:
    """A moment that everybody reads alike.

    Raises:
        InvalidInput: it has no time zone.
    """
    if at.tzinfo is None:
        raise InvalidInput("at", "A moment needs its time zone, such as 2026-07-06T12:00:00Z.")
    return at
