"""The worker: takes jobs from the queues and runs the scheduler's ticks until it is told to stop."""

from __future__ import annotations

import structlog

from billing.kit.jobs import Queue
from billing.wiring.services import Services, register_jobs

_log = structlog.get_logger(__name__)


async def work(services: Services) -> bool:
    """Works on every queue; False, at once, where the flag `WORKER_BILLING_ENABLED` keeps the queues closed."""
    if not services.settings.flags.worker:
        _log.warning("worker_disabled", sentence="WORKER_BILLING_ENABLED is off: jobs wait in their queues.")
        return False
    register_jobs(services)
    _log.info("worker_started", queues=[queue.value for queue in Queue])
    await services.job_queue.run_workers(tuple(Queue))
    return True
