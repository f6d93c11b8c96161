"""The desk where operators see which receipts the tax office does not have."""

from __future__ import annotations

from billing.customers.rules import Principal, require_operator
from billing.kit.unit_of_work import Begin
from billing.payments.receipts_checks import ReceiptChecks
from billing.payments.receipts_rules import UnregisteredReceipt


class ReceiptDesk:
    """Reads; what is failed at the provider is put right there, and seen here at the next look."""

    def __init__(self, *, begin: Begin, checks: ReceiptChecks) -> None:
        self._begin = begin
        self._checks = checks

    async def unregistered(
        self, principal: Principal, *, only_failed: bool, limit: int
    ) -> tuple[UnregisteredReceipt, ...]:
        """Receipts of money that has moved, which the tax office does not have, newest first, 200 at the most.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._checks.unregistered(uow, only_failed=only_failed, limit=limit)
