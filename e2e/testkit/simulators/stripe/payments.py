"""How payments come about: by a Checkout session, in which a customer pays, or by an intent that names a kept card."""

from typing import Any

from testkit.simulators.stripe.books import Books
from testkit.simulators.stripe.objects import (
    BalanceTransaction,
    Charge,
    Customer,
    Intent,
    IntentStatus,
    PaymentMethod,
    Session,
    SessionMode,
    SessionStatus,
)
from testkit.simulators.stripe.refusals import CardRefused, InvalidRequest
from testkit.simulators.stripe.requests import NewIntent, NewSession, is_captured_by_hand

CHECKOUT_PATH = "/c/pay"
REFUSAL = "generic_decline"
NEEDS_OWNER = "authentication_required"

_CANCELLABLE = frozenset(IntentStatus) - {IntentStatus.SUCCEEDED, IntentStatus.CANCELED, IntentStatus.PROCESSING}
_TEST_CARDS = {
    "pm_card_visa": None,
    "pm_card_chargeDeclined": REFUSAL,
    "pm_card_authenticationRequired": NEEDS_OWNER,
}
"""Payment methods that every test account has (source: the provider's page of test cards), and how each is refused."""


class Payments:
    """Sessions, intents, charges and cards of one account."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def create_customer(self, *, email: str | None, name: str | None, metadata: dict[str, str]) -> Customer:
        """A new customer."""
        books = self._books
        return books.add(
            Customer(id=books.new_id("cus"), created=books.now(), email=email, name=name, metadata=metadata)
        )

    def create_session(self, asked: NewSession, *, public_url: str) -> Session:
        """A new open session, whose page lies under `public_url`.

        Raises:
            NotFound: there is no such customer.
        """
        books = self._books
        if asked.customer is not None:
            books.get(Customer, asked.customer, parameter="customer")
        session_id = books.new_id("cs_test")
        return books.add(
            Session(
                id=session_id,
                created=books.now(),
                metadata=asked.metadata,
                amount_total=asked.amount,
                currency=asked.currency,
                url=f"{public_url}{CHECKOUT_PATH}/{session_id}",
                success_url=asked.success_url.replace("{CHECKOUT_SESSION_ID}", session_id),
                cancel_url=asked.cancel_url,
                expires_at=asked.expires_at,
                product=asked.product,
                client_reference_id=asked.client_reference_id,
                customer=asked.customer,
                intent_data=asked.intent_data,
            )
        )

    def add_session_of_others(self, mode: SessionMode) -> Session:
        """A session that another program of this account began, and that is over."""
        books = self._books
        return books.add(
            Session(
                id=books.new_id("cs_test"),
                created=books.now(),
                mode=mode,
                amount_total=1000,
                currency="usd",
                url="",
                success_url="https://elsewhere.example/",
                cancel_url=None,
                expires_at=books.now(),
                product="Something else",
                status=SessionStatus.COMPLETE,
                is_paid=True,
            )
        )

    def session(self, session_id: str) -> Session:
        """The session as it is now.

        Raises:
            NotFound: there is none of this id.
        """
        self.let_things_expire()
        return self._books.get(Session, session_id, parameter="session")

    def expire(self, session_id: str) -> Session:
        """Ends an open session: nobody can pay on its page any more.

        Raises:
            InvalidRequest: it is not open.
        """
        session = self.open_session(session_id)
        self._expire(session)
        return session

    def let_things_expire(self) -> None:
        """Ends the sessions whose time is over."""
        now = self._books.now()
        for session in self._books.all(Session):
            if session.status is SessionStatus.OPEN and now >= session.expires_at:
                self._expire(session)

    def _expire(self, session: Session) -> None:
        session.status = SessionStatus.EXPIRED
        if session.payment_intent is not None:
            self._cancel(self._books.get(Intent, session.payment_intent), "abandoned")
        self._books.announce("checkout.session.expired", session)

    def open_session(self, session_id: str) -> Session:
        """The session, on which somebody can pay.

        Raises:
            InvalidRequest: it is not open.
        """
        session = self.session(session_id)
        if session.status is not SessionStatus.OPEN:
            raise InvalidRequest(f"This session has a status of {session.status}.", parameter="session")
        return session

    def pay(self, session_id: str) -> Session:
        """The customer pays on the session's page.

        Raises:
            InvalidRequest: it is not open.
        """
        session = self.open_session(session_id)
        intent = self._intent_of(session)
        self._charge(intent, self._card_of(session, intent))
        session.status = SessionStatus.COMPLETE
        session.is_paid = intent.status is IntentStatus.SUCCEEDED
        self._books.announce("checkout.session.completed", session)
        return session

    def refuse_card(self, session_id: str, code: str = REFUSAL) -> Session:
        """The bank refuses the customer's card; another one can be tried, for the session stays open.

        Raises:
            InvalidRequest: it is not open.
        """
        session = self.open_session(session_id)
        intent = self._intent_of(session)
        self._refuse(intent, self._card_of(session, intent), code)
        return session

    def ask_for_owner(self, session_id: str) -> Session:
        """The bank wants to see the customer (3-D Secure) before it decides.

        Raises:
            InvalidRequest: it is not open.
        """
        session = self.open_session(session_id)
        intent = self._intent_of(session)
        intent.status = IntentStatus.REQUIRES_ACTION
        self._books.announce("payment_intent.requires_action", intent)
        return session

    def begin_slowly(self, session_id: str) -> Session:
        """The customer pays with something that takes days: the session is complete, the money is on its way.

        Raises:
            InvalidRequest: it is not open.
        """
        session = self.open_session(session_id)
        intent = self._intent_of(session)
        intent.status = IntentStatus.PROCESSING
        session.status = SessionStatus.COMPLETE
        self._books.announce("payment_intent.processing", intent)
        self._books.announce("checkout.session.completed", session)
        return session

    def end_slowly(self, session_id: str, *, is_good: bool) -> Session:
        """Money that was on its way comes, or comes not; then the session is over for good.

        Raises:
            InvalidRequest: none is on its way.
        """
        session = self.session(session_id)
        intent = None if session.payment_intent is None else self._books.get(Intent, session.payment_intent)
        if intent is None or intent.status is not IntentStatus.PROCESSING:
            raise InvalidRequest("Nothing is being processed", parameter="session")
        card = self._card_of(session, intent)
        if is_good:
            self._charge(intent, card)
            session.is_paid = True
        else:
            self._refuse(intent, card, REFUSAL)
        outcome = "succeeded" if is_good else "failed"
        self._books.announce(f"checkout.session.async_payment_{outcome}", session)
        return session

    def create_intent(self, asked: NewIntent) -> Intent:
        """A new intent, confirmed at once where that was asked for.

        Raises:
            NotFound: there is no such customer or payment method.
            InvalidRequest: it shall be confirmed and has no payment method, or one that is not this customer's.
            CardRefused: the bank refused; the intent stays and can be confirmed with another method.
        """
        books = self._books
        if asked.customer is not None:
            books.get(Customer, asked.customer, parameter="customer")
        card = None if asked.payment_method is None else self._named_card(asked.payment_method, asked.customer)
        intent = books.add(
            Intent(
                id=books.new_id("pi"),
                created=books.now(),
                metadata=asked.metadata,
                amount=asked.amount,
                currency=asked.currency,
                is_captured_by_hand=asked.is_captured_by_hand,
                description=asked.description,
                customer=asked.customer,
                setup_future_usage=asked.setup_future_usage,
                payment_method=None if card is None else card.id,
                status=IntentStatus.REQUIRES_PAYMENT_METHOD if card is None else IntentStatus.REQUIRES_CONFIRMATION,
            )
        )
        books.announce("payment_intent.created", intent)
        return self._confirm(intent, is_off_session=asked.is_off_session) if asked.is_confirmed else intent

    def confirm(self, intent_id: str, payment_method: str | None) -> Intent:
        """Charges the method of an intent, while its customer is there.

        Raises:
            InvalidRequest: it has none, or is over.
            CardRefused: the bank refused.
        """
        intent = self._books.get(Intent, intent_id, parameter="intent")
        if payment_method is not None:
            intent.payment_method = self._named_card(payment_method, intent.customer).id
        return self._confirm(intent, is_off_session=False)

    def capture(self, intent_id: str, amount: int | None) -> Intent:
        """Takes reserved money, or a part of it; the rest is given back.

        Raises:
            InvalidRequest: nothing is reserved, or less.
        """
        intent = self._books.get(Intent, intent_id, parameter="intent")
        if intent.status is not IntentStatus.REQUIRES_CAPTURE:
            raise _unexpected(intent, "captured")
        if amount is not None and amount > intent.amount:
            raise InvalidRequest("More than the capturable amount", parameter="amount_to_capture")
        self._take(intent, amount or intent.amount)
        for session in self._books.all(Session):
            if session.payment_intent == intent.id:
                session.is_paid = True
        return intent

    def cancel(self, intent_id: str, reason: str | None) -> Intent:
        """Gives back what is reserved, or ends an intent that nobody has paid.

        Raises:
            InvalidRequest: it is over, or belongs to a session that is still open.
        """
        intent = self._books.get(Intent, intent_id, parameter="intent")
        is_on_a_page = any(
            session.payment_intent == intent.id and session.status is SessionStatus.OPEN
            for session in self._books.all(Session)
        )
        if intent.status not in _CANCELLABLE or is_on_a_page:
            raise _unexpected(intent, "canceled")
        self._cancel(intent, reason)
        return intent

    def _confirm(self, intent: Intent, *, is_off_session: bool) -> Intent:
        if intent.payment_method is None or intent.status in {IntentStatus.SUCCEEDED, IntentStatus.CANCELED}:
            raise _unexpected(intent, "confirmed")
        card = self._books.get(PaymentMethod, intent.payment_method)
        if card.refusal == NEEDS_OWNER and not is_off_session:
            intent.status = IntentStatus.REQUIRES_ACTION
            self._books.announce("payment_intent.requires_action", intent)
        elif card.refusal is not None:
            error = self._refuse(intent, card, card.refusal)
            more = {name: value for name, value in error.items() if name not in {"type", "message", "code"}}
            raise CardRefused(error["message"], code=error["code"], more={**more, "payment_intent": intent.as_json()})
        else:
            self._charge(intent, card)
        return intent

    def _charge(self, intent: Intent, card: PaymentMethod) -> None:
        charge = self._new_charge(intent, card, is_paid=True)
        intent.payment_method, intent.latest_charge, intent.last_payment_error = card.id, charge.id, None
        if intent.setup_future_usage is not None:
            card.customer = intent.customer
        if intent.is_captured_by_hand:
            intent.status = IntentStatus.REQUIRES_CAPTURE
            self._books.announce("payment_intent.amount_capturable_updated", intent)
        else:
            self._take(intent, intent.amount)

    def _take(self, intent: Intent, amount: int) -> None:
        books = self._books
        charge = books.get(Charge, intent.latest_charge or "")
        charge.is_captured, charge.amount_captured = True, amount
        fee = BalanceTransaction(
            id=books.new_id("txn"), created=books.now(), amount=amount, currency=intent.currency, source=charge.id
        )
        charge.balance_transaction = books.add(fee).id
        intent.status, intent.amount_received = IntentStatus.SUCCEEDED, amount
        books.announce("charge.succeeded", charge)
        books.announce("payment_intent.succeeded", intent)

    def _refuse(self, intent: Intent, card: PaymentMethod, code: str) -> dict[str, Any]:
        charge = self._new_charge(intent, card, is_paid=False, failure_code="card_declined")
        error: dict[str, Any] = {
            "type": "card_error",
            "code": code if code == NEEDS_OWNER else "card_declined",
            "decline_code": code,
            "charge": charge.id,
            "message": "Your card was declined.",
            "payment_method": card.as_json(),
        }
        intent.status, intent.last_payment_error = IntentStatus.REQUIRES_PAYMENT_METHOD, error
        intent.latest_charge, intent.payment_method = charge.id, None
        self._books.announce("charge.failed", charge)
        self._books.announce("payment_intent.payment_failed", intent)
        return error

    def _cancel(self, intent: Intent, reason: str | None) -> None:
        intent.status, intent.canceled_at = IntentStatus.CANCELED, self._books.now()
        intent.cancellation_reason = reason
        self._books.announce("payment_intent.canceled", intent)

    def _intent_of(self, session: Session) -> Intent:
        """The session's intent, which comes into being when the customer first tries to pay."""
        books = self._books
        if session.payment_intent is not None:
            return books.get(Intent, session.payment_intent)
        data = session.intent_data
        intent = books.add(
            Intent(
                id=books.new_id("pi"),
                created=books.now(),
                metadata=dict(data.get("metadata", {})),
                amount=session.amount_total,
                currency=session.currency,
                is_captured_by_hand=is_captured_by_hand(data),
                description=data.get("description"),
                customer=session.customer,
                setup_future_usage=data.get("setup_future_usage"),
                session=session.id,
            )
        )
        session.payment_intent = intent.id
        books.announce("payment_intent.created", intent)
        return intent

    def _card_of(self, session: Session, intent: Intent) -> PaymentMethod:
        """What the customer types in on the page; each time a new method, as the provider has it."""
        books = self._books
        if intent.setup_future_usage is not None and intent.customer is None:
            # A page that keeps the card makes the customer to whom it belongs, unless it was given one.
            intent.customer = session.customer = self.create_customer(email=None, name=None, metadata={}).id
        return books.add(PaymentMethod(id=books.new_id("pm"), created=books.now()))

    def _named_card(self, method_id: str, customer: str | None) -> PaymentMethod:
        books = self._books
        if method_id in _TEST_CARDS:
            refusal = _TEST_CARDS[method_id]
            return books.add(
                PaymentMethod(id=books.new_id("pm"), created=books.now(), customer=customer, refusal=refusal)
            )
        card = books.get(PaymentMethod, method_id, parameter="payment_method")
        if card.customer is None or card.customer != customer:
            raise InvalidRequest("The payment method does not belong to this customer", parameter="payment_method")
        return card

    def _new_charge(
        self, intent: Intent, card: PaymentMethod, *, is_paid: bool, failure_code: str | None = None
    ) -> Charge:
        books = self._books
        return books.add(
            Charge(
                id=books.new_id("ch"),
                created=books.now(),
                metadata=dict(intent.metadata),
                amount=intent.amount,
                currency=intent.currency,
                payment_intent=intent.id,
                payment_method=card.id,
                customer=intent.customer,
                description=intent.description,
                is_paid=is_paid,
                is_captured=False,
                failure_code=failure_code,
            )
        )


def _unexpected(intent: Intent, step: str) -> InvalidRequest:
    return InvalidRequest(
        f"This PaymentIntent could not be {step} because it has a status of {intent.status}.",
        parameter="intent",
        code="payment_intent_unexpected_state",
    )
