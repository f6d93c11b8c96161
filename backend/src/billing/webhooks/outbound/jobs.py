"""The jobs of webhooks to customers."""

from __future__ import annotations

from billing.kit.jobs import JobQueue, Queue
from billing.webhooks.outbound.delivering import DELIVER_JOB, Dispatcher

_EVERY_FIVE_SECONDS = "* * * * * */5"
_DAILY = "40 3 * * *"


def register(queue: JobQueue, dispatcher: Dispatcher) -> None:
    """Registers the visit to one endpoint, the tick that routes messages and finds who is due, and the sweep."""

    async def dispatch() -> None:
        await dispatcher.route()
        await dispatcher.visit_due()

    async def sweep() -> None:
        await dispatcher.sweep()

    queue.register(DELIVER_JOB, Queue.OUTBOUND, dispatcher.deliver)
    queue.register_tick("webhooks.dispatch", _EVERY_FIVE_SECONDS, dispatch)
    queue.register_tick("webhooks.sweep", _DAILY, sweep)
