"""Asks what became of receipts that were pending when their money moved, and lists those that the tax office lacks."""

from __future__ import annotations

from datetime import timedelta

import structlog

from billing.kit.clock import Clock
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import receipts_repository, repository
from billing.payments.errors import ProviderMalformed, ProviderObjectUnknown, ProviderRejected
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.read_back import ReadBack
from billing.payments.receipts_rules import UnregisteredReceipt
from billing.payments.rules import ReceiptStatus

_log = structlog.get_logger(__name__)

JOB = "payments.receipts"
_ASKED_AT_ONCE = 50
_AGAIN_AFTER = timedelta(hours=1)
_ASKED_FOR = timedelta(days=7)


class ReceiptChecks:
    """Keeps our record of receipts true; nothing about money depends on it."""

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

    async def enqueue(self) -> None:
        """Has a worker ask; nothing where nobody collects."""
        if self._provider is None:
            return
        async with self._begin() as uow:
            await self._job_queue.enqueue(uow, JOB, Queue.PAYMENT_SYNC, lock=JOB)

    async def run(self) -> int:
        """Asks about waiting receipts, 50 payments at the most, each at most once an hour and for seven days.

        Says about how many it asked.

        Raises:
            ProviderFailure: the provider could not be asked; the rest is asked about an hour later.
        """
        provider, now = self._provider, self._clock.now()
        if provider is None:
            return 0
        async with self._begin() as uow:
            due = await receipts_repository.lease_waiting(
                uow,
                provider=provider.name,
                shop_id=provider.shop_id,
                since=now - _ASKED_FOR,
                before=now - _AGAIN_AFTER,
                now=now,
                limit=_ASKED_AT_ONCE,
            )
        for payment_id in due:
            async with self._begin() as uow:
                payment = await repository.find(uow, payment_id)
            assert payment is not None, "payments are never deleted"
            try:
                applied = await ReadBack(begin=self._begin, provider=provider, states=self._states).payment(
                    payment, with_all=True
                )
            except (ProviderMalformed, ProviderObjectUnknown, ProviderRejected) as failure:
                # It is about this one alone, and comes again in an hour; the others must not wait for it.
                _log.warning("receipt_not_asked", payment_id=payment_id, code=failure.code)
                continue
            if applied.payment.receipt_status is ReceiptStatus.FAILED:
                _log.error("receipt_failed", payment_id=payment_id)
        return len(due)

    async def unregistered(self, uow: UnitOfWork, *, only_failed: bool, limit: int) -> tuple[UnregisteredReceipt, ...]:
        """The receipts of money that has moved, which the tax office does not have, newest first, 200 at the most."""
        return await receipts_repository.unregistered(uow, only_failed=only_failed, limit=limit)
