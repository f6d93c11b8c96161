"""Top-ups: a customer's wish to pay becomes one payment at the provider, and that payment's money becomes credit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import structlog

from billing.customers.audit import AuditTrail
from billing.customers.rules import Permission, Principal, require
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.idempotency import claim, digest_of
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.public_address import PublicAddress, parse_app_path, parse_return_url
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import repository
from billing.payments.errors import (
    PaymentNotFound,
    PaymentsNotConfigured,
    PaymentUnderReview,
    ProviderAmbiguous,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRejected,
)
from billing.payments.ports import PaymentOrder, PaymentProvider, ProviderPayment
from billing.payments.provider_states import Applied, Outcome, ProviderStates
from billing.payments.repository import Intent, Payment
from billing.payments.rules import (
    INTENT_LASTS,
    TOPUP,
    Actor,
    Cancellation,
    PaymentId,
    PaymentState,
    TopupOffer,
    key_is_safe,
)

_log = structlog.get_logger(__name__)

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


_STATUS_OF = {
    PaymentState.CREATED: TopupStatus.PROCESSING,
    PaymentState.PENDING: TopupStatus.PENDING,
    PaymentState.WAITING_FOR_CAPTURE: TopupStatus.PROCESSING,
    PaymentState.SUCCEEDED: TopupStatus.SUCCEEDED,
    PaymentState.CANCELED: TopupStatus.CANCELED,
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
    is_under_review: bool = False
    """The provider's object contradicted our record when we last looked; nothing is credited until a person decides."""


@dataclass(frozen=True, slots=True)
class ReturnRules:
    """Where customers may be sent back to after paying."""

    public: PublicAddress
    allowed_origins: frozenset[str]


class TopupService:
    """Begins, shows and reconciles top-ups.

    The network is never awaited inside a transaction: the payment is written with its key, committed, and only then is
    the provider asked; what it answers is written in a second transaction. Whatever dies in between is finished by the
    next request, notification or reconciliation under the same key.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        audit: AuditTrail,
        states: ProviderStates,
        provider: PaymentProvider | None,
        offer: TopupOffer,
        returns: ReturnRules,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._states = states
        self._provider = provider
        self._returns = returns
        self.offer = offer

    async def start(
        self,
        principal: Principal,
        *,
        amount: Money,
        return_to: str | None = None,
        return_url: str | None = None,
        idempotency_key: str,
        request_id: str = "",
    ) -> Topup:
        """A payment that the customer can pay, the same one for the same key and for the same intent within 24 hours.

        `return_to` is a path inside the application to which our own return page leads on; `return_url` replaces that
        page by an address of the client's. Status `processing` means that the provider's answer is not certain yet;
        asking again with the same key finishes it.

        Raises:
            Forbidden: the role or the key's scopes do not allow it.
            TopupAmountNotOffered, TopupCurrencyNotOffered, InvalidReturnUrl, InvalidInput: not a valid request.
            IdempotencyKeyReused: the key came before with another amount or address.
            PaymentsNotConfigured, ProviderFailure: no payment can be begun now; the key stays good.
            PaymentUnderReview: the provider began something else than we asked for.
        """
        require(principal, Permission.MANAGE_BILLING)
        provider = self._configured()
        self.offer.check(amount)
        self._check_return(return_to, return_url)
        intent = Intent(principal.account_id, amount, TOPUP, return_url, provider.name, provider.shop_id)
        offered = await self._still_payable(provider, intent)
        payment = await self._claimed(
            provider, principal, intent, offered, return_to=return_to, key=idempotency_key, request_id=request_id
        )
        if offered is None or payment.id != offered.id:
            payment = await self._brought_up_to_date(provider, payment)
        if payment.cancellation is Cancellation.REJECTED:
            raise ProviderRejected("The payment provider refused to begin this payment.")
        return _topup(payment)

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
        payment = await self._own(principal, payment_id)
        return _topup(await self._brought_up_to_date(self._configured(), payment))

    def _configured(self) -> PaymentProvider:
        if self._provider is None:
            raise PaymentsNotConfigured
        return self._provider

    def _check_return(self, return_to: str | None, return_url: str | None) -> None:
        if return_to is not None and return_url is not None:
            raise InvalidInput("return_to", "Give either return_to or return_url, not both.")
        if return_to is not None:
            parse_app_path(return_to)
        if return_url is not None:
            parse_return_url(return_url, public=self._returns.public, allowed_origins=self._returns.allowed_origins)

    async def _still_payable(self, provider: PaymentProvider, intent: Intent) -> Payment | None:
        """The payment that this intent has already, as the provider sees it now; None without one that counts."""
        async with self._begin() as uow:
            live = await repository.find_live(uow, intent, since=self._clock.now() - INTENT_LASTS)
        if live is None:
            return None
        live = await self._brought_up_to_date(provider, live)
        return None if live.state is PaymentState.CANCELED else live

    async def _claimed(
        self,
        provider: PaymentProvider,
        principal: Principal,
        intent: Intent,
        offered: Payment | None,
        *,
        return_to: str | None,
        key: str,
        request_id: str,
    ) -> Payment:
        """The payment that this key stands for from now on: the one it stood for already, the offered, or a new one."""
        now = self._clock.now()
        async with self._begin() as uow:
            await repository.lock_intents(uow, principal.account_id)
            # Another request may have begun one since we looked.
            current = offered or await repository.find_live(uow, intent, since=now - INTENT_LASTS)
            new = self._new_payment(provider, intent, return_to=return_to)
            payment_id = await claim(
                uow,
                owner_id=principal.account_id,
                operation=_OPERATION,
                key=key,
                request_digest=_digest(intent, return_to),
                result_id=(current or new).id,
                at=now,
            )
            if payment_id == new.id:
                await repository.insert_payment(uow, new)
                await self._record_start(uow, principal, new, request_id)
                return new
            if current is not None and payment_id == current.id and current.return_to != return_to:
                return await repository.update_payment(uow, current.id, at=now, return_to=return_to)
            found = await repository.find(uow, payment_id)
            assert found is not None, "a claimed key names a payment"
            return found

    def _new_payment(self, provider: PaymentProvider, intent: Intent, *, return_to: str | None) -> Payment:
        payment_id = PaymentId(self._ids.new("pay"))
        own_return = self._returns.public.url(return_path(payment_id))
        return Payment(
            id=payment_id,
            account_id=intent.account_id,
            purpose=intent.purpose,
            amount=intent.amount,
            provider=intent.provider,
            shop_id=intent.shop_id,
            is_test=provider.is_test,
            return_url=intent.client_return_url or own_return,
            is_own_return=intent.client_return_url is None,
            return_to=return_to,
            state=PaymentState.CREATED,
            provider_payment_id=None,
            confirmation_url=None,
            cancellation=None,
            contradiction=None,
            created_at=self._clock.now(),
        )

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

    async def _brought_up_to_date(self, provider: PaymentProvider, payment: Payment) -> Payment:
        """Begins what was not begun, asks about what has not ended, leaves alone what is over."""
        if payment.state is PaymentState.SUCCEEDED:
            return payment
        if (payment.provider, payment.shop_id) != (provider.name, provider.shop_id):
            # Another shop began it; asking this one could only tell about somebody else's payment.
            raise ProviderObjectUnknown("This payment belongs to a payment provider that is not connected any more.")
        if payment.provider_payment_id is not None:
            seen = await provider.get_payment(payment.provider_payment_id)
            return await self._applied(payment, seen, actor=Actor.READ_BACK)
        if payment.state is PaymentState.CREATED and key_is_safe(payment.created_at, now=self._clock.now()):
            return await self._begun(provider, payment)
        return payment

    async def _begun(self, provider: PaymentProvider, payment: Payment) -> Payment:
        try:
            seen = await provider.create_payment(_order(payment))
        except (ProviderAmbiguous, ProviderMalformed) as uncertainty:
            # The payment may exist. It keeps its key, and with it the next attempt finds it instead of making another.
            _log.warning("payment_uncertain", payment_id=payment.id, code=uncertainty.code)
            return payment
        except ProviderRejected:
            return await self._rejected(payment)
        return await self._applied(payment, seen, actor=Actor.CREATION)

    async def _rejected(self, payment: Payment) -> Payment:
        async with self._begin() as uow:
            current = await repository.find(uow, payment.id, for_update=True)
            assert current is not None, "payments are never deleted"
            if current.state is not PaymentState.CREATED:
                return current
            return await repository.update_payment(
                uow,
                payment.id,
                at=self._clock.now(),
                state=PaymentState.CANCELED,
                cancellation=Cancellation.REJECTED,
            )

    async def _applied(self, payment: Payment, seen: ProviderPayment, *, actor: Actor) -> Payment:
        async with self._begin() as uow:
            applied: Applied = await self._states.apply_provider_state(uow, payment.id, seen, actor=actor)
        if applied.outcome is Outcome.CONTRADICTED:
            raise PaymentUnderReview(payment.id, applied.differences)
        return applied.payment


def return_path(payment_id: PaymentId | str) -> str:
    """Where our return page for this payment is, inside the application."""
    return f"/billing/topups/{payment_id}/return"


def _order(payment: Payment) -> PaymentOrder:
    return PaymentOrder(
        key=payment.id,
        amount=payment.amount,
        description=f"Top-up {payment.id}",
        return_url=payment.return_url,
        payment_id=payment.id,
        account_id=payment.account_id,
        purpose=payment.purpose,
    )


def _digest(intent: Intent, return_to: str | None) -> str:
    return digest_of(
        {
            "amount": intent.amount.to_decimal(),
            "currency": intent.amount.currency,
            "return_to": return_to or "",
            "return_url": intent.client_return_url or "",
        }
    )


def _topup(payment: Payment) -> Topup:
    return Topup(
        payment_id=payment.id,
        status=_STATUS_OF[payment.state],
        amount=payment.amount,
        confirmation_url=payment.confirmation_url if payment.state is PaymentState.PENDING else None,
        cancellation=payment.cancellation,
        return_to=payment.return_to,
        is_under_review=payment.contradiction is not None,
    )
