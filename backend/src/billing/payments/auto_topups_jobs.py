"""What workers and the scheduler do for automatic top-ups."""

from __future__ import annotations

from datetime import datetime

from billing.customers.rules import AccountId
from billing.kit.jobs import JobQueue, Queue
from billing.payments.auto_topups_runs import JOB, AutoTopupRuns

_EVERY_HALF_MINUTE = "* * * * * */30"


def register(queue: JobQueue, runs: AutoTopupRuns) -> None:
    """Says what runs when; what one run leaves is the next one's."""

    async def charge(account_id: str, leased_until: str) -> None:
        await runs.run(AccountId(account_id), datetime.fromisoformat(leased_until))

    async def enqueue_due() -> None:
        await runs.enqueue_due()

    queue.register(JOB, Queue.PAYMENT_SYNC, charge)
    queue.register_tick("payments.auto_topups", _EVERY_HALF_MINUTE, enqueue_due)
