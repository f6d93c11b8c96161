"""A tick and a queue of its own bring messages to endpoints, in a worker as it runs in production."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.jobs import JobDesk, Ticks, job_desk, none_left, working
from backend.tests.builders.outbound import Post, open_post, remote_receiver
from backend.tests.fakes.clock import StoppedClock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue, Work
from billing.webhooks.outbound import jobs
from billing.webhooks.outbound.delivering import DELIVER_JOB
from billing.webhooks.outbound.rules import KEPT_DELIVERIES
from testkit.simulators.remote import ReceiverRemote


class Remembered(Ticks):
    """A queue that only remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, tuple[Queue, Work]] = {}

    def register(self, name: str, queue: Queue, work: Work) -> None:
        """Remembers it."""
        self.jobs[name] = (queue, work)


@pytest.fixture
async def desk(own_database: URL) -> AsyncIterator[JobDesk]:
    """A queue that no other test works on."""
    async with job_desk(own_database) as desk:
        yield desk


@pytest.fixture
def receiver() -> Iterator[ReceiverRemote]:
    """Whoever receives messages."""
    with remote_receiver() as receiver:
        yield receiver


@pytest.fixture
async def post(desk: JobDesk, clock: StoppedClock, ids: Ids, receiver: ReceiverRemote) -> AsyncIterator[Post]:
    """The services in the queue's own database."""
    async with open_post(begin=desk.begin, clock=clock, ids=ids, job_queue=desk.queue, receiver=receiver) as post:
        yield post


class TestTheTick:
    async def test_routes_what_is_new_and_sends_a_worker_there(self, post: Post, desk: JobDesk) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        remembered = Remembered()
        jobs.register(remembered, post.dispatcher)
        queue, deliver = remembered.jobs[DELIVER_JOB]
        desk.queue.register(DELIVER_JOB, queue, deliver)

        await remembered.work["webhooks.dispatch"]()
        waiting = await desk.standing()
        await desk.work_off(Queue.OUTBOUND, is_reached=none_left)

        assert (queue, [job.name for job in waiting]) == (Queue.OUTBOUND, [DELIVER_JOB])
        assert post.received_ids(ada) == [message_id]

    async def test_of_every_day_forgets_what_ended_long_ago(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.deliver(ada)
        clock.move(KEPT_DELIVERIES + timedelta(days=1))
        remembered = Remembered()
        jobs.register(remembered, post.dispatcher)

        before = len(await post.deliveries(ada))
        await remembered.work["webhooks.sweep"]()

        assert (before, await post.deliveries(ada)) == (1, [])

    async def test_is_taken_by_a_real_queue_as_it_is(self, own_database: URL, post: Post) -> None:
        jobs.register(JobQueue(own_database), post.dispatcher)  # a moment that is none, or a queue twice, would raise


class TestWorkers:
    async def test_two_send_one_endpoints_line_in_its_order_and_each_message_once(
        self, post: Post, desk: JobDesk
    ) -> None:
        ada, grace = await post.subscriber(), await post.subscriber()
        lines = {one.endpoint.id: [await post.happens(one.customer) for _ in range(25)] for one in (ada, grace)}
        other = desk.another_process()
        for queue in (desk.queue, other):
            queue.register(DELIVER_JOB, Queue.OUTBOUND, post.dispatcher.deliver)
        await post.route()
        await post.dispatcher.visit_due()

        async with working(other, Queue.OUTBOUND):
            await desk.work_off(Queue.OUTBOUND, is_reached=none_left)

        assert [post.received_ids(one) for one in (ada, grace)] == list(lines.values())
