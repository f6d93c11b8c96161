"""What the scheduler does for customers: removes what has ended."""

from __future__ import annotations

import structlog

from billing.customers.service import CustomersService
from billing.kit.jobs import JobQueue

_log = structlog.get_logger(__name__)
_HOURLY = "0 17 * * * *"


def register(queue: JobQueue, service: CustomersService) -> None:
    """Says what runs when."""

    async def sweep() -> None:
        _log.info("customers_swept", rows=await service.sweep())

    queue.register_tick("customers.sweep", _HOURLY, sweep)
