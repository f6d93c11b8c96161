"""What the scheduler does for payments: asks about what has not ended, compares both books once a day."""

from __future__ import annotations

from billing.kit.jobs import JobQueue, Queue
from billing.payments.janitor import CHECK_JOB, PaymentJanitor
from billing.payments.open_disputes import DISPUTES_JOB, OpenDisputes
from billing.payments.reconciliation import RECONCILE_JOB, Reconciliation

_EVERY_TEN_SECONDS = "* * * * * */10"
_EVERY_TEN_MINUTES_AT_20 = "*/10 * * * * 20"
_EVERY_TEN_MINUTES_AT_40 = "*/10 * * * * 40"


def register(queue: JobQueue, janitor: PaymentJanitor, reconciliation: Reconciliation, disputes: OpenDisputes) -> None:
    """Says what runs when. Ticks only look what is due: whoever waits for a provider does so in a queue of its own."""

    async def check() -> None:
        await janitor.check_due()

    async def reconcile() -> None:
        await reconciliation.run_due()

    async def check_disputes() -> None:
        await disputes.check_due()

    async def enqueue_checks() -> None:
        await janitor.enqueue_due()

    async def enqueue_reconciliation() -> None:
        await reconciliation.enqueue_due()

    async def enqueue_disputes() -> None:
        await disputes.enqueue_due()

    queue.register(CHECK_JOB, Queue.PAYMENT_SYNC, check)
    queue.register(RECONCILE_JOB, Queue.PAYMENT_SYNC, reconcile)
    queue.register(DISPUTES_JOB, Queue.PAYMENT_SYNC, check_disputes)
    queue.register_tick("payments.check_due", _EVERY_TEN_SECONDS, enqueue_checks)
    queue.register_tick("payments.reconcile_due", _EVERY_TEN_MINUTES_AT_20, enqueue_reconciliation)
    queue.register_tick("payments.disputes_due", _EVERY_TEN_MINUTES_AT_40, enqueue_disputes)
