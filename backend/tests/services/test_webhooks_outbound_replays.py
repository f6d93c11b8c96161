"""What was sent can be sent again: one message, or all since a moment, in their order and with their ids."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.outbound import (
    Post,
    Subscriber,
    wanted,
)
from backend.tests.fakes.clock import NOON, StoppedClock
from billing.kit.errors import InvalidInput
from billing.webhooks.outbound.errors import (
    WebhookEndpointDisabled,
    WebhookLineFull,
    WebhookMessageNotFound,
)
from billing.webhooks.outbound.replays import ReplayOrder

pytestmark = [pytest.mark.trust, pytest.mark.slow]

_FILL = text(
    "INSERT INTO webhook_deliveries (id, endpoint_id, message_id, is_replay, status, attempts, created_at, due_at)"
    " SELECT :endpoint || number, :endpoint, :message, true, 'waiting', 0, :at, :at"
    " FROM generate_series(1, 2000) AS number"
)


class TestReplay:
    async def test_of_one_message_sends_it_again_with_its_id(self, post: Post) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        await post.deliver(ada)

        await self._replay(post, ada, ReplayOrder(message_id=message_id))
        await post.deliver(ada)

        first, again = post.received(ada)
        assert post.received_ids(ada) == [message_id, message_id]
        assert first["body"] == again["body"]
        assert [one.is_replay for one in await post.deliveries(ada)] == [False, True]

    async def test_since_a_moment_sends_what_happened_from_then_on_in_its_order(
        self, post: Post, clock: StoppedClock
    ) -> None:
        ada = await post.subscriber("wallet.low_balance")
        await post.happens(ada.customer)
        clock.move(timedelta(hours=1))
        since = clock.now()
        wished = [await post.happens(ada.customer) for _ in range(3)]
        await post.happens(ada.customer, "wallet.cap_threshold")
        await post.deliver(ada)

        count = await self._replay(post, ada, ReplayOrder(since=since))
        await post.deliver(ada)

        assert count == 3
        assert post.received_ids(ada)[4:] == wished

    async def test_brings_what_happened_while_it_was_switched_off(self, post: Post) -> None:
        ada = await post.subscriber()
        for is_enabled in (False, True):
            await post.endpoints.change(
                ada.customer.principal,
                ada.endpoint.id,
                wanted(ada.endpoint, is_enabled=is_enabled),
                request_id="req_2",
            )
            if not is_enabled:
                missed = await post.happens(ada.customer)
                await post.route()

        await self._replay(post, ada, ReplayOrder(since=NOON))
        await post.deliver(ada)

        assert post.received_ids(ada) == [missed]

    async def test_leaves_one_audit_entry(self, post: Post) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)

        await self._replay(post, ada, ReplayOrder(message_id=message_id))

        (entry,) = await post.audit_of(ada.customer, "created")
        assert (entry["action"], entry["after"]) == (
            "webhook_endpoint.replayed",
            {"message_id": message_id, "since": None, "deliveries": 1},
        )

    async def test_to_one_that_is_switched_off_is_refused(self, post: Post) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        await post.endpoints.change(
            ada.customer.principal, ada.endpoint.id, wanted(ada.endpoint, is_enabled=False), request_id="req_2"
        )

        with pytest.raises(WebhookEndpointDisabled):
            await self._replay(post, ada, ReplayOrder(message_id=message_id))

    async def test_into_a_line_that_is_full_is_refused_and_so_is_a_test(self, post: Post) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        async with post.begin() as uow:
            await uow.connection.execute(_FILL, {"endpoint": ada.endpoint.id, "message": message_id, "at": NOON})

        with pytest.raises(WebhookLineFull):
            await self._replay(post, ada, ReplayOrder(message_id=message_id))
        with pytest.raises(WebhookLineFull):
            await post.endpoints.send_test(ada.customer.principal, ada.endpoint.id, request_id="req_2")

    async def test_of_somebody_elses_message_is_refused(self, post: Post) -> None:
        ada, grace = await post.subscriber(), await post.subscriber()
        message_id = await post.happens(grace.customer)

        with pytest.raises(WebhookMessageNotFound):
            await self._replay(post, ada, ReplayOrder(message_id=message_id))

        assert await post.deliveries(ada) == []

    @pytest.mark.parametrize(
        "order",
        [
            ReplayOrder(),
            ReplayOrder("msg_1", NOON),
            ReplayOrder(since=NOON.replace(tzinfo=None)),
            ReplayOrder("msg_\x00"),
            ReplayOrder("msg_\ud800"),
        ],
        ids=repr,
    )
    async def test_of_what_cannot_be_is_refused(self, post: Post, order: ReplayOrder) -> None:
        ada = await post.subscriber()

        with pytest.raises(InvalidInput):
            await self._replay(post, ada, order)

    async def _replay(self, post: Post, subscriber: Subscriber, order: ReplayOrder) -> int:
        return await post.endpoints.replay(
            subscriber.customer.principal, subscriber.endpoint.id, order, request_id="req_2"
        )
