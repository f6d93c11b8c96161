"""A job queue in a database of its own, with workers that a test starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import URL

from billing.kit.database import application_engine
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, units_of_work

_WAIT_SECONDS_MAX = 15.0
_LOOK_SECONDS = 0.02

_STANDING = text("SELECT task_name, status::text, attempts FROM procrastinate_jobs ORDER BY id LIMIT 100")
# The queue tells its workers of new jobs only; one whose wait is over is found at their next look, a second later.
_MAKE_DUE = text(
    """
    WITH due AS (
        UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo' RETURNING id, queue_name
    )
    SELECT pg_notify('procrastinate_queue_v1#' || queue_name,
                     json_build_object('type', 'job_inserted', 'job_id', id)::text)
    FROM due
    """,
)
# What a dead worker leaves behind once thirty seconds have passed.
_AGE_HEARTBEATS = text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 seconds'")


@dataclass(frozen=True)
class Standing:
    """Where one job stands."""

    name: str
    status: str
    attempts: int


@dataclass(frozen=True)
class JobDesk:
    """A queue, and what its database says about the jobs in it."""

    queue: JobQueue
    begin: Begin
    database_url: URL

    def another_process(self) -> JobQueue:
        """The queue as another process sees it: with its own connections and its own registrations."""
        return JobQueue(self.database_url)

    async def enqueue(self, name: str, queue: Queue, *, lock: str | None = None) -> None:
        """Puts one job into the queue and commits."""
        async with self.begin() as uow:
            await self.queue.enqueue(uow, name, queue, lock=lock)

    async def standing(self) -> list[Standing]:
        """Every job that is not done, oldest first; jobs that succeeded are deleted."""
        async with self.begin() as uow:
            return [Standing(*row) for row in await uow.connection.execute(_STANDING)]

    async def make_due(self) -> None:
        """Lets the wait between two tries pass."""
        async with self.begin() as uow:
            await uow.connection.execute(_MAKE_DUE)

    async def age_heartbeats(self) -> None:
        """Lets so much time pass that every worker which is not alive counts as dead."""
        async with self.begin() as uow:
            await uow.connection.execute(_AGE_HEARTBEATS)

    async def until(self, is_reached: Callable[[list[Standing]], bool]) -> list[Standing]:
        """Looks until the jobs stand like that, for fifteen seconds at the most."""

        async def look() -> list[Standing]:
            while not is_reached(standing := await self.standing()):  # noqa: ASYNC110 - rows set no event
                await asyncio.sleep(_LOOK_SECONDS)  # bounded by the timeout below
            return standing

        return await asyncio.wait_for(look(), _WAIT_SECONDS_MAX)

    async def work_off(self, *queues: Queue, is_reached: Callable[[list[Standing]], bool]) -> list[Standing]:
        """Works on these queues until the jobs stand like that; no worker starts for nothing."""
        if is_reached(standing := await self.standing()):
            return standing
        async with working(self.queue, *queues):
            return await self.until(is_reached)


class Ticks(JobQueue):
    """A queue that only remembers what the scheduler would do."""

    def __init__(self) -> None:
        self.work: dict[str, Callable[[], Awaitable[None]]] = {}

    def register_tick(
        self, name: str, cron: str, work: Callable[[], Awaitable[None]], *, may_overlap: bool = False
    ) -> None:
        """Remembers it."""
        assert cron
        assert not may_overlap
        self.work[name] = work


class HandTicked(JobQueue):
    """The real queue, whose ticks run when the test says so."""

    def __init__(self, database_url: URL) -> None:
        super().__init__(database_url)
        self.ticks: dict[str, Callable[[], Awaitable[None]]] = {}

    def register_tick(
        self, name: str, cron: str, work: Callable[[], Awaitable[None]], *, may_overlap: bool = False
    ) -> None:
        """Remembers it."""
        assert (len(cron.split()), may_overlap) == (6, False)
        self.ticks[name] = work


@contextlib.asynccontextmanager
async def job_desk(database_url: URL) -> AsyncIterator[JobDesk]:
    """The desk over this database, until it is left."""
    engine = application_engine(database_url, connections_max=2)
    yield JobDesk(JobQueue(database_url), units_of_work(engine), database_url)
    await engine.dispose()


@contextlib.asynccontextmanager
async def working(queue: JobQueue, *queues: Queue) -> AsyncIterator[None]:
    """Workers for these queues; jobs in hand are finished when it is left."""
    workers = asyncio.create_task(queue.run_workers(queues))
    try:
        yield
    finally:
        workers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await workers


def none_left(standing: list[Standing]) -> bool:
    """Every job succeeded."""
    return not standing
