"""Jobs on PostgreSQL (Procrastinate), enqueued by the very transaction that needs them.

Sources: Procrastinate's documentation on deferring with an existing connection; a killed worker's job stays `doing`
until somebody retries it, which is why `retry_stalled` exists.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import structlog
from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.jobs import Job, Status
from psycopg import AsyncConnection as PsycopgConnection
from sqlalchemy.engine import URL

from billing.kit.database import APPLICATION_ROLE, libpq_text
from billing.kit.errors import BillingError
from billing.kit.unit_of_work import UnitOfWork

_log = structlog.get_logger(__name__)

STALLED_AFTER_SECONDS = 30.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_SECONDS = 1.0  # only a fallback: PostgreSQL's NOTIFY wakes the worker


class Queue(StrEnum):
    """The queues; each has workers of its own, so that one cannot starve another."""

    USAGE = "billing-usage"
    INVOICE = "billing-invoice"
    PAYMENT_SYNC = "billing-payment-sync"
    OUTBOUND = "billing-outbound"
    SCHEDULER = "billing-scheduler"


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How many jobs of a queue run at once, how often one is tried, and the first wait between tries."""

    concurrency: int
    attempts_max: int
    first_wait_seconds: int


QUEUE_RULES = {
    Queue.USAGE: QueueRules(concurrency=5, attempts_max=3, first_wait_seconds=1),
    Queue.INVOICE: QueueRules(concurrency=2, attempts_max=3, first_wait_seconds=2),
    Queue.PAYMENT_SYNC: QueueRules(concurrency=5, attempts_max=5, first_wait_seconds=2),
    Queue.OUTBOUND: QueueRules(concurrency=10, attempts_max=3, first_wait_seconds=2),
    Queue.SCHEDULER: QueueRules(concurrency=1, attempts_max=1, first_wait_seconds=1),
}

Work = Callable[..., Awaitable[None]]


class JobQueue:
    """Where jobs are put and where workers get them."""

    def __init__(self, database_url: URL) -> None:
        self._app = App(
            connector=PsycopgConnector(
                conninfo=libpq_text(database_url),
                kwargs={"options": f"-c role={APPLICATION_ROLE} -c timezone=UTC"},
                min_size=1,
                max_size=8,
            ),
        )

    def register(self, name: str, queue: Queue, work: Work) -> None:
        """Says what runs under this name; refusals (`BillingError`) are final, everything else is tried again."""
        rules = QUEUE_RULES[queue]
        retry = RetryStrategy(max_attempts=rules.attempts_max - 1, exponential_wait=rules.first_wait_seconds)

        async def run(**arguments: Any) -> None:
            try:
                await work(**arguments)
            except BillingError as refusal:
                _log.warning("job_refused", job=name, code=refusal.code, sentence=refusal.sentence)

        # The strategy reads a maximum of 0 as "without end".
        self._app.task(name=name, queue=queue.value, retry=retry if rules.attempts_max > 1 else False)(run)

    def register_tick(
        self, name: str, cron: str, work: Callable[[], Awaitable[None]], *, may_overlap: bool = False
    ) -> None:
        """Runs `work` by a cron expression (six fields, seconds last), once over all workers, never two at a time.

        A tick whose worker was killed stands in the way of its next run until `retry_stalled` clears it away; so the
        tick that calls `retry_stalled` is one that `may_overlap`.
        """

        async def run(timestamp: int) -> None:
            del timestamp  # ticks read our own due moments with our own clock
            await work()

        lock = None if may_overlap else name
        task = self._app.task(name=name, queue=Queue.SCHEDULER.value, queueing_lock=name, lock=lock)(run)
        self._app.periodic(cron=cron)(task)

    async def enqueue(
        self, uow: UnitOfWork, name: str, queue: Queue, *, lock: str | None = None, **arguments: str
    ) -> None:
        """Puts a job into the queue with the open transaction; a rollback leaves no job behind.

        Jobs with the same `lock` run one after the other.
        """
        raw = await uow.connection.get_raw_connection()
        connection = cast("PsycopgConnection[Any]", raw.driver_connection)
        job = self._app.configure_task(name, queue=queue.value, lock=lock, connection=connection)
        await job.defer_async(**arguments)

    async def run_workers(self, queues: tuple[Queue, ...]) -> None:
        """Works until the process is told to stop; jobs in hand are finished first."""
        async with self._app.open_async(), asyncio.TaskGroup() as group:
            workers = [group.create_task(self._run_worker(queue)) for queue in queues]
            with _each_cancelled_by_signals(workers):
                await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)

    async def retry_stalled(self) -> int:
        """Gives the jobs of workers that died back to the queue; says how many there were.

        A job that has used up its attempts fails: it may be what kills the workers. A tick is dropped: its next run
        does the same work, and may wait in the queue already, where there is room for one of each tick.
        """
        manager = self._app.job_manager
        stalled = list(await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_SECONDS))
        for job in stalled:
            is_tick = job.queueing_lock is not None
            _log.warning("job_stalled", job=job.task_name, job_id=job.id, attempts=job.attempts, is_tick=is_tick)
            if is_tick or not _has_attempts_left(job):
                await manager.finish_job(job, Status.FAILED, delete_job=is_tick)
            else:
                await manager.retry_job(job)
        return len(stalled)

    async def _run_worker(self, queue: Queue) -> None:
        await self._app.run_worker_async(
            queues=[queue.value],
            name=queue.value,
            concurrency=QUEUE_RULES[queue].concurrency,
            fetch_job_polling_interval=_POLL_SECONDS,
            delete_jobs="successful",
            install_signal_handlers=False,  # a process has one handler: the last worker's would stop that one only
        )


@contextmanager
def _each_cancelled_by_signals(workers: Sequence[asyncio.Task[None]]) -> Iterator[None]:
    """SIGTERM and SIGINT cancel every worker, which is how Procrastinate's are asked to finish and end."""

    def cancel_each() -> None:
        for worker in workers:
            worker.cancel()

    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, cancel_each)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _has_attempts_left(job: Job) -> bool:
    """The attempt that its worker did not survive counts."""
    return job.attempts + 1 < QUEUE_RULES[Queue(job.queue)].attempts_max
