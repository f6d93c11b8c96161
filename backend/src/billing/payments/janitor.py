"""Asks the provider about what has not ended, so that a payment is finished although nobody comes back for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from billing.kit.clock import Clock
from billing.kit.errors import BillingError
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import check_repository, repository
from billing.payments.beginning import Checkout
from billing.payments.check_repository import DuePayment, DueRefund
from billing.payments.comparison import StuckObject
from billing.payments.errors import ProviderFailure, ProviderListHoles
from billing.payments.news import PaymentNews
from billing.payments.outages import CANNOT_BE_ASKED, is_provider_down
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.read_back import ReadBack
from billing.payments.records import Payment
from billing.payments.refunds import RefundService
from billing.payments.rules import (
    KEY_IS_SAFE_FOR,
    LIVE_STATES,
    Cancellation,
    PaymentState,
    ProviderPaymentId,
    key_is_safe,
)
from billing.payments.schedules import after_no_answer, next_check_at

_log = structlog.get_logger(__name__)

CHECK_JOB = "payments.check"

LEASE = timedelta(minutes=15)
"""So long has a worker for what it took; it is due again for others afterwards."""

_AT_ONCE_MAX = 50
_SHOWN_MAX = 200
_HOLES_MAX = 50
_CLOCKS_DIFFER_BY = timedelta(hours=1)


@dataclass(slots=True)
class Round:
    """What one round came to; `down` says until when a provider that could not be asked is left alone."""

    checked: int = 0
    ended: int = 0
    put_off: int = 0
    stuck: int = 0
    down: dict[str, datetime] = field(default_factory=dict)


class PaymentJanitor:
    """Finishes payments and refunds by a schedule of checks; whatever it learns goes the way of every other news.

    A payment that the provider has not named is begun again under its key while the key is safe, and is looked for in
    the provider's list afterwards; what is not there never began, and is canceled.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        job_queue: JobQueue,
        checkout: Checkout,
        refunds: RefundService,
        states: ProviderStates,
        news: PaymentNews,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._job_queue = job_queue
        self._checkout = checkout
        self._refunds = refunds
        self._states = states
        self._news = news

    async def enqueue_due(self) -> bool:
        """Puts a round into the queue if anything is due; says whether it did. Run by a tick, which must not wait."""
        async with self._begin() as uow:
            is_due = await check_repository.is_anything_due(uow, self._clock.now())
            if is_due:
                await self._job_queue.enqueue(uow, CHECK_JOB, Queue.PAYMENT_SYNC, lock=CHECK_JOB)
        return is_due

    async def check_due(self) -> Round:
        """Asks about the payments and refunds whose moment has come, fifty of each at the most.

        A provider that cannot be asked is left alone for the rest of the round: what was due there stays so, and none
        of its checks is used up. Where it is only one object that it does not show, this one's check is used up.
        """
        now, done = self._clock.now(), Round()
        async with self._begin() as uow:
            leased = await check_repository.lease(uow, now=now, until=now + LEASE, limit=_AT_ONCE_MAX)
        for due in leased:
            await self._check(due, done)
        return done

    async def stuck(self, *, limit: int = 100) -> tuple[StuckObject, ...]:
        """The payments and refunds that nothing finishes any more without a person, oldest first, 200 at the most."""
        async with self._begin() as uow:
            return await check_repository.stuck(uow, limit=min(limit, _SHOWN_MAX))

    async def _check(self, due: DuePayment | DueRefund, done: Round) -> None:
        """Asks about one and says when it is due next."""
        again_at = done.down.get(due.provider) or await self._asked(due, done)
        is_put_off = again_at is not None
        at = again_at or next_check_at(due.created_at, now=self._clock.now())
        async with self._begin() as uow:
            is_open = await check_repository.put_back(uow, due, at=at, counts=not is_put_off)
            if is_open and at is None:
                await self._tell(uow, due)
        done.put_off += is_put_off
        done.checked += not is_put_off
        done.ended += not is_open
        done.stuck += is_open and at is None

    async def _tell(self, uow: UnitOfWork, due: DuePayment | DueRefund) -> None:
        """Nothing will finish it any more by itself: whoever runs this and, for a payment, whoever paid shall know."""
        _log.error("payment_stuck", object_id=due.id)
        if isinstance(due, DuePayment):
            payment = await repository.find(uow, due.id)
            assert payment is not None, "payments are never deleted"
            await self._news.stuck(uow, payment)

    async def _asked(self, due: DuePayment | DueRefund, done: Round) -> datetime | None:
        """Asks about one; answers when to ask again if the provider could not be asked at all."""
        try:
            if isinstance(due, DuePayment):
                await self._finish(due)
            else:
                await self._refunds.finish(due.id)
        except CANNOT_BE_ASKED as failure:
            if await is_provider_down(self._checkout.require_provider(), failure):
                return self._down(due, failure, done)
            _log.warning("object_cannot_be_asked", object_id=due.id, code=failure.code)
        except BillingError as failure:
            # It is about this one alone: its schedule goes on, and the others' too.
            _log.warning("check_failed", object_id=due.id, code=failure.code)
        return None

    def _down(self, due: DuePayment | DueRefund, failure: ProviderFailure, done: Round) -> datetime:
        """Until when the provider is left alone."""
        _log.warning("provider_cannot_be_asked", provider=due.provider, code=failure.code)
        until = after_no_answer(self._clock.now(), retry_after_seconds=failure.retry_after_seconds)
        done.down[due.provider] = until
        return until

    async def _finish(self, due: DuePayment) -> None:
        async with self._begin() as uow:
            payment = await repository.find(uow, due.id)
        assert payment is not None, "payments are never deleted"
        if payment.state not in LIVE_STATES:
            return
        is_unnamed = payment.state is PaymentState.CREATED and payment.provider_payment_id is None
        if is_unnamed and not key_is_safe(payment.created_at, now=self._clock.now()):
            await self._look_for(payment)
        else:
            await self._checkout.finish(payment)

    async def _look_for(self, payment: Payment) -> None:
        """Finds the payment among all that the shop began while its key was in use, by our id that it carries."""
        provider = self._checkout.provider_of(payment)
        found = await self._found(provider, payment)
        if found is not None:
            await ReadBack(begin=self._begin, provider=provider, states=self._states).named(found)
            return
        async with self._begin() as uow:
            await self._states.end_unbegun(uow, payment.id, Cancellation.NEVER_BEGUN)

    async def _found(self, provider: PaymentProvider, payment: Payment) -> ProviderPaymentId | None:
        """The provider's id of the payment; None where it certainly has none.

        Raises:
            ProviderFailure: the list has something that nobody understands, and that may be it; or it is no list.
        """
        since = payment.created_at - _CLOCKS_DIFFER_BY
        until = payment.created_at + KEY_IS_SAFE_FOR + _CLOCKS_DIFFER_BY
        try:
            async for seen in provider.list_payments(since=since, until=until):
                if seen.payment_id == payment.id:
                    return seen.id
        except ProviderListHoles as holes:
            if len(holes.objects) > _HOLES_MAX:
                raise
            for hole in holes.objects:
                # Not understood as a part of the list, it may be by itself; what is not may be the payment.
                if (await provider.get_payment(ProviderPaymentId(hole))).payment_id == payment.id:
                    return ProviderPaymentId(hole)
        return None
