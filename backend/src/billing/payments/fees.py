"""What a provider keeps for its work, in the books: once for each payment, when the provider has said it."""

from __future__ import annotations

from dataclasses import replace

from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.statements import sent
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import PROVIDER_FEES, provider_account
from billing.ledger.postings import Entry, Transfer, TransferKind
from billing.ledger.service import LedgerService
from billing.payments import repository
from billing.payments.records import Payment


class ProviderFees:
    """A participant in the transaction that holds the payment's lock."""

    def __init__(self, *, ledger: LedgerService, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def book(self, uow: UnitOfWork, payment: Payment, fee: Money) -> Payment:
        """Books the first fee that the provider says; another one later stays a difference for a person to look at.

        Clearing shrinks by it, because the provider will never pay this part out. A fee in another currency than the
        payment's is not taken from this clearing account, and is left out (G18).
        """
        if payment.fee is not None or fee.currency != payment.amount.currency:
            return payment
        now = self._clock.now()
        change = repository.changing(payment.id, at=now, fee_micros=fee.micros)
        if fee.micros:
            entries = (
                Entry(provider_account(payment.provider), fee.micros, fee.currency),
                Entry(PROVIDER_FEES, -fee.micros, fee.currency),
            )
            transfer = Transfer(f"fee:{payment.id}", TransferKind.PROVIDER_FEE, now, payment.id, entries)
            await self._ledger.post(uow, transfer, after=(change,))
        else:
            await sent(uow, change)
        return replace(payment, fee=fee)
