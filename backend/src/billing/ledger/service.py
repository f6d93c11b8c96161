"""Posting to the books, and reading them."""

from __future__ import annotations

from billing.kit.unit_of_work import UnitOfWork
from billing.ledger import repository
from billing.ledger.errors import TransferIdReused
from billing.ledger.postings import Entry, Transfer
from billing.ledger.repository import StatementLine, TransferContent

_STATEMENT_LIMIT_MAX = 200


class LedgerService:
    """The books: append only, in pairs, each transfer once."""

    async def post(self, uow: UnitOfWork, transfer: Transfer) -> bool:
        """Books the transfer; says whether it is new.

        The same id with the same content answers False and changes nothing. Whoever keeps running balances must only
        move them when the answer is True.

        Raises:
            TransferIdReused: the id is in the books with another kind, reference, correction, metadata or entries.
        """
        if await repository.insert_transfer(uow, transfer):
            return True
        await self._refuse_other_content(uow, transfer)
        return False

    async def content_of(self, uow: UnitOfWork, transfer_id: str) -> TransferContent | None:
        """What is booked under this id, or None."""
        return await repository.content_of(uow, transfer_id)

    async def statement(self, uow: UnitOfWork, wallet_id: str, *, limit: int) -> tuple[StatementLine, ...]:
        """The wallet's latest movements as its owner sees them, newest first, 200 at the most."""
        return await repository.statement(uow, wallet_id, min(limit, _STATEMENT_LIMIT_MAX))

    async def _refuse_other_content(self, uow: UnitOfWork, transfer: Transfer) -> None:
        booked = await repository.content_of(uow, transfer.transfer_id)
        assert booked is not None, "a transfer that could not be inserted is in the books"
        wanted = TransferContent(
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
