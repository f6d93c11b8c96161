"""Asks once a day how each open dispute stands, so that one whose end nobody told us of ends here too."""

from __future__ import annotations

from datetime import timedelta

import structlog

from billing.kit.clock import Clock
from billing.kit.errors import BillingError
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin
from billing.payments import check_repository
from billing.payments.outages import CANNOT_BE_ASKED, is_provider_down
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.read_back import ReadBack

_log = structlog.get_logger(__name__)

DISPUTES_JOB = "payments.disputes"

EVERY = timedelta(days=1)

_AT_ONCE_MAX = 50


class OpenDisputes:
    """Reads payments back whose dispute is open; what has become of them goes the way of every other news."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        job_queue: JobQueue,
        provider: PaymentProvider | None,
        states: ProviderStates,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._job_queue = job_queue
        self._provider = provider
        self._states = states

    async def enqueue_due(self) -> bool:
        """Puts a round into the queue if nobody has asked about some open dispute for a day; says whether it did.

        Run by a tick, which must not wait for the provider.
        """
        if self._provider is None:
            return False
        async with self._begin() as uow:
            due = await check_repository.payments_in_dispute(
                uow, self._provider, asked_before=self._clock.now() - EVERY, limit=1
            )
            if due:
                await self._job_queue.enqueue(uow, DISPUTES_JOB, Queue.PAYMENT_SYNC, lock=DISPUTES_JOB)
        return bool(due)

    async def check_due(self) -> int:
        """Asks about those that nobody has asked about for a day, the longest ago first, fifty payments at the most.

        Says about how many it asked. One that cannot be read waits for the next day like all others; from a provider
        that cannot be asked at all on, what is due stays due.
        """
        provider = self._provider
        if provider is None:
            return 0
        async with self._begin() as uow:
            due = await check_repository.payments_in_dispute(
                uow, provider, asked_before=self._clock.now() - EVERY, limit=_AT_ONCE_MAX
            )
        read_back = ReadBack(begin=self._begin, provider=provider, states=self._states)
        for asked, payment in enumerate(due):
            try:
                await read_back.payment(payment, with_all=True)
            except BillingError as failure:
                _log.warning("dispute_not_asked", payment_id=payment.id, code=failure.code)
                if isinstance(failure, CANNOT_BE_ASKED) and await is_provider_down(provider, failure):
                    return asked
            async with self._begin() as uow:
                await check_repository.dispute_asked(uow, payment.id, at=self._clock.now())
        return len(due)
