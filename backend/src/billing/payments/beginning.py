"""How every payment begins: a wish becomes one row, one row becomes one payment at the provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from billing.kit.clock import Clock
from billing.kit.idempotency import claim
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.public_address import PublicAddress
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import repository
from billing.payments.errors import (
    PaymentsNotConfigured,
    PaymentUnderReview,
    ProviderAmbiguous,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
)
from billing.payments.ports import PaymentOrder, PaymentProvider
from billing.payments.provider_states import Outcome, ProviderStates
from billing.payments.purposes import MethodWarden, Purposes, Receipts
from billing.payments.read_back import ReadBack
from billing.payments.records import KeyClaim, Payment, Wish
from billing.payments.rules import (
    AUTO_TOPUP,
    FIRST_CHECK_AFTER,
    PAID_STATES,
    SUBSCRIPTION,
    TOPUP,
    Actor,
    Cancellation,
    PaymentId,
    PaymentState,
    key_is_safe,
)

_log = structlog.get_logger(__name__)

_DESCRIPTIONS = {TOPUP: "Top-up", AUTO_TOPUP: "Automatic top-up", SUBSCRIPTION: "Plan"}

_NOT_SENT = (ProviderRateLimited, ProviderRefusedUs, ProviderUnavailable)
"""Nothing happened, and the payment stays as it is."""

WhenNew = Callable[[UnitOfWork, Payment], Awaitable[None]]
"""What else is written in the transaction that writes a new payment."""


class Checkout:
    """Begins payments for every purpose and finishes what is left of them.

    The network is never awaited inside a transaction: the payment is written with its key, committed, and only then is
    the provider asked; what it answers is written in a second transaction. Whatever dies in between is finished by the
    next request, notification or check under the same key.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        states: ProviderStates,
        provider: PaymentProvider | None,
        purposes: Purposes,
        methods: MethodWarden,
        receipts: Receipts,
        public: PublicAddress,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._states = states
        self._provider = provider
        self._purposes = purposes
        self._methods = methods
        self._receipts = receipts
        self._public = public

    def require_provider(self) -> PaymentProvider:
        """Who collects here.

        Raises:
            PaymentsNotConfigured: nobody does.
        """
        if self._provider is None:
            raise PaymentsNotConfigured
        return self._provider

    async def begin(self, wish: Wish, *, key: KeyClaim | None, when_new: WhenNew) -> Payment:
        """One payment for this wish: the one that its key stands for, the one that the same intent has, or a new one.

        A new one is written together with what `when_new` writes, before the provider hears of it. State `created`
        in the answer means that what the provider did is not certain, or that it charges a saved method later; the same
        wish again, or `finish`, finds out.

        Raises:
            IdempotencyKeyReused: the key came before with another request.
            BillingError: whatever `when_new` or the receipts refuse; nothing was written then.
            PaymentsNotConfigured, ProviderFailure: no payment can be begun now; the key stays good.
            PaymentUnderReview: the provider began something else than we asked for.
        """
        provider = self.require_provider()
        offered = await self._still_payable(provider, wish)
        payment = await self._claimed(provider, wish, offered, key, when_new)
        if offered is None or payment.id != offered.id:
            payment = await self._finished(payment)
        if payment.cancellation is Cancellation.REJECTED:
            raise ProviderRejected("The payment provider refused to begin this payment.")
        return payment

    async def find(self, payment_id: str) -> Payment | None:
        """The payment as our books have it, whosever it is."""
        async with self._begin() as uow:
            return await repository.find(uow, payment_id)

    async def finish(self, payment: Payment) -> Payment:
        """Begins what was not begun, asks about what has not ended, leaves alone what is over.

        A saved method is charged only while that is still wanted; what is not, and was not begun for certain, stays as
        it is until checks have looked for it at the provider.

        Raises:
            PaymentsNotConfigured, ProviderFailure: the provider could not be asked.
            PaymentUnderReview: its object does not match the payment; nothing was credited.
        """
        if payment.state in PAID_STATES:
            return payment
        provider = self.provider_of(payment)
        if payment.provider_payment_id is not None:
            applied = await ReadBack(begin=self._begin, provider=provider, states=self._states).payment(payment)
            if applied.outcome is Outcome.CONTRADICTED:
                raise PaymentUnderReview(payment.id, applied.differences)
            return applied.payment
        if payment.state is PaymentState.CREATED and key_is_safe(payment.created_at, now=self._clock.now()):
            return await self._begun(provider, payment)
        return payment

    def provider_of(self, payment: Payment) -> PaymentProvider:
        """Who collects this payment.

        Raises:
            PaymentsNotConfigured: nobody collects here.
            ProviderObjectUnknown: the shop that began it is not connected any more.
        """
        provider = self.require_provider()
        if (payment.provider, payment.shop_id) != (provider.name, provider.shop_id):
            # Another shop began it; asking this one could only tell about somebody else's payment.
            raise ProviderObjectUnknown("This payment belongs to a payment provider that is not connected any more.")
        return provider

    async def _finished(self, payment: Payment) -> Payment:
        """Finishes it for whoever wished for it; a charge that is only put off is under way, and no failure.

        Checks begin it as soon as the provider can be reached. Whoever were told that it failed might pay in another
        way, and be charged twice.
        """
        try:
            return await self.finish(payment)
        except _NOT_SENT as failure:
            is_begun = payment.state is not PaymentState.CREATED or payment.provider_payment_id is not None
            if is_begun or payment.method is None or payment.purpose != SUBSCRIPTION:
                raise
            _log.warning("charge_put_off", payment_id=payment.id, code=failure.code)
            return payment

    async def _still_payable(self, provider: PaymentProvider, wish: Wish) -> Payment | None:
        """The payment that this intent has already, as the provider sees it now; None without one that counts."""
        async with self._begin() as uow:
            live = await self._find_live(uow, provider, wish)
        if live is None:
            return None
        live = await self._finished(live)
        return None if live.state is PaymentState.CANCELED else live

    async def _find_live(self, uow: UnitOfWork, provider: PaymentProvider, wish: Wish) -> Payment | None:
        return await repository.find_live(
            uow, wish, provider=provider.name, shop_id=provider.shop_id, now=self._clock.now()
        )

    async def _claimed(
        self, provider: PaymentProvider, wish: Wish, offered: Payment | None, key: KeyClaim | None, when_new: WhenNew
    ) -> Payment:
        """The payment that this wish stands for from now on: the one of its key, the offered, or a new one."""
        async with self._begin() as uow:
            await repository.lock_intents(uow, wish.account_id)
            # Another request may have begun one since we looked.
            current = offered or await self._find_live(uow, provider, wish)
            new_id = PaymentId(self._ids.new("pay"))
            payment_id = await self._payment_of_key(uow, wish, key, new_id if current is None else current.id)
            if payment_id == new_id:
                new = await self._new_payment(uow, provider, wish, new_id)
                await repository.insert_payment(uow, new)
                await when_new(uow, new)
                return new
            if current is not None and payment_id == current.id and current.return_to != wish.return_to:
                return await repository.update_payment(uow, current.id, at=self._clock.now(), return_to=wish.return_to)
            found = await repository.find(uow, payment_id)
            assert found is not None, "a claimed key names a payment"
            return found

    async def _payment_of_key(
        self, uow: UnitOfWork, wish: Wish, key: KeyClaim | None, payment_id: PaymentId
    ) -> PaymentId:
        if key is None:
            return payment_id
        claimed = await claim(
            uow,
            owner_id=wish.account_id,
            operation=key.operation,
            key=key.key,
            request_digest=key.request_digest,
            result_id=payment_id,
            at=self._clock.now(),
        )
        return PaymentId(claimed)

    async def _new_payment(
        self, uow: UnitOfWork, provider: PaymentProvider, wish: Wish, payment_id: PaymentId
    ) -> Payment:
        now = self._clock.now()
        own_return = self._public.url(wish.return_page.format(payment_id=payment_id))
        receipt = await self._receipts.order_for(uow, wish.account_id, purpose=wish.purpose, contact=wish.contact)
        return Payment(
            id=payment_id,
            account_id=wish.account_id,
            purpose=wish.purpose,
            subject=wish.subject,
            amount=wish.amount,
            provider=provider.name,
            shop_id=provider.shop_id,
            is_test=provider.is_test,
            return_url=wish.client_return_url or own_return,
            is_own_return=wish.client_return_url is None,
            return_to=wish.return_to,
            method_id=None if wish.method is None else wish.method.method_id,
            method=None if wish.method is None else wish.method.ref,
            saves_method=wish.saves_method,
            receipt=receipt,
            state=PaymentState.CREATED,
            provider_payment_id=None,
            confirmation_url=None,
            cancellation=None,
            contradiction=None,
            refunded=Money.zero(wish.amount.currency),
            created_at=now,
            next_check_at=now + FIRST_CHECK_AFTER,
        )

    async def _is_wanted(self, payment: Payment) -> bool:
        """The provider may still be asked to charge this payment's method; where a customer has to pay, always.

        An attempt may have been put off, or have ended nobody knows how, and its customer may have canceled, turned off
        or removed since what it was for.
        """
        if payment.method_id is None:
            return True
        async with self._begin() as uow:
            method = await self._methods.usable(uow, payment.account_id, payment.method_id)
            return method is not None and await self._purposes[payment.purpose].is_wanted(uow, payment)

    async def _begun(self, provider: PaymentProvider, payment: Payment) -> Payment:
        if not await self._is_wanted(payment):
            # An earlier attempt may have charged it all the same: it ends when the provider's list has been searched.
            _log.info("payment_not_wanted", payment_id=payment.id)
            return payment
        try:
            seen = await provider.create_payment(order_of(payment))
        except (ProviderAmbiguous, ProviderMalformed) as uncertainty:
            # The payment may exist. It keeps its key, and with it the next attempt finds it instead of making another.
            _log.warning("payment_uncertain", payment_id=payment.id, code=uncertainty.code)
            return payment
        except ProviderRejected:
            async with self._begin() as uow:
                return await self._states.end_unbegun(uow, payment.id, Cancellation.REJECTED)
        async with self._begin() as uow:
            applied = await self._states.apply_provider_state(uow, payment.id, seen, actor=Actor.CREATION)
        if applied.outcome is Outcome.CONTRADICTED:
            raise PaymentUnderReview(payment.id, applied.differences)
        return applied.payment


def order_of(payment: Payment) -> PaymentOrder:
    """What the provider is asked for this payment: always the same, because it is made from the stored row alone."""
    return PaymentOrder(
        key=payment.id,
        amount=payment.amount,
        description=f"{_DESCRIPTIONS[payment.purpose]} {payment.id}",
        return_url=payment.return_url,
        payment_id=payment.id,
        account_id=payment.account_id,
        purpose=payment.purpose,
        method=payment.method,
        saves_method=payment.saves_method,
        receipt=payment.receipt,
    )
