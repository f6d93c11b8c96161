"""One test shop at the provider: its payments and refunds and the rules by which they move."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from testkit.simulators.clock import MovableClock
from testkit.simulators.yookassa.lists import ListQuery, page_of
from testkit.simulators.yookassa.methods import SavedMethod, SavedMethods
from testkit.simulators.yookassa.money import Amount
from testkit.simulators.yookassa.objects import Cancellation, NewPayment, Payment, PaymentStatus, Refund
from testkit.simulators.yookassa.receipts import Receipts
from testkit.simulators.yookassa.refunds import Announce, Refunds
from testkit.simulators.yookassa.refusals import InvalidRequest, NotFound
from testkit.simulators.yookassa.requests import NewRefund

CHECKOUT_PATH = "/checkout/payments/v2/contract"
CHALLENGE_PATH = "/checkout/payments/v2/3ds"
PAYMENT_NETWORK = "payment_network"
DECLINED = Cancellation(PAYMENT_NETWORK, "general_decline")

_UNPROVEN = Cancellation(PAYMENT_NETWORK, "3d_secure_failed")
_CONFIRM_WITHIN = timedelta(hours=1)
_CAPTURE_WITHIN = timedelta(days=7)
_EPOCH_OF_IDS = datetime(2000, 1, 1, tzinfo=UTC)
_PAYMENT_KIND = "000f"
_REFUND_KIND = "0015"
_RECEIPT_KIND = "000e"
_ERROR_KIND = "000d"


class Shop:
    """The payments and refunds of one shop, in the order of their creation.

    Ids come from the seed, so that equal calls in equal order give equal ids (but for their leading seconds).
    """

    def __init__(
        self, shop_id: str, *, seed: int, clock: MovableClock, announce: Announce, is_test: bool = True
    ) -> None:
        self.id = shop_id
        self.is_test = is_test
        self._seed = seed
        self._clock = clock
        self._announce = announce
        self.methods = SavedMethods()
        self.receipts = Receipts(clock, lambda: self._new_id(_RECEIPT_KIND))
        self.refunds = Refunds(clock, self.receipts, new_id=lambda: self._new_id(_REFUND_KIND), announce=announce)
        self._start_over()

    def _start_over(self) -> None:
        self._chance = random.Random(self._seed)  # noqa: S311 - ids shall repeat with the seed
        self._payments: dict[str, Payment] = {}

    def clear(self) -> None:
        """Forgets everything and begins again from the seed."""
        self._start_over()
        for part in (self.methods, self.receipts, self.refunds):
            part.clear()

    def create_payment(self, asked: NewPayment, *, public_url: str) -> Payment:
        """A new payment: pending, with its page under `public_url`; over at once where it charges what is saved.

        Raises:
            InvalidRequest: The saved method does not exist.
        """
        method = None if asked.method_id is None else self.methods.to_charge(asked.method_id)
        payment_id = self._new_id(_PAYMENT_KIND)
        now = self._clock.now()
        payment = Payment(
            id=payment_id,
            shop_id=self.id,
            is_test=self.is_test,
            asked=asked,
            amount=asked.amount,
            confirmation_url=None if method else f"{public_url}{CHECKOUT_PATH}?orderId={payment_id}",
            created_at=now,
            confirm_until=now + _CONFIRM_WITHIN,
            capture_until=now + _CAPTURE_WITHIN,
            receipt=self.receipts.begun(asked.receipt, payment_id=payment_id),
        )
        self._payments[payment_id] = payment
        if method is not None:
            self._charge(payment, method)
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

    def pay(self, payment_id: str, *, is_proven: bool = False) -> Payment:
        """The customer pays: the money is taken, or reserved where the shop wants to capture it itself.

        `is_proven` says that their bank had them prove who they are (3-D Secure).

        Raises:
            InvalidRequest: The payment is not pending.
        """
        payment = self._in_status(payment_id, PaymentStatus.PENDING)
        self._authorize(payment, is_proven=is_proven)
        return payment

    def challenge(self, payment_id: str) -> Payment:
        """The customer's bank wants a proof before it pays (3-D Secure); the payment stays pending.

        Raises:
            InvalidRequest: The payment is not pending.
        """
        payment = self._in_status(payment_id, PaymentStatus.PENDING)
        payment.is_challenged = True
        return payment

    def answer_challenge(self, payment_id: str, *, is_right: bool) -> Payment:
        """The customer gives the proof, or a wrong one.

        Raises:
            InvalidRequest: The payment is not pending, or nobody asked for a proof.
        """
        payment = self._in_status(payment_id, PaymentStatus.PENDING)
        if not payment.is_challenged:
            raise InvalidRequest("Nobody asked for 3-D Secure", parameter="payment_id")
        payment.is_challenged = False
        return self.pay(payment_id, is_proven=True) if is_right else self.decline(payment_id, _UNPROVEN)

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
        return self.refunds.begin(self.payment(asked.payment_id), asked)

    def end_refund(self, refund_id: str, *, is_good: bool) -> Refund:
        """A pending refund succeeds, or is cancelled.

        Raises:
            NotFound: There is no such refund.
            InvalidRequest: It is not pending.
        """
        refund = self.refunds.of_id(refund_id)
        return self.refunds.end(self.payment(refund.payment_id), refund, is_good=is_good)

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
        return page_of(self._payments, query)

    def all_payments(self) -> list[Payment]:
        """Every payment, oldest first."""
        self.let_things_expire()
        return list(self._payments.values())

    def new_error_id(self) -> str:
        """An id for an error answer, which the provider's support could ask for."""
        return self._new_id(_ERROR_KIND)

    def _in_status(self, payment_id: str, status: PaymentStatus) -> Payment:
        payment = self.payment(payment_id)
        if payment.status is not status:
            raise InvalidRequest(f"Payment is {payment.status}, not {status}", parameter="payment_id")
        return payment

    def _charge(self, payment: Payment, method: SavedMethod) -> None:
        """A saved method is charged without its owner: its bank says yes or no at once."""
        if method.refusal is None:
            self._authorize(payment, is_proven=False)
        else:
            self._cancel(payment, Cancellation(PAYMENT_NETWORK, method.refusal))

    def _authorize(self, payment: Payment, *, is_proven: bool) -> None:
        payment.authorization = {
            "rrn": f"{self._chance.randrange(10**12):012d}",
            "auth_code": f"{self._chance.randrange(10**6):06d}",
            "three_d_secure": {
                "applied": is_proven,
                "protocol": "v2" if is_proven else "none",
                "method_completed": is_proven,
                "challenge_completed": is_proven,
            },
        }
        if payment.asked.capture:
            self._succeed(payment)
        else:
            payment.status = PaymentStatus.WAITING_FOR_CAPTURE
            payment.capture_until = self._clock.now() + _CAPTURE_WITHIN
            self._announce("payment.waiting_for_capture", payment.as_json())

    def _succeed(self, payment: Payment) -> None:
        payment.status = PaymentStatus.SUCCEEDED
        payment.captured_at = self._clock.now()
        if payment.asked.saves_method:
            self.methods.save(payment.method_id)
        self.receipts.register(payment.receipt)
        self._announce("payment.succeeded", payment.as_json())

    def _cancel(self, payment: Payment, why: Cancellation) -> None:
        payment.status = PaymentStatus.CANCELED
        payment.cancellation = why
        self.receipts.call_off(payment.receipt)
        self._announce("payment.canceled", payment.as_json())

    def _new_id(self, kind: str) -> str:
        seconds = int((self._clock.now() - _EPOCH_OF_IDS).total_seconds())
        variant = 0x8000 + self._chance.randrange(0x4000)
        return f"{seconds:08x}-{kind}-5000-{variant:04x}-{self._chance.randrange(16**12):012x}"
