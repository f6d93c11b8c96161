"""The refunds of one shop, and the rules by which they move."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from testkit.simulators.clock import MovableClock
from testkit.simulators.yookassa.lists import ListQuery, page_of
from testkit.simulators.yookassa.money import Amount
from testkit.simulators.yookassa.objects import Cancellation, Payment, Refund, RefundStatus
from testkit.simulators.yookassa.receipts import Receipts
from testkit.simulators.yookassa.refusals import InvalidRequest, NotFound
from testkit.simulators.yookassa.requests import NewRefund

Announce = Callable[[str, dict[str, Any]], None]
"""Tells the world about an event (`payment.succeeded`) with the object as it is at that moment."""

_REFUSED = Cancellation("refund_network", "rejected_by_payee")


class RefundMode(StrEnum):
    """What becomes of a new refund."""

    SUCCEED = "succeed"
    WAIT = "wait"
    """It stays pending until somebody ends it."""


class Refunds:
    """The refunds of one shop, in the order of their creation."""

    def __init__(
        self, clock: MovableClock, receipts: Receipts, *, new_id: Callable[[], str], announce: Announce
    ) -> None:
        self._clock = clock
        self._receipts = receipts
        self._new_id = new_id
        self._announce = announce
        self.clear()

    def clear(self) -> None:
        """Forgets all refunds; new ones succeed again."""
        self._refunds: dict[str, Refund] = {}
        self.mode = RefundMode.SUCCEED

    def begin(self, payment: Payment, asked: NewRefund) -> Refund:
        """Gives back a part of a payment, or all that is left of it.

        Raises:
            InvalidRequest: More than is left, another currency, or a payment that did not succeed.
        """
        amount = asked.amount or Amount(payment.refundable_minor, payment.amount.currency)
        if amount.currency != payment.amount.currency:
            raise InvalidRequest("Must be the currency of the payment", parameter="amount.currency")
        if not 0 < amount.minor <= payment.refundable_minor:
            raise InvalidRequest("More than can be refunded", parameter="amount.value")
        refund_id = self._new_id()
        refund = Refund(
            id=refund_id,
            payment_id=payment.id,
            amount=amount,
            created_at=self._clock.now(),
            receipt=self._receipts.begun(asked.receipt, payment_id=payment.id, refund_id=refund_id),
            description=asked.description,
            metadata=asked.metadata,
        )
        self._refunds[refund.id] = refund
        payment.refunding_minor += amount.minor
        if self.mode is RefundMode.SUCCEED:
            self._succeed(payment, refund)
        return refund

    def end(self, payment: Payment, refund: Refund, *, is_good: bool) -> Refund:
        """The customer's bank takes the money of a pending refund, or does not; of that nobody is told.

        Raises:
            InvalidRequest: It is not pending.
        """
        if refund.status is not RefundStatus.PENDING:
            raise InvalidRequest(f"Refund is {refund.status}, not pending", parameter="refund_id")
        if is_good:
            self._succeed(payment, refund)
        else:
            payment.refunding_minor -= refund.amount.minor
            refund.status, refund.cancellation = RefundStatus.CANCELED, _REFUSED
            self._receipts.call_off(refund.receipt)
        return refund

    def of_id(self, refund_id: str) -> Refund:
        """The refund of this id.

        Raises:
            NotFound: There is none.
        """
        if refund_id not in self._refunds:
            raise NotFound("Refund doesn't exist or access denied", parameter="refund_id")
        return self._refunds[refund_id]

    def all(self) -> list[Refund]:
        """Every refund, oldest first."""
        return list(self._refunds.values())

    def listed(self, query: ListQuery) -> dict[str, Any]:
        """One page of the refunds, newest first.

        Raises:
            InvalidRequest: The cursor is not one of this list.
        """
        return page_of(self._refunds, query)

    def _succeed(self, payment: Payment, refund: Refund) -> None:
        payment.refunding_minor -= refund.amount.minor
        payment.refunded_minor += refund.amount.minor
        refund.status = RefundStatus.SUCCEEDED
        self._receipts.register(refund.receipt)
        self._announce("refund.succeeded", refund.as_json())
