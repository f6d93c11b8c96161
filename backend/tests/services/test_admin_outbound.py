"""Operators see how everybody's endpoints fare, and send messages again with a reason that stays on record."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.outbound import Post
from backend.tests.fakes.clock import NOON
from billing.admin.outbound_desk import OutboundDesk
from billing.customers.audit import AuditTrail
from billing.customers.errors import Forbidden
from billing.customers.rules import OperatorRole
from billing.kit.errors import InvalidInput
from billing.webhooks.outbound.errors import WebhookEndpointNotFound, WebhookMessageNotFound
from billing.webhooks.outbound.replays import ReplayOrder, Replays
from billing.webhooks.outbound.rules import DeliveryStatus

pytestmark = [pytest.mark.trust, pytest.mark.slow]

_ENTRY = text(
    "SELECT action, reason, after, actor_account_id, actor_operator_role FROM audit_entries"
    " WHERE target = :target AND action = 'webhook_endpoint.replayed'"
)


@pytest.fixture
def desk(post: Post) -> OutboundDesk:
    """The desk over the real services."""
    return OutboundDesk(begin=post.begin, replays=Replays(post.clock, post.ids), audit=AuditTrail(post.clock, post.ids))


@pytest.fixture
async def finance(post: Post) -> Customer:
    """An operator who may write."""
    return await post.town.customer(operator_role=OperatorRole.FINANCE)


class TestSeeing:
    async def test_the_longest_failing_come_first(self, post: Post, desk: OutboundDesk, finance: Customer) -> None:
        well, failing = await post.subscriber(), await post.subscriber()
        await post.happens(failing.customer)
        post.fail()
        await post.deliver(failing)

        found = [one.id for one in await desk.endpoints(finance.principal, limit=200)]
        mine = [one.id for one in await desk.endpoints(finance.principal, account_id=well.customer.account.id)]

        assert found.index(failing.endpoint.id) < found.index(well.endpoint.id)
        assert mine == [well.endpoint.id]

    async def test_deliveries_by_how_they_stand(self, post: Post, desk: OutboundDesk, finance: Customer) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.deliver(ada)
        waiting = await post.happens(ada.customer)
        await post.route()

        found = await desk.deliveries(finance.principal, ada.endpoint.id, status=DeliveryStatus.WAITING)

        assert [one.message_id for one in found] == [waiting]

    async def test_is_for_operators(self, post: Post, desk: OutboundDesk) -> None:
        ada = await post.subscriber()

        with pytest.raises(Forbidden):
            await desk.endpoints(ada.customer.principal)
        with pytest.raises(Forbidden):
            await desk.deliveries(ada.customer.principal, ada.endpoint.id)


class TestSendingAgain:
    async def test_sends_and_leaves_one_entry_with_the_reason(
        self, post: Post, desk: OutboundDesk, finance: Customer
    ) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        await post.deliver(ada)

        count = await desk.redeliver(
            finance.principal, ada.endpoint.id, ReplayOrder(since=NOON), reason="they asked", request_id="req_1"
        )
        await post.deliver(ada)

        async with post.begin() as uow:
            (entry,) = await uow.connection.execute(_ENTRY, {"target": ada.endpoint.id})
        assert (count, post.received_ids(ada)) == (1, [message_id, message_id])
        assert (entry.reason, entry.actor_account_id, entry.actor_operator_role) == (
            "they asked",
            finance.account.id,
            "finance",
        )

    async def test_without_a_reason_or_the_right_is_refused_and_nothing_is_sent(
        self, post: Post, desk: OutboundDesk, finance: Customer
    ) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        support = await post.town.customer(operator_role=OperatorRole.SUPPORT)
        order = ReplayOrder(message_id=message_id)

        with pytest.raises(InvalidInput):
            await desk.redeliver(finance.principal, ada.endpoint.id, order, reason=" ", request_id="req_1")
        with pytest.raises(Forbidden):
            await desk.redeliver(support.principal, ada.endpoint.id, order, reason="why not", request_id="req_1")

        assert await post.deliveries(ada) == []

    async def test_what_is_not_there_is_refused(self, post: Post, desk: OutboundDesk, finance: Customer) -> None:
        ada = await post.subscriber()

        for endpoint_id, refusal in (("whe_1", WebhookEndpointNotFound), (ada.endpoint.id, WebhookMessageNotFound)):
            with pytest.raises(refusal):
                await desk.redeliver(
                    finance.principal, endpoint_id, ReplayOrder("msg_1"), reason="they asked", request_id="req_1"
                )
