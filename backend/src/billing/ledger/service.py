"""Posting to the books, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from billing.kit.money import Money
from billing.kit.round_trips import Sending
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger import repository
from billing.ledger.chart_of_accounts import SystemAccount, WalletAccount, is_system_account
from billing.ledger.errors import LedgerAccountUnknown, TransferIdReused, TransferUnknown
from billing.ledger.postings import BookedContent, Entry, Transfer
from billing.ledger.repository import StatementLine

_STATEMENT_LIMIT_MAX = 200


class LedgerService:
    """The books: append only, in pairs, each transfer once."""

    async def post(self, uow: UnitOfWork, transfer: Transfer, *, after: Sequence[Sending] = ()) -> bool:
        """Books the transfer; says whether it is new. The statements of `after` go before it in the same round trip.

        The same id with the same content answers False and changes nothing. Whoever keeps running balances must only
        move them when the answer is True.

        Raises:
            TransferIdReused: the id is in the books with another kind, reference, correction, metadata or entries.
        """
        if await repository.insert_transfer(uow, transfer, after=after):
            return True
        await self._refuse_other_content(uow, transfer)
        return False

    async def post_new(self, uow: UnitOfWork, transfer: Transfer, *, after: Sequence[Sending] = ()) -> None:
        """Books a transfer whose id was made for it and cannot be in the books, after the statements of `after`.

        A write whose answer nobody needs: it may wait, and then fails with the commit.

        Raises:
            psycopg.errors.UniqueViolation: it is in the books all the same.
        """
        await repository.insert_new_transfer(uow, transfer, after=after)

    async def content_of(self, uow: UnitOfWork, transfer_id: str) -> BookedContent | None:
        """What is booked under this id, or None."""
        return await repository.content_of(uow, transfer_id)

    async def require_transfer_of(self, uow: UnitOfWork, wallet_id: str, transfer_id: str) -> None:
        """Lets a correction through that names a transfer of this wallet.

        Raises:
            TransferUnknown: no transfer with this id moved money of this wallet.
        """
        if not await repository.is_of_wallet(uow, wallet_id, transfer_id):
            raise TransferUnknown(transfer_id)

    async def statement(self, uow: UnitOfWork, wallet_id: str, *, limit: int) -> tuple[StatementLine, ...]:
        """The wallet's latest movements as its owner sees them, newest first, 200 at the most."""
        return await repository.statement(uow, wallet_id, min(limit, _STATEMENT_LIMIT_MAX))

    async def balances_at(self, uow: UnitOfWork, wallet_id: str, at: datetime) -> Mapping[WalletAccount, Money]:
        """What stood on the wallet's accounts at a past moment, transfers recorded at that very moment not counted.

        Accounts that had never moved are missing. Debt is a negative amount, as in the books.
        """
        return await repository.balances_at(uow, wallet_id, at)

    async def system_balances_at(self, uow: UnitOfWork, account: SystemAccount, at: datetime) -> tuple[Money, ...]:
        """What stood on a system account at a past moment, one amount per currency; summed, so it takes a while.

        Raises:
            LedgerAccountUnknown: the chart of accounts does not have it.
        """
        if not is_system_account(account):
            raise LedgerAccountUnknown(account)
        return await repository.system_balances_at(uow, account, at)

    async def _refuse_other_content(self, uow: UnitOfWork, transfer: Transfer) -> None:
        booked = await repository.content_of(uow, transfer.transfer_id)
        assert booked is not None, "a transfer that could not be inserted is in the books"
        wanted = BookedContent(
            kind=transfer.kind.value,
            reference=transfer.reference,
            corrects=transfer.corrects,
            metadata=dict(transfer.metadata),
            entries=tuple(map(_comparable, transfer.entries)),
        )
        for field in ("kind", "reference", "corrects", "metadata", "entries"):
            if getattr(booked, field) != getattr(wanted, field):
                raise TransferIdReused(transfer.transfer_id, field)


def _comparable(entry: Entry) -> str:
    """What must be equal for two entries to say the same; balances and sequences depend on when, not on what."""
    return f"{entry.account} {entry.wallet_id or '-'} {entry.amount_micros} {entry.currency}"
