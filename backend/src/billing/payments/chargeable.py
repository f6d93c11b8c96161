"""With what an account can be charged while its owner is away, for whoever charges."""

from __future__ import annotations

from billing.customers.rules import AccountId
from billing.customers.service import CustomersService
from billing.kit.unit_of_work import UnitOfWork
from billing.payments import methods_repository
from billing.payments.ports import PaymentProvider
from billing.payments.records import SavedMethod


class ChargeableMethods:
    """The saved methods that this deployment's provider has kept and that nobody has removed."""

    def __init__(self, provider: PaymentProvider | None, customers: CustomersService) -> None:
        self._provider = provider
        self._customers = customers

    async def usable(self, uow: UnitOfWork, account_id: AccountId, method_id: str) -> SavedMethod | None:
        """The account's own method of this id; None where it has none, where it was removed, where another provider or
        shop has kept it, or where the account is closed.
        """
        method = await methods_repository.find(uow, account_id, method_id)
        if method is None or method.removed_at is not None or self._provider is None:
            return None
        if (method.provider, method.shop_id) != (self._provider.name, self._provider.shop_id):
            return None
        if (await self._customers.account(uow, account_id)).closed_at is not None:
            return None
        return SavedMethod(method.id, method.ref)

    async def kept_from(self, uow: UnitOfWork, payment_id: str) -> str | None:
        """The id of the method that was last kept when this payment succeeded; None where nothing was."""
        return await methods_repository.kept_from(uow, payment_id)

    async def is_under_way(self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, subject: str) -> bool:
        """A payment that charges a method of the account for exactly this has begun, and nobody knows how it ends."""
        return await methods_repository.is_under_way(uow, account_id, purpose=purpose, subject=subject)
