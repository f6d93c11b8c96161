"""The desk where operators look at one payment and give money back."""

from __future__ import annotations

from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, Principal, check_reason, require_operator
from billing.kit.idempotency import digest_of
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments.records import Dispute, KeyClaim, Payment, Refund
from billing.payments.refunds import PaymentFile, RefundService, RefundWish

_OPERATION = "payments.refund"


class PaymentDesk:
    """Refunds are for operators alone, each with a reason and one audit row; customers ask them."""

    def __init__(self, *, begin: Begin, refunds: RefundService, audit: AuditTrail) -> None:
        self._begin = begin
        self._refunds = refunds
        self._audit = audit

    async def payment(self, principal: Principal, payment_id: str) -> PaymentFile:
        """Everything that our books have about one payment.

        Raises:
            Forbidden: the caller is no operator.
            PaymentNotFound: there is no such payment.
        """
        require_operator(principal, may_write=False)
        return await self._refunds.file(payment_id)

    async def standing_disputes(self, principal: Principal, account_id: AccountId) -> tuple[Dispute, ...]:
        """The disputes that flag an account: those that are open or lost.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._refunds.standing_disputes(uow, account_id)

    async def refund(
        self,
        principal: Principal,
        payment_id: str,
        amount: Money | None,
        *,
        is_overdraft: bool = False,
        reason: str,
        request_id: str,
        key: str | None = None,
    ) -> Refund:
        """Gives money back, all that can be where there is no amount; the same key again answers the same refund.

        Without a key the same refund is not begun twice while it is on its way. Answered `created` or `pending`, it
        ends without anybody's doing; the customer's credit goes when the provider confirms it.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason, or the amount cannot be paid out.
            PaymentNotFound, PaymentNotRefundable, RefundExceedsPayment, RefundExceedsUnspent: it cannot be given back.
            IdempotencyKeyReused: the key came before for another refund.
            PaymentsNotConfigured, ProviderObjectUnknown: who took the money is not connected.
            PaymentUnderReview: the provider gave something else back than it was asked for.
        """
        require_operator(principal, may_write=True)
        wish = RefundWish(payment_id, amount, is_overdraft, check_reason(reason))

        async def audited(uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
            await self._audit.record(
                uow,
                principal,
                action="payment.refund_begun",
                target=payment.id,
                before={"state": payment.state.value, "refunded": str(payment.refunded)},
                after={"refund_id": refund.id, "amount": str(refund.amount), "is_overdraft": is_overdraft},
                reason=wish.reason,
                request_id=request_id,
                account_id=payment.account_id,
            )

        claimed = None if key is None else (principal.account_id, KeyClaim(_OPERATION, key, _digest(wish)))
        return await self._refunds.begin(wish, key=claimed, when_new=audited)


def _digest(wish: RefundWish) -> str:
    return digest_of(
        {
            "payment_id": wish.payment_id,
            "amount": "all" if wish.amount is None else str(wish.amount),
            "is_overdraft": str(wish.is_overdraft),
        }
    )
