"""What the provider says about refunds becomes our record of them; each refund moves money once, whoever began it."""

from __future__ import annotations

from collections.abc import Collection

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import provider_account
from billing.payments import disputes_repository, refunds_repository, repository
from billing.payments.news import PaymentNews
from billing.payments.ports import ProviderRefund
from billing.payments.purposes import Purposes
from billing.payments.records import BegunBy, GivenBack, Payment, Refund
from billing.payments.rules import (
    FIRST_CHECK_AFTER,
    RefundFailure,
    RefundId,
    RefundState,
    RefundStatus,
    is_all_gone,
    is_later_refund_state,
)

_CABINET = "refunded in the provider's cabinet"


class RefundStates:
    """Participants in the transaction that holds the payment's lock."""

    def __init__(self, *, purposes: Purposes, news: PaymentNews, clock: Clock, ids: Ids) -> None:
        self._purposes = purposes
        self._news = news
        self._clock = clock
        self._ids = ids

    async def disagreement(self, uow: UnitOfWork, payment: Payment, seen: Collection[ProviderRefund]) -> bool:
        """One of the objects cannot be a refund of this payment, or contradicts what we have recorded of it."""
        named = await self._named(uow, payment, seen)
        return (
            any(
                one.payment_id != payment.provider_payment_id
                or one.amount.currency != payment.amount.currency
                or not 0 < one.amount.micros <= payment.amount.micros
                or ((known := _known(one, named)) is not None and not _agree(known, one, payment))
                for one in seen
            )
            or sum(one.amount.micros for one in seen if one.status is RefundStatus.SUCCEEDED) > payment.amount.micros
        )

    async def apply(self, uow: UnitOfWork, payment: Payment, seen: Collection[ProviderRefund]) -> Payment:
        """Brings our refunds to what the provider said; a state that came late changes nothing.

        Answers the payment with what its refunds have given back by then; its own state is the caller's to write.
        """
        named = await self._named(uow, payment, seen)
        # What came back first: a payment can be refunded again after a refund of it has failed.
        for one in sorted(seen, key=lambda one: (one.status is not RefundStatus.FAILED, one.id)):
            refund = _known(one, named) or await self._first_seen(uow, payment, one)
            payment = await self._moved(uow, payment, refund, one)
        return payment

    async def fail(self, uow: UnitOfWork, payment: Payment, refund: Refund, failure: RefundFailure) -> Refund:
        """Ends a refund of which the provider knows nothing; one of which it has been heard stays as it is."""
        current = await refunds_repository.find_refund(uow, refund.id)
        assert current is not None, "refunds are never deleted"
        if current.state is not RefundState.CREATED:
            return current
        now = self._clock.now()
        failed = await refunds_repository.update_refund(
            uow, refund.id, at=now, state=RefundState.FAILED.value, failure=failure.value, next_check_at=None
        )
        await self._news.refund_failed(uow, payment, failed)
        return failed

    async def _named(self, uow: UnitOfWork, payment: Payment, seen: Collection[ProviderRefund]) -> list[Refund]:
        provider_ids = [one.id for one in seen]
        our_ids = [one.refund_id for one in seen if one.refund_id is not None]
        return await refunds_repository.refunds_named(uow, payment.provider, provider_ids, our_ids)

    async def _first_seen(self, uow: UnitOfWork, payment: Payment, seen: ProviderRefund) -> Refund:
        refund = Refund(
            id=RefundId(self._ids.new("rfd")),
            payment_id=payment.id,
            provider=payment.provider,
            amount=seen.amount,
            state=RefundState.PENDING,
            begun_by=BegunBy.PROVIDER,
            is_overdraft=True,
            reason=_CABINET,
            created_at=self._clock.now(),
            provider_refund_id=seen.id,
        )
        await refunds_repository.insert_refund(uow, refund)
        return refund

    async def _moved(self, uow: UnitOfWork, payment: Payment, refund: Refund, seen: ProviderRefund) -> Payment:
        after = RefundState(seen.status.value)
        now = self._clock.now()
        receipt = refund.receipt_status if seen.receipt is None else seen.receipt
        facts = {"provider_refund_id": seen.id, "receipt_status": receipt}
        if not is_later_refund_state(refund.state, after, failure=refund.failure):
            if (refund.provider_refund_id, refund.receipt_status) != (seen.id, receipt):
                await refunds_repository.update_refund(uow, refund.id, at=now, **facts)
            return payment
        was_booked = refund.state is RefundState.SUCCEEDED
        moved = await refunds_repository.update_refund(
            uow,
            refund.id,
            at=now,
            state=after.value,
            failure=RefundFailure.CANCELED.value if after is RefundState.FAILED else None,
            succeeded_at=now if after is RefundState.SUCCEEDED else refund.succeeded_at,
            # One that we had ended is not asked about any more; now that it works after all, it is again.
            next_check_at=(refund.next_check_at or now + FIRST_CHECK_AFTER) if after is RefundState.PENDING else None,
            **facts,
        )
        if after is RefundState.SUCCEEDED:
            return await self._give(uow, payment, moved)
        if after is RefundState.FAILED:
            await self._news.refund_failed(uow, payment, moved)
        return await self._take_back(uow, payment, moved) if was_booked else payment

    async def _give(self, uow: UnitOfWork, payment: Payment, refund: Refund) -> Payment:
        refunded = payment.refunded + refund.amount
        is_all = await self._is_all_gone(uow, payment, refunded)
        given = GivenBack(refund.amount, provider_account(payment.provider), f"refund:{refund.id}", is_all)
        await self._purposes[payment.purpose].given_back(uow, payment, given)
        await self._news.refunded(uow, payment, refund)
        return await repository.update_payment(uow, payment.id, at=self._clock.now(), refunded_micros=refunded.micros)

    async def _take_back(self, uow: UnitOfWork, payment: Payment, refund: Refund) -> Payment:
        refunded = payment.refunded - refund.amount
        is_all = await self._is_all_gone(uow, payment, refunded)
        given = GivenBack(refund.amount, provider_account(payment.provider), f"refund_reversal:{refund.id}", is_all)
        await self._purposes[payment.purpose].returned(uow, payment, given)
        return await repository.update_payment(uow, payment.id, at=self._clock.now(), refunded_micros=refunded.micros)

    async def _is_all_gone(self, uow: UnitOfWork, payment: Payment, refunded: Money) -> bool:
        disputed = await disputes_repository.standing_of(uow, payment)
        return is_all_gone(payment.amount, refunded=refunded, disputed=disputed)


def _known(seen: ProviderRefund, named: Collection[Refund]) -> Refund | None:
    """Our row: by the provider's id, or by ours where the answer to its creation never reached us."""
    by_provider = next((row for row in named if row.provider_refund_id == seen.id), None)
    return by_provider or next((row for row in named if row.id == seen.refund_id), None)


def _agree(ours: Refund, theirs: ProviderRefund, payment: Payment) -> bool:
    return (
        ours.payment_id == payment.id
        and ours.amount == theirs.amount
        and ours.provider_refund_id in {None, theirs.id}
        and (theirs.refund_id is None or theirs.refund_id == ours.id)
    )
