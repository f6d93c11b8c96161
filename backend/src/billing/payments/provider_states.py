"""What the provider says about a payment becomes our record of it, and its money what it buys: once, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments import repository
from billing.payments.dispute_states import DisputeStates
from billing.payments.fees import ProviderFees
from billing.payments.news import PaymentNews
from billing.payments.ports import ProviderDispute, ProviderPayment, ProviderRefund
from billing.payments.purposes import MethodKeeper, Purposes
from billing.payments.records import Payment, Refund
from billing.payments.refund_states import RefundStates
from billing.payments.rules import (
    PAID_STATES,
    Actor,
    Bond,
    Cancellation,
    PaymentId,
    PaymentState,
    ProviderStatus,
    RefundFailure,
    RefundStatus,
    differences,
    may_move,
    paid_state,
    state_of,
)

_log = structlog.get_logger(__name__)

_NOT_PAID = ("paid",)


class Outcome(StrEnum):
    """What applying the provider's state did."""

    CREDITED = "credited"
    MOVED = "moved"
    UNCHANGED = "unchanged"
    BEHIND = "behind"
    """The payment says that something was given back or disputed which what we were shown does not name."""
    CONTRADICTED = "contradicted"
    """The provider's object does not match our record, or contradicts itself: nothing moved, nothing was credited."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The payment afterwards, what happened, and for a contradiction the names of what did not agree."""

    payment: Payment
    outcome: Outcome
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A payment as its provider showed it, with its refunds and disputes where those were asked for."""

    payment: ProviderPayment
    refunds: tuple[ProviderRefund, ...] | None = None
    disputes: tuple[ProviderDispute, ...] | None = None

    @property
    def refunds_listed(self) -> Money:
        """What the listed refunds have given back together."""
        done = (one.amount for one in self.refunds or () if one.status is RefundStatus.SUCCEEDED)
        return sum(done, Money.zero(self.payment.amount.currency))


class ProviderStates:
    """Webhook, return page, reconciliation and checks all pass through here, so that each thing is booked once.

    All calls are participants in the caller's transaction and lock the payment's row. Callers that arrive together are
    served one after the other; each later one finds what it wanted to do done.
    """

    def __init__(
        self,
        *,
        purposes: Purposes,
        refunds: RefundStates,
        disputes: DisputeStates,
        methods: MethodKeeper,
        news: PaymentNews,
        fees: ProviderFees,
        clock: Clock,
    ) -> None:
        self._purposes = purposes
        self._refunds = refunds
        self._disputes = disputes
        self._methods = methods
        self._news = news
        self._fees = fees
        self._clock = clock

    async def apply_provider_state(
        self, uow: UnitOfWork, payment_id: PaymentId, seen: ProviderPayment | Picture, *, actor: Actor
    ) -> Applied:
        """Brings our record to what the provider said; a state that came late is refused by the rules.

        Outcome `BEHIND` asks for the picture with refunds and disputes; with them it means that the provider's own
        lists lag behind, and that it should be asked again later.
        """
        picture = seen if isinstance(seen, Picture) else Picture(seen)
        payment = await self._locked(uow, payment_id)
        if disagreement := await self._disagreement(uow, payment, picture):
            return await self._contradict(uow, payment, disagreement)
        applied = await self._moved(uow, payment, picture.payment, actor)
        if applied.payment.state not in PAID_STATES:
            return applied
        settled = await self._settled(uow, applied.payment, picture)
        outcome = applied.outcome
        if outcome is not Outcome.CREDITED:
            outcome = Outcome.MOVED if settled != payment else Outcome.UNCHANGED
        return Applied(settled, Outcome.BEHIND if _is_behind(settled, picture) else outcome)

    async def apply_refund(self, uow: UnitOfWork, payment_id: PaymentId, seen: ProviderRefund) -> Applied:
        """Books the provider's answer about one refund of a payment whose money came."""
        payment = await self._locked(uow, payment_id)
        if await self._refunds.disagreement(uow, payment, (seen,)):
            return await self._contradict(uow, payment, ("refund",))
        refunded = await self._refunds.apply(uow, payment, (seen,))
        after = await self._write_facts(uow, refunded, {})
        return Applied(after, Outcome.UNCHANGED if after == payment else Outcome.MOVED)

    async def end_unbegun(self, uow: UnitOfWork, payment_id: PaymentId, why: Cancellation) -> Payment:
        """Cancels a payment of which the provider knows nothing; one of which it has been heard stays as it is."""
        payment = await self._locked(uow, payment_id)
        if payment.state is not PaymentState.CREATED:
            return payment
        return await self._canceled(uow, payment, why, {})

    async def end_unbegun_refund(self, uow: UnitOfWork, refund: Refund, why: RefundFailure) -> Refund:
        """Ends a refund of which the provider knows nothing; one of which it has been heard stays as it is."""
        return await self._refunds.fail(uow, await self._locked(uow, refund.payment_id), refund, why)

    async def _locked(self, uow: UnitOfWork, payment_id: PaymentId) -> Payment:
        payment = await repository.find(uow, payment_id, for_update=True)
        assert payment is not None, "payments are never deleted"
        return payment

    async def _disagreement(self, uow: UnitOfWork, payment: Payment, picture: Picture) -> tuple[str, ...]:
        unequal = _differences(payment, picture.payment)
        named = payment if payment.provider_payment_id else _named_by(payment, picture.payment)
        if picture.refunds is not None and await self._refunds.disagreement(uow, named, picture.refunds):
            unequal += ("refund",)
        if picture.disputes is not None and self._disputes.disagreement(named, picture.disputes):
            unequal += ("dispute",)
        return unequal

    async def _moved(self, uow: UnitOfWork, payment: Payment, seen: ProviderPayment, actor: Actor) -> Applied:
        after = state_of(seen.status)
        if payment.state in PAID_STATES or not may_move(payment.state, after, actor=actor):
            return Applied(await self._confirm(uow, payment, seen), Outcome.UNCHANGED)
        changes = {"provider_payment_id": seen.id, "confirmation_url": seen.confirmation_url}
        if after is PaymentState.SUCCEEDED:
            return Applied(await self._succeeded(uow, payment, seen, changes), Outcome.CREDITED)
        if after is PaymentState.CANCELED:
            why = seen.cancellation or Cancellation.WITHDRAWN
            return Applied(await self._canceled(uow, payment, why, changes), Outcome.MOVED)
        return Applied(await self._write(uow, payment, state=after.value, **changes), Outcome.MOVED)

    async def _succeeded(
        self, uow: UnitOfWork, payment: Payment, seen: ProviderPayment, changes: dict[str, Any]
    ) -> Payment:
        succeeded = await self._write(
            uow,
            payment,
            state=PaymentState.SUCCEEDED.value,
            cancellation=None,
            succeeded_at=self._clock.now(),
            next_check_at=None,
            **changes,
        )
        # First the method: what is bought may want to be paid with it again.
        if payment.saves_method and seen.method is not None and seen.method.is_saved:
            await self._methods.kept(uow, succeeded, seen.method)
        await self._purposes[payment.purpose].succeeded(uow, succeeded)
        return succeeded

    async def _canceled(self, uow: UnitOfWork, payment: Payment, why: Cancellation, changes: dict[str, Any]) -> Payment:
        canceled = await self._write(
            uow, payment, state=PaymentState.CANCELED.value, cancellation=why.value, next_check_at=None, **changes
        )
        await self._purposes[payment.purpose].canceled(uow, canceled)
        await self._news.failed(uow, canceled)
        return canceled

    async def _settled(self, uow: UnitOfWork, payment: Payment, picture: Picture) -> Payment:
        """The paid payment with what came later: refunds, disputes, the provider's fee, the receipt."""
        if picture.refunds is not None:
            payment = await self._refunds.apply(uow, payment, picture.refunds)
        if picture.disputes:
            payment = await self._disputes.apply(uow, payment, picture.disputes)
        if picture.payment.fee is not None:
            payment = await self._fees.book(uow, payment, picture.payment.fee)
        facts: dict[str, Any] = {}
        receipt = picture.payment.receipt
        if receipt is not None and receipt is not payment.receipt_status:
            facts["receipt_status"] = receipt.value
        return await self._write_facts(uow, payment, facts)

    async def _write_facts(self, uow: UnitOfWork, payment: Payment, facts: dict[str, Any]) -> Payment:
        state = paid_state(payment.amount, refunded=payment.refunded, is_disputed=payment.disputed_at is not None)
        changes = facts if state is payment.state else {**facts, "state": state.value}
        return await self._write(uow, payment, **changes) if changes else payment

    async def _contradict(self, uow: UnitOfWork, payment: Payment, disagreement: tuple[str, ...]) -> Applied:
        _log.error("payment_contradicted", payment_id=payment.id, differences=disagreement)
        written = await repository.update_payment(
            uow, payment.id, at=self._clock.now(), contradiction=",".join(disagreement)
        )
        return Applied(written, Outcome.CONTRADICTED, disagreement)

    async def _confirm(self, uow: UnitOfWork, payment: Payment, seen: ProviderPayment) -> Payment:
        """An agreeing object clears an earlier contradiction, unless it says nothing about a payment that is over."""
        is_same = state_of(seen.status) is (PaymentState.SUCCEEDED if payment.state in PAID_STATES else payment.state)
        if payment.contradiction is None or not is_same:
            return payment
        return await self._write(uow, payment)

    async def _write(self, uow: UnitOfWork, payment: Payment, **changes: Any) -> Payment:
        return await repository.update_payment(
            uow, payment.id, at=self._clock.now(), **{"contradiction": None, **changes}
        )


def _is_behind(payment: Payment, picture: Picture) -> bool:
    """The payment says that more or less was given back than we have booked, or is disputed and nobody named how."""
    seen = picture.payment
    if seen.is_disputed and not picture.disputes:
        return True
    if seen.refunded is None or seen.refunded == payment.refunded:
        return False
    return picture.refunds is None or seen.refunded > picture.refunds_listed


def _named_by(payment: Payment, seen: ProviderPayment) -> Payment:
    return replace(payment, provider_payment_id=seen.id)


def _differences(payment: Payment, seen: ProviderPayment) -> tuple[str, ...]:
    theirs = Bond(
        provider_payment_id=seen.id,
        shop_id=seen.shop_id,
        is_test=seen.is_test,
        amount=seen.amount,
        payment_id=seen.payment_id,
        account_id=seen.account_id,
        purpose=seen.purpose,
    )
    unequal = differences(payment.bond(seen.id), theirs)
    is_self_contradicting = seen.status is ProviderStatus.SUCCEEDED and not seen.is_paid
    return unequal + _NOT_PAID if is_self_contradicting else unequal
