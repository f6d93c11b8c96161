"""Whenever a worker is killed on its way to a customer's endpoint, the message arrives, with the id that it had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.outbound import Post, open_post, remote_receiver
from backend.tests.crash.processes import started
from backend.tests.fakes.clock import StoppedClock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.webhooks.outbound.rules import DeliveryStatus
from testkit.simulators.remote import ReceiverRemote

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverRemote]:
    """Whoever receives messages."""
    with remote_receiver() as receiver:
        yield receiver


@pytest.fixture
async def post(
    begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue, receiver: ReceiverRemote
) -> AsyncIterator[Post]:
    """The services, and a receiver to which nothing has come."""
    receiver.reset()
    async with open_post(begin=begin, clock=clock, ids=ids, job_queue=job_queue, receiver=receiver) as post:
        yield post


class TestKilledSender:
    @pytest.mark.parametrize(("point", "times"), [("before it left", 1), ("after it arrived", 2)])
    async def test_the_message_comes_at_least_once_with_its_id_and_before_the_next(
        self, post: Post, database_url: URL, point: str, times: int
    ) -> None:
        ada = await post.subscriber()
        first = await post.happens(ada.customer)
        second = await post.happens(ada.customer)
        await post.route()

        async with started("sender", point, database_url, ada.endpoint.id) as process:
            assert await process.says() == "on the way"
            await process.kill()
        await post.deliver(ada)

        assert post.received_ids(ada) == [first] * times + [second]
        assert [(one.status, one.attempts) for one in await post.deliveries(ada)] == [(DeliveryStatus.DELIVERED, 1)] * 2
