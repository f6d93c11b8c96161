"""One test shop at the provider: its payments and refunds and the rules by which they move."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from testkit.simulators.clock import MovableClock
from testkit.simulators.yookassa.objects import Amount, Cancellation, NewPayment, Payment, PaymentStatus, Refund
from testkit.simulators.yookassa.refusals import InvalidRequest, NotFound
from testkit.simulators.yookassa.requests import ListQuery, NewRefund

Announce = Callable[[str, dict[str, Any]], None]
"""Tells the world about an event (`payment.succeeded`) with the object as it is at that moment."""

CHECKOUT_PATH = "/checkout/payments/v2/contract"
DECLINED = Cancellation("payment_network", "general_decline")

_CONFIRM_WITHIN = timedelta(hours=1)
_CAPTURE_WITHIN = timedelta(days=7)
_EPOCH_OF_IDS = datetime(2000, 1, 1, tzinfo=UTC)
_PAYMENT_KIND = "000f"
_REFUND_KIND = "0015"
_ERROR_KIND = "000d"


class Shop:
    """The payments and refunds of one shop, in the order of their creation.

    Ids come from the seed, so that equal calls in equal order give equal ids (but for their leading seconds).
    """

    def __init__(self, shop_id: str, *, seed: int, clock: MovableClock, announce: Announce) -> None:
        self.id = shop_id
        self._seed = seed
        self._clock = clock
        self._announce = announce
        self._start_over()

    def _start_over(self) -> None:
        self._chance = random.Random(self._seed)  # noqa: S311 - ids shall repeat with the seed
        self._payments: dict[str, Payment] = {}
        self._refunds: dict[str, Refund] = {}

    def clear(self) -> None:
        """Forgets everything and begins again from the seed."""
        self._start_over()

    def create_payment(self, asked: NewPayment, *, public_url: str) -> Payment:
        """A new pending payment whose payment page lies under `public_url`."""
        payment_id = self._new_id(_PAYMENT_KIND)
        now = self._clock.now()
        payment = Payment(
            id=payment_id,
            shop_id=self.id,
            asked=asked,
            amount=asked.amount,
            confirmation_url=f"{public_url}{CHECKOUT_PATH}?orderId={payment_id}",
            created_at=now,
            confirm_until=now + _CONFIRM_WITHIN,
            capture_until=now + _CAPTURE_WITHIN,
        )
        self._payments[payment_id] = payment
        return payment

    def payment(self, payment_id: str) -> Payment:
        """The payment in its current status.

        Raises:
            NotFound: There is none of this id.
        """
        self.let_things_expire()
        if payment_id not in self._payments:
            raise NotFound("Payment doesn't exist or access denied", parameter="payment_id")
        return self._payments[payment_id]

    def pay(self, payment_id: str) -> Payment:
        """The customer pays: the money is taken, or reserved where the shop wants to capture it itself.

        Raises:
            InvalidRequest: The payment is not pending.
        """
        payment = self._in_status(payment_id, PaymentStatus.PENDING)
        payment.authorization = {
            "rrn": f"{self._chance.randrange(10**12):012d}",
            "auth_code": f"{self._chance.randrange(10**6):06d}",
            "three_d_secure": {
                "applied": False,
                "protocol": "none",
                "method_completed": False,
                "challenge_completed": False,
            },
        }
        if payment.asked.capture:
            self._succeed(payment)
        else:
            payment.status = PaymentStatus.WAITING_FOR_CAPTURE
            payment.capture_until = self._clock.now() + _CAPTURE_WITHIN
            self._announce("payment.waiting_for_capture", payment.as_json())
        return payment

    def decline(self, payment_id: str, why: Cancellation = DECLINED) -> Payment:
        """The customer's bank refuses: the payment is cancelled for good.

        Raises:
            InvalidRequest: The payment is not pending.
        """
        payment = self._in_status(payment_id, PaymentStatus.PENDING)
        self._cancel(payment, why)
        return payment

    def capture(self, payment_id: str, amount: Amount | None) -> Payment:
        """The shop takes the reserved money, or a part of it; the rest is given back.

        Raises:
            InvalidRequest: Nothing is reserved, or the amount is of another currency or larger than what is.
        """
        payment = self._in_status(payment_id, PaymentStatus.WAITING_FOR_CAPTURE)
        if amount is not None:
            if amount.currency != payment.amount.currency or amount.minor > payment.amount.minor:
                raise InvalidRequest("More than was authorized, or another currency", parameter="amount")
            payment.amount = amount
        self._succeed(payment)
        return payment

    def cancel(self, payment_id: str) -> Payment:
        """The shop gives the reserved money back.

        Raises:
            InvalidRequest: Nothing is reserved; a pending payment cannot be cancelled by the shop.
        """
        payment = self._in_status(payment_id, PaymentStatus.WAITING_FOR_CAPTURE)
        self._cancel(payment, Cancellation("merchant", "canceled_by_merchant"))
        return payment

    def refund(self, asked: NewRefund) -> Refund:
        """Gives back a part of a payment, or all that is left of it.

        Raises:
            NotFound: There is no such payment.
            InvalidRequest: More than is left, another currency, or a payment that did not succeed.
        """
        payment = self.payment(asked.payment_id)
        amount = asked.amount or Amount(payment.refundable_minor, payment.amount.currency)
        if amount.currency != payment.amount.currency:
            raise InvalidRequest("Must be the currency of the payment", parameter="amount.currency")
        if not 0 < amount.minor <= payment.refundable_minor:
            raise InvalidRequest("More than can be refunded", parameter="amount.value")
        payment.refunded_minor += amount.minor
        refund = Refund(
            id=self._new_id(_REFUND_KIND),
            payment_id=payment.id,
            amount=amount,
            created_at=self._clock.now(),
            description=asked.description,
            metadata=asked.metadata,
        )
        self._refunds[refund.id] = refund
        self._announce("refund.succeeded", refund.as_json())
        return refund

    def refund_of_id(self, refund_id: str) -> Refund:
        """The refund of this id.

        Raises:
            NotFound: There is none.
        """
        if refund_id not in self._refunds:
            raise NotFound("Refund doesn't exist or access denied", parameter="refund_id")
        return self._refunds[refund_id]

    def let_things_expire(self) -> None:
        """Cancels what was not confirmed within an hour or not captured within seven days."""
        now = self._clock.now()
        for payment in self._payments.values():
            if payment.status is PaymentStatus.PENDING and now >= payment.confirm_until:
                self._cancel(payment, Cancellation("yoo_money", "expired_on_confirmation"))
            elif payment.status is PaymentStatus.WAITING_FOR_CAPTURE and now >= payment.capture_until:
                self._cancel(payment, Cancellation("yoo_money", "expired_on_capture"))

    def expire_now(self, payment_id: str) -> Payment:
        """Lets one pending payment expire as if its hour had passed.

        Raises:
            InvalidRequest: The payment is not pending.
        """
        return self.decline(payment_id, Cancellation("yoo_money", "expired_on_confirmation"))

    def list_payments(self, query: ListQuery) -> dict[str, Any]:
        """One page of the payments, newest first.

        Raises:
            InvalidRequest: The cursor is not one of this list.
        """
        self.let_things_expire()
        return _page(self._payments, query)

    def list_refunds(self, query: ListQuery) -> dict[str, Any]:
        """One page of the refunds, newest first.

        Raises:
            InvalidRequest: The cursor is not one of this list.
        """
        return _page(self._refunds, query)

    def all_payments(self) -> list[Payment]:
        """Every payment, oldest first."""
        self.let_things_expire()
        return list(self._payments.values())

    def all_refunds(self) -> list[Refund]:
        """Every refund, oldest first."""
        return list(self._refunds.values())

    def new_error_id(self) -> str:
        """An id for an error answer, which the provider's support could ask for."""
        return self._new_id(_ERROR_KIND)

    def _in_status(self, payment_id: str, status: PaymentStatus) -> Payment:
        payment = self.payment(payment_id)
        if payment.status is not status:
            raise InvalidRequest(f"Payment is {payment.status}, not {status}", parameter="payment_id")
        return payment

    def _succeed(self, payment: Payment) -> None:
        payment.status = PaymentStatus.SUCCEEDED
        payment.captured_at = self._clock.now()
        self._announce("payment.succeeded", payment.as_json())

    def _cancel(self, payment: Payment, why: Cancellation) -> None:
        payment.status = PaymentStatus.CANCELED
        payment.cancellation = why
        self._announce("payment.canceled", payment.as_json())

    def _new_id(self, kind: str) -> str:
        seconds = int((self._clock.now() - _EPOCH_OF_IDS).total_seconds())
        variant = 0x8000 + self._chance.randrange(0x4000)
        return f"{seconds:08x}-{kind}-5000-{variant:04x}-{self._chance.randrange(16**12):012x}"


def _page(objects: Mapping[str, Payment | Refund], query: ListQuery) -> dict[str, Any]:
    newest_first = list(objects.values())[::-1]
    if query.cursor is not None:
        if query.cursor not in objects:
            raise InvalidRequest("Unknown cursor", parameter="cursor")
        last_seen = next(index for index, item in enumerate(newest_first) if item.id == query.cursor)
        newest_first = newest_first[last_seen + 1 :]
    found = [item for item in newest_first if _admits(query, item)]
    page = found[: query.limit]
    answer: dict[str, Any] = {"type": "list", "items": [item.as_json() for item in page]}
    if len(found) > len(page):
        answer["next_cursor"] = page[-1].id
    return answer


def _admits(query: ListQuery, item: Payment | Refund) -> bool:
    body = item.as_json()
    return all(body.get(name) == value for name, value in query.equals.items()) and all(
        bound.admits(getattr(item, bound.member, None)) for bound in query.bounds
    )
