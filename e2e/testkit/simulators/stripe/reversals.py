"""How money goes back: refunds, which the account gives, and disputes, by which a customer's bank takes it."""

from testkit.simulators.stripe.books import Books
from testkit.simulators.stripe.objects import Charge, Dispute, DisputeStatus, Intent, Refund, RefundStatus
from testkit.simulators.stripe.refusals import InvalidRequest
from testkit.simulators.stripe.requests import NewRefund

_OPEN = frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.WARNING_NEEDS_RESPONSE})
_STANDING = frozenset({RefundStatus.PENDING, RefundStatus.SUCCEEDED})


class Reversals:
    """Refunds and disputes of one account; with `are_refunds_held` new refunds stay pending until they are ended."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.clear()

    def clear(self) -> None:
        """Refunds succeed at once again."""
        self.are_refunds_held = False

    def refund(self, asked: NewRefund) -> Refund:
        """Gives back a part of a charge, or all that is left of it.

        Raises:
            NotFound: there is no such intent or charge.
            InvalidRequest: more than is left, or nothing was taken.
        """
        books = self._books
        charge = self._charge_of(asked.of)
        amount = charge.refundable if asked.amount is None else asked.amount
        if not 0 < amount <= charge.refundable:
            raise InvalidRequest("Greater than the unrefunded amount on the charge", parameter="amount")
        charge.amount_refunded += amount
        refund = books.add(
            Refund(
                id=books.new_id("re"),
                created=books.now(),
                metadata=asked.metadata,
                amount=amount,
                currency=charge.currency,
                charge=charge.id,
                payment_intent=charge.payment_intent,
                status=RefundStatus.PENDING if self.are_refunds_held else RefundStatus.SUCCEEDED,
                reason=asked.reason,
            )
        )
        books.announce("refund.created", refund)
        books.announce("charge.refunded", charge)
        return refund

    def end_refund(self, refund_id: str, *, is_good: bool) -> Refund:
        """A refund arrives, or comes back, which may also happen to one that had succeeded.

        Raises:
            NotFound: there is none of this id.
            InvalidRequest: it has ended in this way, or has failed.
        """
        refund = self._books.get(Refund, refund_id)
        wanted = RefundStatus.SUCCEEDED if is_good else RefundStatus.FAILED
        if refund.status not in _STANDING or refund.status is wanted:
            raise InvalidRequest(f"The refund is {refund.status}", parameter="id")
        refund.status = wanted
        if not is_good:
            self._books.get(Charge, refund.charge).amount_refunded -= refund.amount
        self._books.announce("refund.updated", refund)
        if not is_good:
            self._books.announce("refund.failed", refund)
        return refund

    def dispute(self, of: str, *, amount: int | None = None, is_warning: bool = False) -> Dispute:
        """The bank wants the money of a charge back, or with a warning, asks about it first.

        Raises:
            NotFound: there is no such intent or charge.
        """
        books = self._books
        charge = self._charge_of(of)
        charge.is_disputed = True
        dispute = books.add(
            Dispute(
                id=books.new_id("du"),
                created=books.now(),
                amount=charge.amount_captured if amount is None else amount,
                currency=charge.currency,
                charge=charge.id,
                payment_intent=charge.payment_intent,
                status=DisputeStatus.WARNING_NEEDS_RESPONSE if is_warning else DisputeStatus.NEEDS_RESPONSE,
            )
        )
        books.announce("charge.dispute.created", dispute)
        if not is_warning:
            books.announce("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, dispute_id: str, *, is_won: bool) -> Dispute:
        """The bank decides.

        Raises:
            NotFound: there is none of this id.
            InvalidRequest: it is closed.
        """
        dispute = self._books.get(Dispute, dispute_id)
        if dispute.status not in _OPEN:
            raise InvalidRequest(f"The dispute is {dispute.status}", parameter="id")
        if dispute.status is DisputeStatus.WARNING_NEEDS_RESPONSE and is_won:
            dispute.status = DisputeStatus.WARNING_CLOSED
        else:
            dispute.status = DisputeStatus.WON if is_won else DisputeStatus.LOST
        self._books.announce("charge.dispute.closed", dispute)
        if dispute.status is DisputeStatus.WON:
            self._books.announce("charge.dispute.funds_reinstated", dispute)
        return dispute

    def _charge_of(self, of: str) -> Charge:
        if of.startswith("ch_"):
            return self._books.get(Charge, of, parameter="charge")
        intent = self._books.get(Intent, of, parameter="payment_intent")
        if intent.latest_charge is None:
            raise InvalidRequest("This PaymentIntent does not have a successful charge", parameter="payment_intent")
        return self._books.get(Charge, intent.latest_charge)
