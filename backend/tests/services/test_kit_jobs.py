"""Jobs live and die with the transaction that wants them, and none is lost, whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.jobs import JobDesk, Standing, job_desk, none_left, working
from billing.kit.errors import InvalidInput
from billing.kit.jobs import QUEUE_RULES, Queue

JOB = "tests.work"
RESCUE = "tests.rescue"


@pytest.fixture
async def desk(own_database: URL) -> AsyncIterator[JobDesk]:
    """A queue that no other test works on."""
    async with job_desk(own_database) as desk:
        yield desk


def tried(attempts: int) -> Callable[[list[Standing]], bool]:
    return lambda standing: standing == [Standing(JOB, "todo", attempts)]


class Runs:
    """Work that counts how often it was done, and then raises what it was told to."""

    def __init__(self, ending: Exception | None = None) -> None:
        self.times = 0
        self._ending = ending

    async def __call__(self) -> None:
        self.times += 1
        if self._ending is not None:
            raise self._ending


class TestEnqueueing:
    async def test_a_job_of_a_committed_transaction_waits_for_a_worker(self, desk: JobDesk) -> None:
        await desk.enqueue(JOB, Queue.USAGE)

        assert await desk.standing() == [Standing(JOB, "todo", 0)]

    async def test_a_rollback_leaves_no_job(self, desk: JobDesk) -> None:
        with pytest.raises(InvalidInput):
            async with desk.begin() as uow:
                await desk.queue.enqueue(uow, JOB, Queue.USAGE)
                raise InvalidInput("field", "Refused after the job was put into the queue.")

        assert await desk.standing() == []

    async def test_nobody_can_work_on_a_job_before_its_transaction_commits(self, desk: JobDesk) -> None:
        runs = Runs()
        desk.queue.register(JOB, Queue.USAGE, runs)
        desk.queue.register("tests.marker", Queue.USAGE, Runs())
        enqueued, commit = asyncio.Event(), asyncio.Event()

        async def hesitate() -> None:
            async with desk.begin() as uow:
                await desk.queue.enqueue(uow, JOB, Queue.USAGE)
                enqueued.set()
                await commit.wait()

        hesitating = asyncio.create_task(hesitate())
        await enqueued.wait()
        await desk.enqueue("tests.marker", Queue.USAGE)
        await desk.work_off(Queue.USAGE, is_reached=none_left)
        times_before = runs.times
        commit.set()
        await hesitating
        await desk.work_off(Queue.USAGE, is_reached=none_left)

        assert (times_before, runs.times) == (0, 1)


class TestEndings:
    async def test_a_job_that_succeeds_leaves_the_queue(self, desk: JobDesk) -> None:
        runs = Runs()
        desk.queue.register(JOB, Queue.USAGE, runs)
        await desk.enqueue(JOB, Queue.USAGE)

        await desk.work_off(Queue.USAGE, is_reached=none_left)

        assert runs.times == 1

    async def test_a_refusal_is_final(self, desk: JobDesk) -> None:
        runs = Runs(InvalidInput("field", "Trying again would change nothing."))
        desk.queue.register(JOB, Queue.PAYMENT_SYNC, runs)
        await desk.enqueue(JOB, Queue.PAYMENT_SYNC)

        await desk.work_off(Queue.PAYMENT_SYNC, is_reached=none_left)

        assert runs.times == 1

    @pytest.mark.parametrize("queue", list(Queue))
    async def test_any_other_exception_is_tried_again_and_then_given_up(self, desk: JobDesk, queue: Queue) -> None:
        runs = Runs(OSError("the provider is away"))
        desk.queue.register(JOB, queue, runs)
        await desk.enqueue(JOB, queue)

        async with working(desk.queue, queue):
            for attempts in range(1, QUEUE_RULES[queue].attempts_max):
                await desk.until(tried(attempts))
                await desk.make_due()
            await desk.until(lambda standing: [job.status for job in standing] == ["failed"])

        assert runs.times == QUEUE_RULES[queue].attempts_max

    async def test_the_wait_before_the_next_try_grows(self, desk: JobDesk) -> None:
        desk.queue.register(JOB, Queue.PAYMENT_SYNC, Runs(OSError("the provider is away")))
        await desk.enqueue(JOB, Queue.PAYMENT_SYNC)

        waits = []
        async with working(desk.queue, Queue.PAYMENT_SYNC):
            for attempts in (1, 2, 3):
                await desk.until(tried(attempts))
                waits.append(await self._seconds_until_due(desk))
                await desk.make_due()

        assert waits == [2, 4, 8]

    @staticmethod
    async def _seconds_until_due(desk: JobDesk) -> int:
        async with desk.begin() as uow:
            wait = await uow.connection.scalar(
                text("SELECT round(extract(epoch FROM scheduled_at - now())) FROM procrastinate_jobs")
            )
        return int(wait or 0)


class TestLocks:
    async def test_jobs_with_one_lock_run_one_after_the_other(self, desk: JobDesk) -> None:
        running = peak = 0

        async def work() -> None:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await desk.standing()
            running -= 1

        desk.queue.register(JOB, Queue.PAYMENT_SYNC, work)
        for _ in range(2):
            await desk.enqueue(JOB, Queue.PAYMENT_SYNC, lock="pay_1")

        await desk.work_off(Queue.PAYMENT_SYNC, is_reached=none_left)

        assert peak == 1


class TestLivingWorkers:
    async def test_a_job_of_a_living_worker_is_left_alone(self, desk: JobDesk) -> None:
        await desk.enqueue(JOB, Queue.PAYMENT_SYNC)
        entered, leave = asyncio.Event(), asyncio.Event()
        runs = 0

        async def work() -> None:
            nonlocal runs
            runs += 1
            entered.set()
            await leave.wait()

        async def rescue() -> None:
            await desk.queue.retry_stalled()

        desk.queue.register(JOB, Queue.PAYMENT_SYNC, work)
        desk.queue.register(RESCUE, Queue.USAGE, rescue)
        async with working(desk.queue, Queue.USAGE, Queue.PAYMENT_SYNC):
            await entered.wait()
            await desk.enqueue(RESCUE, Queue.USAGE)
            await desk.until(lambda standing: standing == [Standing(JOB, "doing", 0)])
            leave.set()
            await desk.until(none_left)

        assert runs == 1


class TestTicks:
    @pytest.mark.slow
    async def test_two_workers_run_each_tick_once_and_never_two_at_a_time(self, desk: JobDesk) -> None:
        ticks: list[list[str]] = []
        enough = asyncio.Event()

        async def work() -> None:
            ticks.append(await self._moments_of_running_ticks(desk))
            if len(ticks) == 3:
                enough.set()

        other = desk.another_process()
        for queue in (desk.queue, other):
            queue.register_tick("tests.tick", "* * * * * *", work)
        async with working(desk.queue, Queue.SCHEDULER), working(other, Queue.SCHEDULER):
            await asyncio.wait_for(enough.wait(), timeout=10)

        moments = [moment for running in ticks for moment in running]
        assert [len(running) for running in ticks] == [1] * len(ticks)
        assert len(set(moments)) == len(moments)

    @staticmethod
    async def _moments_of_running_ticks(desk: JobDesk) -> list[str]:
        """For which moments the ticks that run right now were put into the queue."""
        async with desk.begin() as uow:
            rows = await uow.connection.scalars(
                text("SELECT args ->> 'timestamp' FROM procrastinate_jobs WHERE status = 'doing'")
            )
            return list(rows)
