"""The jobs of webhooks to customers."""

from __future__ import annotations

from billing.kit.jobs import JobQueue, Queue
from billing.webhooks.outbound.delivering import DELIVER_JOB, Dispatcher

_EVERY_FIVE_SECONDS = "* * * * * */5"


def register(queue: JobQueue, dispatcher: Dispatcher) -> None:
    """Registers the visit to one endpoint, and the tick that routes messages and finds endpoints that are due."""

    async def dispatch() -> None:
        await dispatcher.route()
        await dispatcher.visit_due()

    queue.register(DELIVER_JOB, Queue.OUTBOUND, dispatcher.deliver)
    queue.register_tick("webhooks.dispatch", _EVERY_FIVE_SECONDS, dispatch)
