"""What the scheduler does for plans: gives the credit of periods that begin, renews those that end."""

from __future__ import annotations

from billing.kit.jobs import JobQueue
from billing.subscriptions.renewals import Renewals

_EVERY_MINUTE = "* * * * * 10"
_EVERY_MINUTE_TOO = "* * * * * 40"


def register(queue: JobQueue, renewals: Renewals) -> None:
    """Says what runs when; each run is bounded, and what it leaves is the next one's."""

    async def give_credit() -> None:
        await renewals.give_credit()

    async def renew() -> None:
        await renewals.renew()

    queue.register_tick("subscriptions.give_credit", _EVERY_MINUTE, give_credit)
    queue.register_tick("subscriptions.renew", _EVERY_MINUTE_TOO, renew)
