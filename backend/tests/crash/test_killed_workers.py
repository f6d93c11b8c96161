"""Whichever worker is killed in the middle of a job, another one does it, or it is given up; none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.jobs import JobDesk, Standing, job_desk, none_left, working
from backend.tests.crash.processes import started
from billing.kit.jobs import QUEUE_RULES, Queue

JOB = "tests.work"
RESCUE = "tests.rescue"

pytestmark = pytest.mark.slow


@pytest.fixture
async def desk(own_database: URL) -> AsyncIterator[JobDesk]:
    """A queue that no other test works on."""
    async with job_desk(own_database) as desk:
        yield desk


class Runs:
    """Work that counts how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


class TestAKilledWorker:
    async def test_a_job_whose_worker_was_killed_is_done_by_another(self, desk: JobDesk) -> None:
        await desk.enqueue(JOB, Queue.PAYMENT_SYNC)
        await kill_a_worker_in_the_middle_of("job", desk)
        runs = Runs()
        desk.queue.register(JOB, Queue.PAYMENT_SYNC, runs)

        await rescue(desk, Queue.PAYMENT_SYNC, is_reached=none_left)

        assert runs.times == 1

    async def test_a_job_that_kills_every_worker_is_given_up(self, desk: JobDesk) -> None:
        await desk.enqueue(JOB, Queue.PAYMENT_SYNC)
        attempts_max = QUEUE_RULES[Queue.PAYMENT_SYNC].attempts_max
        await pretend_attempts(desk, attempts_max - 1)
        await kill_a_worker_in_the_middle_of("job", desk)

        await rescue(desk, is_reached=lambda standing: len(standing) == 1)

        assert await desk.standing() == [Standing(JOB, "failed", attempts_max)]

    async def test_a_killed_tick_with_its_next_run_waiting_keeps_nobody_from_being_rescued(self, desk: JobDesk) -> None:
        await kill_a_worker_in_the_middle_of("tick", desk)
        await defer_the_next_run_of_the_tick(desk)
        await desk.enqueue(JOB, Queue.PAYMENT_SYNC)
        await kill_a_worker_in_the_middle_of("job", desk)
        runs = Runs()
        desk.queue.register(JOB, Queue.PAYMENT_SYNC, runs)

        await rescue(desk, Queue.PAYMENT_SYNC, is_reached=lambda standing: len(standing) == 1)

        assert runs.times == 1
        assert await desk.standing() == [Standing("tests.tick", "todo", 0)]

    async def test_the_rescuing_tick_itself_may_be_killed(self, desk: JobDesk) -> None:
        await kill_a_worker_in_the_middle_of("rescuing-tick", desk)
        await desk.age_heartbeats()
        rescued = asyncio.Event()

        async def rescue_at_once() -> None:
            if await desk.queue.retry_stalled():
                rescued.set()

        desk.queue.register_tick("tests.tick", "* * * * * *", rescue_at_once, may_overlap=True)
        async with working(desk.queue, Queue.SCHEDULER):
            await asyncio.wait_for(rescued.wait(), timeout=10)


async def kill_a_worker_in_the_middle_of(part: str, desk: JobDesk) -> None:
    async with started("worker", part, desk.database_url) as child:
        assert await child.says() == "in the middle"
        await child.kill()


async def rescue(desk: JobDesk, *queues: Queue, is_reached: Callable[[list[Standing]], bool]) -> None:
    """Lets thirty seconds pass, and clears up in a worker."""

    async def retry_stalled() -> None:
        await desk.queue.retry_stalled()

    await desk.age_heartbeats()
    desk.queue.register(RESCUE, Queue.USAGE, retry_stalled)
    await desk.enqueue(RESCUE, Queue.USAGE)
    await desk.work_off(Queue.USAGE, *queues, is_reached=is_reached)


async def pretend_attempts(desk: JobDesk, attempts: int) -> None:
    async with desk.begin() as uow:
        await uow.connection.execute(text("UPDATE procrastinate_jobs SET attempts = :n"), {"n": attempts})


async def defer_the_next_run_of_the_tick(desk: JobDesk) -> None:
    """As every worker's scheduler does when the moment comes."""
    async with desk.begin() as uow:
        await uow.connection.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)"
                " VALUES (:queue, 'tests.tick', 'tests.tick', 'tests.tick', '{\"timestamp\": 1}')"
            ),
            {"queue": Queue.SCHEDULER.value},
        )
