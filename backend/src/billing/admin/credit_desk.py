"""Credit by hand: grants, corrections and write-offs, each with a reason and one audit row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.admin.rules import check_amount
from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, Principal, check_reason, require_operator
from billing.customers.service import CustomersService
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.ledger.chart_of_accounts import ADJUSTMENTS, PROMOTIONS
from billing.wallets.adjustments import WalletAdjustments
from billing.wallets.models import LotSource
from billing.wallets.rules import WalletId
from billing.wallets.service import WalletService


class GrantSource(StrEnum):
    """Why credit is given: as a gift, or to put right what went wrong."""

    PROMOTION = "promotion"
    ADJUSTMENT = "adjustment"


_COUNTER_ACCOUNT = {GrantSource.PROMOTION: PROMOTIONS, GrantSource.ADJUSTMENT: ADJUSTMENTS}


@dataclass(frozen=True, slots=True)
class Given:
    """What became of the request; `is_new` is False when this key did it before and nothing changed now."""

    wallet_id: WalletId
    transfer_id: str
    is_new: bool


class CreditDesk:
    """Where operators move a customer's credit. The same key again, with the same content, changes nothing."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        customers: CustomersService,
        wallets: WalletService,
        adjustments: WalletAdjustments,
        audit: AuditTrail,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._customers = customers
        self._wallets = wallets
        self._adjustments = adjustments
        self._audit = audit

    async def grant(
        self,
        principal: Principal,
        account_id: AccountId,
        amount: Money,
        *,
        source: GrantSource,
        reason: str,
        request_id: str,
        expires_at: datetime | None = None,
        corrects: str | None = None,
        key: str | None = None,
    ) -> Given:
        """Gives credit to the account's wallet in the amount's currency; `corrects` names a transfer that it mends.

        Raises:
            Forbidden: the caller is no operator who may write.
            AccountNotFound: there is no such account.
            InvalidInput: nothing is given, there is no reason, or the credit would have expired already.
            TransferIdReused: the key stands for another grant; says which field differs.
            TransferUnknown: the wallet has no such transfer to correct.
        """
        require_operator(principal, may_write=True)
        reason, amount = check_reason(reason), check_amount(amount)
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= self._clock.now()):
            raise InvalidInput("expires_at", "Credit expires at a future moment with a time zone.")
        transfer_id = self._transfer_id("grant", key)
        async with self._begin() as uow:
            wallet_id = await self._wallet_of(uow, account_id, amount)
            credited = await self._wallets.credit(
                uow,
                wallet_id,
                amount,
                source=LotSource(source.value),
                transfer_id=transfer_id,
                counter_account=_COUNTER_ACCOUNT[source],
                origin=transfer_id,
                expires_at=expires_at,
                corrects=corrects,
            )
            if credited.is_new:
                facts = {"source": source.value, "corrects": corrects, "expires_at": _moment(expires_at)}
                await self._record(
                    uow,
                    principal,
                    "wallet.granted",
                    wallet_id,
                    amount,
                    account_id=account_id,
                    facts=facts,
                    reason=reason,
                    request_id=request_id,
                )
        return Given(wallet_id, transfer_id, credited.is_new)

    async def take_back(
        self,
        principal: Principal,
        account_id: AccountId,
        amount: Money,
        *,
        corrects: str,
        reason: str,
        request_id: str,
        key: str | None = None,
    ) -> Given:
        """Takes back what the named transfer should not have given; what is spent already becomes debt.

        Raises:
            Forbidden: the caller is no operator who may write.
            AccountNotFound: there is no such account.
            InvalidInput: nothing is taken, or there is no reason.
            TransferUnknown: the wallet has no such transfer.
            TransferIdReused: the key stands for something else; says which field differs.
        """
        require_operator(principal, may_write=True)
        reason, amount = check_reason(reason), check_amount(amount)
        transfer_id = self._transfer_id("take_back", key)
        async with self._begin() as uow:
            wallet_id = await self._wallet_of(uow, account_id, amount)
            is_new = await self._adjustments.take_back(
                uow, wallet_id, amount, corrects=corrects, transfer_id=transfer_id
            )
            if is_new:
                await self._record(
                    uow,
                    principal,
                    "wallet.taken_back",
                    wallet_id,
                    amount,
                    account_id=account_id,
                    facts={"corrects": corrects},
                    reason=reason,
                    request_id=request_id,
                )
        return Given(wallet_id, transfer_id, is_new)

    async def write_off(
        self,
        principal: Principal,
        account_id: AccountId,
        amount: Money,
        *,
        reason: str,
        request_id: str,
        key: str | None = None,
    ) -> Given:
        """Gives up so much of what the account's wallet owes.

        Raises:
            Forbidden: the caller is no operator who may write.
            AccountNotFound: there is no such account.
            InvalidInput: nothing is written off, or there is no reason.
            WriteOffExceedsDebt: the wallet owes less.
            TransferIdReused: the key stands for something else; says which field differs.
        """
        require_operator(principal, may_write=True)
        reason, amount = check_reason(reason), check_amount(amount)
        transfer_id = self._transfer_id("write_off", key)
        async with self._begin() as uow:
            wallet_id = await self._wallet_of(uow, account_id, amount)
            is_new = await self._adjustments.write_off(uow, wallet_id, amount, transfer_id=transfer_id)
            if is_new:
                await self._record(
                    uow,
                    principal,
                    "wallet.debt_written_off",
                    wallet_id,
                    amount,
                    account_id=account_id,
                    facts={},
                    reason=reason,
                    request_id=request_id,
                )
        return Given(wallet_id, transfer_id, is_new)

    def _transfer_id(self, kind: str, key: str | None) -> str:
        return f"{kind}:{key}" if key else self._ids.new(kind)

    async def _wallet_of(self, uow: UnitOfWork, account_id: AccountId, amount: Money) -> WalletId:
        await self._customers.account(uow, account_id)
        return await self._wallets.of_account(uow, account_id, amount.currency)

    async def _record(
        self,
        uow: UnitOfWork,
        principal: Principal,
        action: str,
        wallet_id: WalletId,
        amount: Money,
        *,
        account_id: AccountId,
        facts: Mapping[str, object],
        reason: str,
        request_id: str,
    ) -> None:
        """One row, with the balance as it is now; what it was before follows from the amount."""
        balance = await self._wallets.balance(uow, wallet_id)
        after = {"amount": str(amount), "available": str(balance.available), "debt": str(balance.debt), **facts}
        await self._audit.record(
            uow,
            principal,
            action=action,
            target=wallet_id,
            before=None,
            after=after,
            reason=reason,
            request_id=request_id,
            account_id=account_id,
        )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
