"""What workers and the scheduler do for receipts."""

from __future__ import annotations

from billing.kit.jobs import JobQueue, Queue
from billing.payments.receipts_checks import JOB, ReceiptChecks

_EVERY_FIVE_MINUTES = "*/5 * * * * 50"


def register(queue: JobQueue, checks: ReceiptChecks) -> None:
    """Says what runs when."""

    async def ask() -> None:
        await checks.run()

    async def enqueue() -> None:
        await checks.enqueue()

    queue.register(JOB, Queue.PAYMENT_SYNC, ask)
    queue.register_tick("payments.receipts_due", _EVERY_FIVE_MINUTES, enqueue)
