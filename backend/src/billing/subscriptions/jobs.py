"""What workers and the scheduler do for plans: the credit of periods that begin, the renewal of those that end."""

from __future__ import annotations

from billing.kit.jobs import JobQueue, Queue
from billing.subscriptions.renewals import JOB, Renewals
from billing.subscriptions.rules import RenewalId

_EVERY_MINUTE_AT_10 = "* * * * * 10"
_EVERY_MINUTE_AT_40 = "* * * * * 40"  # not beside the other tick


def register(queue: JobQueue, renewals: Renewals) -> None:
    """Says what runs when; what one run leaves is the next one's. Whoever waits for a provider does so in its queue."""

    async def charge(renewal_id: str, attempt: str) -> None:
        await renewals.charge(RenewalId(renewal_id), int(attempt))

    async def give_credit() -> None:
        await renewals.give_credit()

    async def enqueue_due() -> None:
        await renewals.enqueue_due()

    queue.register(JOB, Queue.PAYMENT_SYNC, charge)
    queue.register_tick("subscriptions.give_credit", _EVERY_MINUTE_AT_10, give_credit)
    queue.register_tick("subscriptions.renew", _EVERY_MINUTE_AT_40, enqueue_due)
