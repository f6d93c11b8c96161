"""Top-ups: a customer's wish to pay becomes one payment at the provider, and that payment's money becomes credit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from billing.customers.audit import AuditTrail
from billing.customers.rules import Permission, Principal, require
from billing.kit.idempotency import digest_of
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import repository
from billing.payments.beginning import Checkout
from billing.payments.errors import PaymentNotFound
from billing.payments.records import NO_CONTACT, Contact, KeyClaim, Payment, Wish
from billing.payments.returning import ReturnRules
from billing.payments.rules import TOPUP, Cancellation, PaymentId, PaymentState, TopupOffer

_OPERATION = "topups.start"


class TopupStatus(StrEnum):
    """What a customer is told about a top-up."""

    PROCESSING = "processing"
    """Begun or paid, and not yet certain; it will be finished without the customer."""
    PENDING = "pending"
    """Waits for the customer at `confirmation_url`."""
    SUCCEEDED = "succeeded"
    """Paid and credited."""
    CANCELED = "canceled"
    """Ended without money; `cancellation` says why."""
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    """Paid and credited, and then given back in part or whole, or disputed by the customer's bank."""


_STATUS_OF = {
    PaymentState.CREATED: TopupStatus.PROCESSING,
    PaymentState.PENDING: TopupStatus.PENDING,
    PaymentState.WAITING_FOR_CAPTURE: TopupStatus.PROCESSING,
    PaymentState.SUCCEEDED: TopupStatus.SUCCEEDED,
    PaymentState.CANCELED: TopupStatus.CANCELED,
    PaymentState.PARTIALLY_REFUNDED: TopupStatus.PARTIALLY_REFUNDED,
    PaymentState.REFUNDED: TopupStatus.REFUNDED,
    PaymentState.DISPUTED: TopupStatus.DISPUTED,
}


@dataclass(frozen=True, slots=True)
class Topup:
    """A top-up as its customer sees it; `confirmation_url` is there exactly while it waits to be paid."""

    payment_id: PaymentId
    status: TopupStatus
    amount: Money
    confirmation_url: str | None
    cancellation: Cancellation | None
    return_to: str | None
    refunded: Money
    """What of it was given back."""
    is_under_review: bool = False
    """The provider's object contradicted our record when we last looked; nothing is credited until a person decides."""


class TopupService:
    """Begins, shows and reconciles top-ups."""

    def __init__(
        self, *, begin: Begin, audit: AuditTrail, checkout: Checkout, offer: TopupOffer, returns: ReturnRules
    ) -> None:
        self._begin = begin
        self._audit = audit
        self._checkout = checkout
        self._returns = returns
        self.offer = offer

    async def start(
        self,
        principal: Principal,
        *,
        amount: Money,
        return_to: str | None = None,
        return_url: str | None = None,
        saves_method: bool = False,
        contact: Contact = NO_CONTACT,
        idempotency_key: str,
        request_id: str = "",
    ) -> Topup:
        """A payment that the customer can pay, the same one for the same key and for the same intent within 24 hours.

        `return_to` is a path inside the application to which our own return page leads on; `return_url` replaces that
        page by an address of the client's. `saves_method` is the customer's consent to keep what is paid with,
        `contact` where the receipt goes. Status `processing` means that the provider's answer is not certain yet;
        asking again with the same key finishes it.

        Raises:
            Forbidden: the role or the key's scopes do not allow it.
            TopupAmountNotOffered, TopupCurrencyNotOffered, InvalidReturnUrl, InvalidInput: not a valid request.
            BillingError: a receipt is due and there is nowhere to send it; nothing was written.
            IdempotencyKeyReused: the key came before with another amount or address.
            PaymentsNotConfigured, ProviderFailure: no payment can be begun now; the key stays good.
            PaymentUnderReview: the provider began something else than we asked for.
        """
        require(principal, Permission.MANAGE_BILLING)
        self._checkout.require_provider()
        self.offer.check(amount)
        self._returns.check(return_to, return_url)
        wish = Wish(
            account_id=principal.account_id,
            purpose=TOPUP,
            amount=amount,
            return_page=return_path("{payment_id}"),
            return_to=return_to,
            client_return_url=return_url,
            saves_method=saves_method,
            contact=contact,
        )

        async def audited(uow: UnitOfWork, payment: Payment) -> None:
            await self._record_start(uow, principal, payment, request_id)

        key = KeyClaim(_OPERATION, idempotency_key, _digest(wish))
        return _topup(await self._checkout.begin(wish, key=key, when_new=audited))

    async def get(self, principal: Principal, payment_id: str) -> Topup:
        """The top-up as our books have it, without asking the provider.

        Raises:
            PaymentNotFound: there is none, or it belongs to another account.
        """
        require(principal, Permission.READ_BILLING)
        return _topup(await self._own(principal, payment_id))

    async def reconcile(self, principal: Principal, payment_id: str) -> Topup:
        """Asks the provider about exactly this payment and books what it says.

        Raises:
            PaymentNotFound: there is none, or it belongs to another account.
            PaymentUnderReview: the provider's object does not match; nothing was credited.
            PaymentsNotConfigured, ProviderFailure: the provider could not be asked.
        """
        require(principal, Permission.READ_BILLING)
        return _topup(await self._checkout.finish(await self._own(principal, payment_id)))

    async def _record_start(self, uow: UnitOfWork, principal: Principal, payment: Payment, request_id: str) -> None:
        await self._audit.record(
            uow,
            principal,
            action="topup.started",
            target=payment.id,
            before=None,
            after={"amount": payment.amount.to_decimal(), "currency": payment.amount.currency},
            reason="",
            request_id=request_id,
        )

    async def _own(self, principal: Principal, payment_id: str) -> Payment:
        async with self._begin() as uow:
            payment = await repository.find(uow, payment_id)
        if payment is None or payment.account_id != principal.account_id:
            raise PaymentNotFound(payment_id)
        return payment


def return_path(payment_id: PaymentId | str) -> str:
    """Where our return page for this payment is, inside the application."""
    return f"/billing/topups/{payment_id}/return"


def _digest(wish: Wish) -> str:
    request = {
        "amount": wish.amount.to_decimal(),
        "currency": wish.amount.currency,
        "return_to": wish.return_to or "",
        "return_url": wish.client_return_url or "",
    }
    # Only where it was asked for, so that keys which came before this could be asked still mean the same.
    return digest_of({**request, "saves_method": "yes"} if wish.saves_method else request)


def _topup(payment: Payment) -> Topup:
    return Topup(
        payment_id=payment.id,
        status=_STATUS_OF[payment.state],
        amount=payment.amount,
        confirmation_url=payment.confirmation_url if payment.state is PaymentState.PENDING else None,
        cancellation=payment.cancellation,
        return_to=payment.return_to,
        refunded=payment.refunded,
        is_under_review=payment.contradiction is not None,
    )
