"""What the worker does for the free quota."""

from __future__ import annotations

from billing.kit.jobs import JobQueue
from billing.quotas.service import QuotaService


def register(queue: JobQueue, service: QuotaService) -> None:
    """Gives back, every half minute, what calls that never came back have set aside; forgets old networks hourly."""

    async def sweep() -> None:
        await service.sweep()

    async def forget_networks() -> None:
        await service.forget_networks()

    queue.register_tick("quotas.sweep", "* * * * * */30", sweep)
    queue.register_tick("quotas.forget_networks", "0 23 * * * *", forget_networks)
