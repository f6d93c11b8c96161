"""What accounts are told about their payments."""

from __future__ import annotations

from billing.kit.unit_of_work import UnitOfWork
from billing.payments.records import Dispute, Payment, Refund
from billing.payments.rules import DisputeStatus
from billing.wallets.alerts import EventKind
from billing.wallets.events import BillingEvents
from billing.wallets.rules import WalletId
from billing.wallets.service import WalletService

_OF_DISPUTE = {
    DisputeStatus.OPEN: EventKind.DISPUTE_OPENED,
    DisputeStatus.LOST: EventKind.DISPUTE_LOST,
    DisputeStatus.WON: EventKind.DISPUTE_WON,
}


class PaymentNews:
    """Records events in the transaction in which they come true; each is told once, however often it is heard of."""

    def __init__(self, *, wallets: WalletService, events: BillingEvents) -> None:
        self._wallets = wallets
        self._events = events

    async def credited(self, uow: UnitOfWork, payment: Payment, wallet_id: WalletId) -> None:
        """A top-up was paid and credited to this wallet."""
        await self._record(uow, payment, wallet_id, EventKind.TOPUP_CREDITED, payment.id, {})

    async def failed(self, uow: UnitOfWork, payment: Payment) -> None:
        """A payment ended without money."""
        assert payment.cancellation is not None, "a payment that ended without money says why"
        await self._tell(uow, payment, EventKind.PAYMENT_FAILED, payment.id, {"reason": payment.cancellation.value})

    async def stuck(self, uow: UnitOfWork, payment: Payment) -> None:
        """Nothing final was heard of a payment for so long that nobody asks any more."""
        await self._tell(uow, payment, EventKind.PAYMENT_STUCK, payment.id, {})

    async def refunded(self, uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
        """Money of a payment was given back."""
        facts = {"refund_id": refund.id, "amount": refund.amount.to_decimal()}
        await self._tell(uow, payment, EventKind.REFUND_SUCCEEDED, refund.id, facts)

    async def refund_failed(self, uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
        """A refund gave nothing back, or what it gave came back."""
        facts = {"refund_id": refund.id, "amount": refund.amount.to_decimal()}
        await self._tell(uow, payment, EventKind.REFUND_FAILED, refund.id, facts)

    async def disputed(self, uow: UnitOfWork, payment: Payment, dispute: Dispute) -> None:
        """A dispute has come to stand where it stands."""
        facts = {"dispute_id": dispute.id, "amount": dispute.amount.to_decimal()}
        await self._tell(uow, payment, _OF_DISPUTE[dispute.state], dispute.id, facts)

    async def _tell(
        self, uow: UnitOfWork, payment: Payment, kind: EventKind, subject: str, facts: dict[str, str]
    ) -> None:
        wallet_id = await self._wallets.of_account(uow, payment.account_id, payment.amount.currency)
        await self._record(uow, payment, wallet_id, kind, subject, facts)

    async def _record(
        self,
        uow: UnitOfWork,
        payment: Payment,
        wallet_id: WalletId,
        kind: EventKind,
        subject: str,
        facts: dict[str, str],
    ) -> None:
        payload = {
            "payment_id": payment.id,
            "purpose": payment.purpose,
            "amount": payment.amount.to_decimal(),
            "currency": payment.amount.currency,
            **facts,
        }
        await self._events.record(uow, wallet_id, kind, subject=subject, payload=payload)
