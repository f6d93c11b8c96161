"""The inbox's jobs."""

from __future__ import annotations

from billing.kit.jobs import JobQueue, Queue
from billing.webhooks.service import HAND_OVER_JOB, InboxService

_EVERY_FIVE_SECONDS = "* * * * * */5"


def register(queue: JobQueue, service: InboxService) -> None:
    """Registers the handing over of one message, and the tick that finds those whose moment has come."""

    async def hand_over_due() -> None:
        await service.hand_over_due()

    queue.register(HAND_OVER_JOB, Queue.PAYMENT_SYNC, service.hand_over)
    queue.register_tick("webhooks.hand_over_due", _EVERY_FIVE_SECONDS, hand_over_due)
