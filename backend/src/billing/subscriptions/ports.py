"""What subscriptions need of those who keep payment methods."""

from __future__ import annotations

from typing import Protocol

from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.records import SavedMethod


class SavedMethods(Protocol):
    """Knows with what an account can be charged while its owner is away."""

    async def usable(self, uow: UnitOfWork, account_id: AccountId, method_id: str) -> SavedMethod | None:
        """The account's own method of this id; None where it may not be charged (any more)."""
        ...

    async def kept_from(self, uow: UnitOfWork, payment_id: str) -> str | None:
        """The id of the method that was kept when this payment succeeded; None where nothing was kept."""
        ...

    async def is_under_way(self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, subject: str) -> bool:
        """A payment of the account for exactly this has begun, and nobody knows yet how it ends."""
        ...
