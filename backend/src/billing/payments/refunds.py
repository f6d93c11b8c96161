"""Refunds that we begin: asked for by an operator, kept by the provider, booked when it confirms them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from billing.customers.rules import AccountId
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.idempotency import claim
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import disputes_repository, refunds_repository, repository
from billing.payments.beginning import Checkout
from billing.payments.errors import (
    PaymentNotFound,
    PaymentNotRefundable,
    PaymentUnderReview,
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderRejected,
    RefundExceedsPayment,
    RefundExceedsUnspent,
)
from billing.payments.ports import RefundOrder
from billing.payments.provider_states import Applied, Outcome, ProviderStates
from billing.payments.purposes import Purposes
from billing.payments.read_back import ReadBack
from billing.payments.records import BegunBy, Dispute, KeyClaim, Payment, Refund
from billing.payments.rules import (
    FIRST_CHECK_AFTER,
    PAID_STATES,
    UNENDED_REFUNDS,
    PaymentState,
    RefundFailure,
    RefundId,
    RefundState,
    key_is_safe,
)

_log = structlog.get_logger(__name__)


WhenNew = Callable[[UnitOfWork, Payment, Refund], Awaitable[None]]
"""What else is written in the transaction that writes a new refund."""


@dataclass(frozen=True, slots=True)
class RefundWish:
    """How much of a payment to give back, all that can be where there is no amount, and why.

    `is_overdraft` allows more than the customer has left of what was bought; the rest becomes debt.
    """

    payment_id: str
    amount: Money | None
    is_overdraft: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentFile:
    """Everything that our books have about one payment."""

    payment: Payment
    refunds: tuple[Refund, ...]
    disputes: tuple[Dispute, ...]


class RefundService:
    """Begins refunds and finishes what is left of them.

    Like a payment, a refund is written before the provider hears of it and asked for under its own id, and the network
    is never awaited inside a transaction. The books move when the provider says that the money is given back.
    """

    def __init__(
        self, *, begin: Begin, clock: Clock, ids: Ids, checkout: Checkout, states: ProviderStates, purposes: Purposes
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._checkout = checkout
        self._states = states
        self._purposes = purposes

    async def begin(self, wish: RefundWish, *, key: tuple[str, KeyClaim] | None, when_new: WhenNew) -> Refund:
        """Gives money back, once for the same key (with its owner), and, without one, while the same refund is on its
        way. State `created` or `pending` in the answer means that it will be finished without anybody's doing.

        Raises:
            PaymentNotFound: there is no such payment.
            PaymentNotRefundable: its money never came, its customer's bank wants it back, or its shop is gone.
            InvalidInput: the amount cannot be paid out.
            RefundExceedsPayment, RefundExceedsUnspent: more than can be given back.
            IdempotencyKeyReused: the key came before for another refund.
            PaymentsNotConfigured: nobody collects here.
            PaymentUnderReview: the provider gave something else back than we asked for.
        """
        self._checkout.require_provider()
        async with self._begin() as uow:
            payment = await repository.find(uow, wish.payment_id, for_update=True)
            if payment is None:
                raise PaymentNotFound(wish.payment_id)
            self._checkout.provider_of(payment)
            refund, is_new = await self._claimed(uow, payment, wish, key, when_new)
        if not self._may_be_sent(refund):
            return refund
        try:
            return await self._sent(payment, refund)
        except ProviderRejected as refusal:
            if is_new:
                return await self._ended(refund, RefundFailure.REJECTED)
            # An earlier attempt may have been heard all the same. Finishing it looks for it.
            _log_uncertain(refund, refusal)
        except ProviderFailure as failure:
            _log_uncertain(refund, failure)
        return refund

    async def finish(self, refund_id: str) -> Refund:
        """Asks for what may never have been asked for, asks about what has not ended, leaves alone what is over.

        A refusal ends it only where the provider's list has nothing of it: an earlier attempt may have been heard.

        Raises:
            PaymentsNotConfigured, ProviderFailure: the provider could not be asked.
            PaymentUnderReview: what it says does not match; nothing was booked.
        """
        async with self._begin() as uow:
            refund = await refunds_repository.find_refund(uow, refund_id)
            assert refund is not None, "refunds are never deleted"
            payment = await repository.find(uow, refund.payment_id)
        assert payment is not None, "payments are never deleted"
        if refund.state not in UNENDED_REFUNDS:
            return refund
        failure = RefundFailure.NEVER_BEGUN
        if self._may_be_sent(refund):
            try:
                return await self._sent(payment, refund)
            except ProviderRejected:
                failure = RefundFailure.REJECTED
            except (ProviderAmbiguous, ProviderMalformed) as uncertainty:
                _log_uncertain(refund, uncertainty)
                return refund
        return await self._looked_up(payment, refund, failure)

    async def file(self, payment_id: str) -> PaymentFile:
        """The payment with its refunds and disputes, as our books have them.

        Raises:
            PaymentNotFound: there is no such payment.
        """
        async with self._begin() as uow:
            payment = await repository.find(uow, payment_id)
            if payment is None:
                raise PaymentNotFound(payment_id)
            refunds = await refunds_repository.refunds_of(uow, payment.id)
            disputes = await disputes_repository.disputes_of(uow, payment.id)
        return PaymentFile(payment, tuple(refunds), tuple(disputes))

    async def standing_disputes(self, uow: UnitOfWork, account_id: AccountId) -> tuple[Dispute, ...]:
        """The disputes about this account that are open or lost: while there is one, the account is flagged."""
        return tuple(await disputes_repository.standing_disputes_of(uow, account_id))

    def _may_be_sent(self, refund: Refund) -> bool:
        """Nothing was heard of it, and the provider still knows its key, under which it makes no second one."""
        return refund.state is RefundState.CREATED and key_is_safe(refund.created_at, now=self._clock.now())

    async def _looked_up(self, payment: Payment, refund: Refund, failure: RefundFailure) -> Refund:
        """What the provider's own lists make of the refund; where they have nothing of it, it ends with the failure."""
        provider = self._checkout.provider_of(payment)
        read_back = ReadBack(begin=self._begin, provider=provider, states=self._states)
        applied = await read_back.payment(payment, with_all=True)
        _require_agreement(payment, applied)
        if applied.outcome is Outcome.BEHIND:
            return refund
        return await self._ended(refund, failure)

    async def _ended(self, refund: Refund, failure: RefundFailure) -> Refund:
        async with self._begin() as uow:
            return await self._states.end_unbegun_refund(uow, refund, failure)

    async def _claimed(
        self,
        uow: UnitOfWork,
        payment: Payment,
        wish: RefundWish,
        key: tuple[str, KeyClaim] | None,
        when_new: WhenNew,
    ) -> tuple[Refund, bool]:
        """The refund that this wish stands for (the one of its key, or the one on its way), or a new one, and whether
        it is new: then nobody has asked the provider for it before.
        """
        refunds = await refunds_repository.refunds_of(uow, payment.id)
        if key is None:
            on_its_way = next((one for one in refunds if _is_same(one, wish)), None)
            if on_its_way is not None:
                return on_its_way, False
            return await self._new(uow, payment, wish, refunds, when_new, self._new_id()), True
        owner_id, claimed = key
        new_id = self._new_id()
        refund_id = await claim(
            uow,
            owner_id=owner_id,
            operation=claimed.operation,
            key=claimed.key,
            request_digest=claimed.request_digest,
            result_id=new_id,
            at=self._clock.now(),
        )
        found = next((one for one in refunds if one.id == refund_id), None)
        if found is not None:
            return found, False
        return await self._new(uow, payment, wish, refunds, when_new, new_id), True

    def _new_id(self) -> RefundId:
        return RefundId(self._ids.new("rfd"))

    async def _new(
        self,
        uow: UnitOfWork,
        payment: Payment,
        wish: RefundWish,
        refunds: Sequence[Refund],
        when_new: WhenNew,
        refund_id: RefundId,
    ) -> Refund:
        now = self._clock.now()
        refund = Refund(
            id=refund_id,
            payment_id=payment.id,
            provider=payment.provider,
            amount=await self._allowed(uow, payment, wish, refunds),
            state=RefundState.CREATED,
            begun_by=BegunBy.OPERATOR,
            is_overdraft=wish.is_overdraft,
            reason=wish.reason,
            created_at=now,
            next_check_at=now + FIRST_CHECK_AFTER,
        )
        await refunds_repository.insert_refund(uow, refund)
        await when_new(uow, payment, refund)
        return refund

    async def _allowed(self, uow: UnitOfWork, payment: Payment, wish: RefundWish, refunds: Sequence[Refund]) -> Money:
        """How much is given back; what is on its way already counts as gone."""
        if payment.state not in PAID_STATES or payment.state is PaymentState.DISPUTED:
            raise PaymentNotRefundable(payment.id, payment.state.value)
        nothing = Money.zero(payment.amount.currency)
        on_its_way = sum((one.amount for one in refunds if one.state in UNENDED_REFUNDS), nothing)
        left = payment.amount - payment.refunded - on_its_way
        unspent = left
        if not wish.is_overdraft:
            unspent = max(nothing, await self._purposes[payment.purpose].unspent(uow, payment) - on_its_way)
        amount = wish.amount or min(left, unspent).rounded_down_to_minor_unit()
        if amount.currency != payment.amount.currency:
            raise InvalidInput("currency", f"This payment is in {payment.amount.currency}.")
        if amount < nothing:
            raise InvalidInput("amount", "A refund gives something back.")
        if amount > left or left == nothing:
            raise RefundExceedsPayment(amount, left)
        if amount > unspent or amount == nothing:
            raise RefundExceedsUnspent(amount, unspent)
        if not amount.is_whole_minor_units():
            raise InvalidInput("amount", f"{amount} is finer than the smallest coin of {amount.currency}.")
        return amount

    async def _sent(self, payment: Payment, refund: Refund) -> Refund:
        """The refund after the provider has answered; one without an answer keeps its key, and under this key the
        provider gives the money back once.

        Raises:
            ProviderFailure: it did not answer, or refused.
            PaymentUnderReview: what it says does not match; nothing was booked.
        """
        assert payment.provider_payment_id is not None, "whoever paid has paid the provider"
        order = RefundOrder(
            key=refund.id,
            provider_payment_id=payment.provider_payment_id,
            amount=refund.amount,
            refund_id=refund.id,
            description=f"Refund {refund.id}",
            receipt=payment.receipt,
        )
        seen = await self._checkout.provider_of(payment).refund(order)
        async with self._begin() as uow:
            applied = await self._states.apply_refund(uow, payment.id, seen)
            booked = await refunds_repository.find_refund(uow, refund.id)
        _require_agreement(payment, applied)
        assert booked is not None, "refunds are never deleted"
        return booked


def _log_uncertain(refund: Refund, failure: ProviderFailure) -> None:
    _log.warning("refund_uncertain", refund_id=refund.id, code=failure.code)


def _require_agreement(payment: Payment, applied: Applied) -> None:
    if applied.outcome is Outcome.CONTRADICTED:
        raise PaymentUnderReview(payment.id, applied.differences)


def _is_same(refund: Refund, wish: RefundWish) -> bool:
    return refund.state in UNENDED_REFUNDS and wish.amount in {None, refund.amount}
