"""Messages reach whoever wants them: all of them, in their order, again after failures, and signed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.outbound import Post, Subscriber, open_post, wanted
from backend.tests.builders.wallets import RUB
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import NOON, StoppedClock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.wallets.alerts import EventKind
from billing.wallets.events import BillingEvents
from billing.webhooks.outbound.event_types import ENDPOINT_DISABLED
from billing.webhooks.outbound.rules import (
    KEPT_DELIVERIES,
    KEPT_MESSAGES,
    LEASE,
    Answer,
    DeliveryStatus,
    DisabledReason,
    EndpointStatus,
    Outcome,
)
from billing.webhooks.outbound.signing import SigningKeys

SECONDS = timedelta(seconds=1)
STANDARD_WAITS = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]


async def jobs_for(post: Post, subscriber: Subscriber) -> int:
    """How many visits to the endpoint wait in the queue."""
    async with post.begin() as uow:
        count: int = await uow.connection.scalar(
            text(
                "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'webhooks.deliver'"
                " AND args ->> 'endpoint_id' = :id AND queue_name = 'billing-outbound' AND lock = :id"
            ),
            {"id": subscriber.endpoint.id},
        )
    return count


class TestAMessage:
    async def test_says_type_moment_and_data_of_what_was_recorded(self, post: Post) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer, subject="key_1", threshold="100.00", currency="RUB")

        await post.deliver(ada)

        (call,) = post.received(ada)
        assert call["headers"]["webhook-id"] == message_id
        assert call["headers"]["content-type"] == "application/json"
        assert call["body"] == {
            "type": "wallet.low_balance",
            "timestamp": "2026-03-02T12:00:00.000Z",
            "data": {
                "account_id": ada.customer.account.id,
                "subject": "key_1",
                "threshold": "100.00",
                "currency": "RUB",
            },
        }

    async def test_carries_nothing_personal_even_if_it_was_recorded(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer, email="ada@example.com", payer={"name": "Ada", "phone": "1", "kind": "card"})

        await post.deliver(ada)

        (call,) = post.received(ada)
        assert call["body"]["data"] == {"account_id": ada.customer.account.id, "payer": {"kind": "card"}}

    async def test_goes_to_each_endpoint_of_the_account_that_wants_its_type(self, post: Post) -> None:
        everything = await post.subscriber()
        caps = await post.subscriber("wallet.cap_threshold", customer=everything.customer)
        stranger = await post.subscriber()
        low = await post.happens(everything.customer)
        cap = await post.happens(everything.customer, "wallet.cap_threshold")

        for one in (everything, caps, stranger):
            await post.deliver(one)

        assert [post.received_ids(one) for one in (everything, caps, stranger)] == [[low, cap], [cap], []]

    async def test_of_an_event_that_was_rolled_back_does_not_exist(self, post: Post) -> None:
        ada = await post.subscriber()

        with pytest.raises(ZeroDivisionError):
            async with post.begin() as uow:
                await uow.connection.execute(
                    text(
                        "INSERT INTO webhook_messages (id, account_id, type, subject, data, occurred_at)"
                        " VALUES ('msg_never', :account, 'wallet.low_balance', '', '{}', now())"
                    ),
                    {"account": ada.customer.account.id},
                )
                raise ZeroDivisionError
        await post.deliver(ada)

        assert post.received(ada) == []


class TestOrder:
    async def test_messages_come_in_the_order_in_which_things_happened(self, post: Post) -> None:
        ada = await post.subscriber()
        ids = [await post.happens(ada.customer, number=number) for number in range(30)]

        await post.deliver(ada)
        await post.dispatcher.deliver(ada.endpoint.id)

        assert post.received_ids(ada) == ids

    async def test_while_the_first_waits_none_overtakes_it(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        first = await post.happens(ada.customer)
        post.fail()
        await post.deliver(ada)
        second = await post.happens(ada.customer)
        await post.deliver(ada)
        before = post.received_ids(ada)

        clock.move(5 * SECONDS)
        await post.deliver(ada)

        assert (before, post.received_ids(ada)) == ([first], [first, first, second])

    async def test_an_event_that_commits_after_a_later_one_was_routed_is_not_lost(
        self, post: Post, engine: AsyncEngine
    ) -> None:
        ada, grace = await post.subscriber(), await post.subscriber()
        async with engine.begin() as slow:
            await slow.execute(
                text(
                    "INSERT INTO webhook_messages (id, account_id, type, subject, data, occurred_at)"
                    " VALUES (:id, :account, 'wallet.low_balance', '', '{}', :at)"
                ),
                {"id": f"msg_slow_{ada.endpoint.id}", "account": ada.customer.account.id, "at": NOON},
            )
            later = await post.happens(grace.customer)
            await post.deliver(grace)
        await post.deliver(ada)

        assert post.received_ids(grace) == [later]
        assert post.received_ids(ada) == [f"msg_slow_{ada.endpoint.id}"]

    async def test_two_that_route_at_once_put_each_message_in_line_once(self, post: Post) -> None:
        ada = await post.subscriber()
        ids = [await post.happens(ada.customer) for _ in range(5)]

        await asyncio.gather(*(post.dispatcher.route() for _ in range(4)))
        await post.deliver(ada)

        assert post.received_ids(ada) == ids


class TestTryingAgain:
    async def test_follows_the_standards_schedule_and_is_given_up_in_the_end(
        self, post: Post, clock: StoppedClock
    ) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        post.fail(times=10)
        waits = []

        for _ in STANDARD_WAITS:
            await post.deliver(ada)
            due_at = await post.due_at(ada)
            assert due_at is not None
            waits.append((due_at - clock.now()) / SECONDS)
            clock.move(due_at - clock.now())
        await post.deliver(ada)

        (delivery,) = await post.deliveries(ada)
        assert waits == STANDARD_WAITS
        assert (delivery.status, delivery.attempts, delivery.last_status) == (DeliveryStatus.GIVEN_UP, 10, 500)
        assert len(set(post.received_ids(ada))) == 1
        assert await post.due_at(ada) is None

    async def test_an_attempt_before_its_moment_does_nothing(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        post.fail()
        await post.deliver(ada)

        clock.move(4 * SECONDS)
        await post.deliver(ada)

        assert len(post.received(ada)) == 1

    async def test_what_was_sent_and_not_written_down_is_sent_again_with_the_same_id(
        self, post: Post, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        ada = await post.subscriber()
        message_id = await post.happens(ada.customer)
        await post.route()
        dying = _Dying(post.receiver.url + ada.path)
        async with open_post(
            begin=begin, clock=clock, ids=ids, job_queue=job_queue, receiver=post.receiver, carrier=dying
        ) as other:
            with pytest.raises(ZeroDivisionError):
                await other.dispatcher.deliver(ada.endpoint.id)

        await post.deliver(ada)

        assert dying.sent == [message_id]
        assert post.received_ids(ada) == [message_id]

    async def test_two_visits_at_once_write_one_attempt(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.route()

        await asyncio.gather(*(post.dispatcher.deliver(ada.endpoint.id) for _ in range(3)))

        (delivery,) = await post.deliveries(ada)
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)

    async def test_what_a_visit_says_that_was_overtaken_counts_for_nothing(
        self, post: Post, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        post.fail(times=2)

        async def two_attempts_elsewhere() -> None:
            await post.deliver(ada)
            clock.move(5 * SECONDS)
            await post.deliver(ada)

        async with open_post(
            begin=begin,
            clock=clock,
            ids=ids,
            job_queue=job_queue,
            receiver=post.receiver,
            carrier=_Overtaken(two_attempts_elsewhere),
        ) as slow:
            await slow.deliver(ada)

        (delivery,) = await post.deliveries(ada)
        assert (delivery.attempts, delivery.last_status) == (2, 500)


class _Overtaken:
    """Carries nothing until others have been there, and then says that it was refused."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._meanwhile = meanwhile

    async def carry(self, url: str, *, headers: Any, body: bytes) -> Answer:
        """Waits for the others."""
        assert url
        assert headers
        assert body
        await self._meanwhile()
        return Answer(Outcome.REFUSED, 503)


class _Slow:
    """Carries each message in fourteen seconds."""

    def __init__(self, clock: StoppedClock) -> None:
        self._clock = clock
        self.carried = 0

    async def carry(self, url: str, *, headers: Any, body: bytes) -> Answer:
        """Takes its time."""
        assert url
        assert headers
        assert body
        self._clock.move(14 * SECONDS)
        self.carried += 1
        return Answer(Outcome.ACCEPTED, 200)


class _Dying:
    """Carries the message, and takes the process with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent: list[str] = []

    async def carry(self, url: str, *, headers: Any, body: bytes) -> Answer:
        """Sends, and dies."""
        assert url == self.url
        assert body
        self.sent.append(headers["webhook-id"])
        raise ZeroDivisionError


class TestVisits:
    async def test_an_endpoint_with_something_in_line_gets_one_job(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.route()

        await asyncio.gather(*(post.dispatcher.visit_due() for _ in range(3)))

        assert await jobs_for(post, ada) == 1

    async def test_a_job_that_was_lost_comes_back_after_its_lease(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.route()
        await post.dispatcher.visit_due()

        clock.move(LEASE)
        await post.dispatcher.visit_due()

        assert await jobs_for(post, ada) == 2

    async def test_a_line_longer_than_one_job_goes_on_with_the_next_at_once(self, post: Post) -> None:
        ada = await post.subscriber()
        for _ in range(21):
            await post.happens(ada.customer)
        await post.route()

        await post.dispatcher.deliver(ada.endpoint.id)

        assert (len(post.received(ada)), await jobs_for(post, ada)) == (20, 1)

    async def test_a_receiver_that_takes_its_time_lets_others_have_their_turn(
        self, post: Post, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        ada = await post.subscriber()
        for _ in range(4):
            await post.happens(ada.customer)
        carrier = _Slow(clock)
        async with open_post(
            begin=begin, clock=clock, ids=ids, job_queue=job_queue, receiver=post.receiver, carrier=carrier
        ) as slow:
            await slow.deliver(ada)

        assert (carrier.carried, await jobs_for(post, ada)) == (2, 1)

    async def test_to_an_endpoint_that_is_gone_does_nothing(self, post: Post) -> None:
        await post.dispatcher.deliver("whe_nobody")

        assert post.receiver.calls() == []


class TestSwitchingOff:
    async def test_an_endpoint_that_fails_for_five_days_is_switched_off_and_the_others_are_told(
        self, post: Post, clock: StoppedClock
    ) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.happens(ada.customer)
        post.fail(times=30)

        for _ in range(30):
            await post.deliver(ada)
            due_at = await post.due_at(ada)
            if due_at is None:
                break
            clock.move(max(due_at - clock.now(), timedelta(0)))
        post.receiver.clear_faults()
        other = await post.subscriber(customer=ada.customer)
        await post.deliver(other)

        endpoint = await post.endpoint(ada)
        assert (endpoint.status, endpoint.disabled_reason) == (EndpointStatus.DISABLED, DisabledReason.FAILING)
        assert endpoint.disabled_at is not None
        assert endpoint.disabled_at - NOON >= timedelta(days=5)
        (notice,) = post.received(other)
        assert notice["body"]["type"] == ENDPOINT_DISABLED
        assert notice["body"]["data"]["subject"] == ada.endpoint.id

    async def test_an_endpoint_that_says_gone_is_switched_off_at_once_and_its_line_is_empty(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.happens(ada.customer)
        post.fail(410)

        await post.deliver(ada)

        endpoint = await post.endpoint(ada)
        assert (endpoint.status, endpoint.disabled_reason) == (EndpointStatus.DISABLED, DisabledReason.GONE)
        assert [one.status for one in await post.deliveries(ada)] == [DeliveryStatus.CANCELED] * 2
        assert len(post.received(ada)) == 1

    async def test_a_success_ends_the_spell(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        post.fail()
        await post.deliver(ada)
        failing = (await post.endpoint(ada)).spell.failing_since

        clock.move(5 * SECONDS)
        await post.deliver(ada)

        assert (failing, (await post.endpoint(ada)).spell.failing_since) == (NOON, None)

    async def test_switched_off_it_is_told_nothing_and_switched_on_what_happens_then(self, post: Post) -> None:
        ada = await post.subscriber()
        await self._switch(post, ada, is_enabled=False)
        await post.happens(ada.customer)
        await post.deliver(ada)
        await self._switch(post, ada, is_enabled=True)
        later = await post.happens(ada.customer)

        await post.deliver(ada)

        assert post.received_ids(ada) == [later]

    async def _switch(self, post: Post, subscriber: Subscriber, *, is_enabled: bool) -> None:
        endpoint = await post.endpoint(subscriber)
        await post.endpoints.change(
            subscriber.customer.principal, endpoint.id, wanted(endpoint, is_enabled=is_enabled), request_id="req_1"
        )


class TestSweeping:
    async def test_forgets_what_ended_long_ago_and_keeps_what_waits(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.deliver(ada)
        post.fail()
        waiting = await post.happens(ada.customer)
        await post.deliver(ada)
        clock.move(KEPT_MESSAGES + SECONDS)

        await post.dispatcher.sweep()
        again = await post.dispatcher.sweep()

        async with post.begin() as uow:
            kept = await uow.connection.scalars(
                text("SELECT id FROM webhook_messages WHERE account_id = :id"), {"id": ada.customer.account.id}
            )
        assert ([one.message_id for one in await post.deliveries(ada)], list(kept)) == ([waiting], [waiting])
        assert again == 0

    async def test_keeps_what_ended_lately(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.deliver(ada)
        clock.move(KEPT_DELIVERIES)

        await post.dispatcher.sweep()

        assert len(await post.deliveries(ada)) == 1


class TestEveryKind:
    async def test_that_a_capability_records_is_delivered_as_its_type(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        wallets = build_wallets(post.begin, clock, post.ids)
        events = BillingEvents(clock=post.clock, ids=post.ids)
        async with post.begin() as uow:
            wallet_id = await wallets.service.of_account(uow, ada.customer.account.id, RUB)
            for kind in EventKind:
                await events.record(uow, wallet_id, kind, subject="one", payload={"amount": "1.00"})

        await post.deliver(ada)

        assert [call["body"]["type"] for call in post.received(ada)] == [kind.value for kind in EventKind]


class TestNotSigned:
    async def test_without_its_key_a_message_waits(
        self, post: Post, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)

        async with open_post(
            begin=begin, clock=clock, ids=ids, job_queue=job_queue, receiver=post.receiver, keys=SigningKeys(())
        ) as without_keys:
            await without_keys.deliver(ada)

        (delivery,) = await post.deliveries(ada)
        assert (delivery.status, delivery.last_outcome) == (DeliveryStatus.WAITING, Outcome.NOT_SIGNED)
        assert post.received(ada) == []
