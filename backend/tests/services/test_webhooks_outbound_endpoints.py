"""What an account's people can do with their endpoints, what it leaves in the audit trail, and whose they stay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.outbound import (
    ENDPOINTS_MAX,
    OVERLAP,
    REQUEST_ID,
    Post,
    open_post,
    wanted,
)
from backend.tests.fakes.clock import NOON, StoppedClock
from billing.customers.errors import Forbidden
from billing.customers.rules import Role, Scope
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.webhooks.outbound.errors import (
    OutboundNotConfigured,
    WebhookEndpointDisabled,
    WebhookEndpointLimitReached,
    WebhookEndpointNotFound,
    WebhookUrlRefused,
)
from billing.webhooks.outbound.event_types import ENDPOINT_TEST
from billing.webhooks.outbound.replays import ReplayOrder
from billing.webhooks.outbound.rules import DeliveryStatus, WantedEndpoint
from billing.webhooks.outbound.signing import SigningKeys

pytestmark = [pytest.mark.trust, pytest.mark.slow]

URL = "https://hooks.example/billing"
_ROWS = text(
    """
    SELECT to_jsonb(endpoint) || jsonb_build_object(
        'secrets', (SELECT jsonb_agg(secret ORDER BY generation) FROM webhook_secrets AS secret
                    WHERE endpoint_id = endpoint.id),
        'deliveries', (SELECT jsonb_agg(delivery ORDER BY position) FROM webhook_deliveries AS delivery
                       WHERE endpoint_id = endpoint.id))
    FROM webhook_endpoints AS endpoint WHERE account_id = :account ORDER BY id
    """
)


async def rows_of(post: Post, customer: Customer) -> list[Any]:
    """Everything that there is of the account's endpoints."""
    async with post.begin() as uow:
        return list(await uow.connection.scalars(_ROWS, {"account": customer.account.id}))


def signatures(call: dict[str, Any]) -> list[str]:
    """The signatures that a message came with."""
    return str(call["headers"]["webhook-signature"]).split(" ")


class TestMaking:
    async def test_tells_the_secret_once_and_stores_it_nowhere(self, post: Post) -> None:
        ada = await post.subscriber()

        (row,) = await rows_of(post, ada.customer)
        (entry,) = await post.audit_of(ada.customer)
        assert ada.secret.startswith("whsec_")
        assert ada.secret.removeprefix("whsec_") not in str(row) + str(entry)
        assert ada.secret not in repr(await post.endpoint(ada))

    async def test_leaves_one_audit_entry(self, post: Post) -> None:
        ada = await post.subscriber("topup.credited")

        (entry,) = await post.audit_of(ada.customer)
        assert (entry["action"], entry["target"], entry["before"], entry["request_id"]) == (
            "webhook_endpoint.created",
            ada.endpoint.id,
            None,
            REQUEST_ID,
        )
        assert entry["after"] == {
            "url": ada.endpoint.url,
            "description": "",
            "event_types": ["topup.credited"],
            "status": "enabled",
            "disabled_reason": None,
        }

    async def test_more_than_an_account_may_have_is_refused_also_at_once(self, post: Post) -> None:
        ada = await post.subscriber()

        made = await asyncio.gather(
            *(post.subscriber(customer=ada.customer) for _ in range(ENDPOINTS_MAX)), return_exceptions=True
        )

        assert sum(isinstance(one, WebhookEndpointLimitReached) for one in made) == 1
        assert len(await rows_of(post, ada.customer)) == ENDPOINTS_MAX

    @pytest.mark.parametrize(
        ("asked", "refusal"),
        [
            (WantedEndpoint("http://hooks.example/"), WebhookUrlRefused),
            (WantedEndpoint("https://10.0.0.1/"), WebhookUrlRefused),
            (WantedEndpoint(URL, "x" * 201), InvalidInput),
            (WantedEndpoint(URL, event_types=["no.such_type"]), InvalidInput),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_what_cannot_be_leaves_nothing(
        self, post: Post, asked: WantedEndpoint, refusal: type[Exception]
    ) -> None:
        customer = await post.town.customer()

        with pytest.raises(refusal):
            await post.endpoints.create(customer.principal, asked, request_id=REQUEST_ID)

        assert (await rows_of(post, customer), await post.audit_of(customer)) == ([], [])

    async def test_without_a_key_to_sign_with_is_refused(
        self, post: Post, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        customer = await post.town.customer()
        async with open_post(
            begin=begin, clock=clock, ids=ids, job_queue=job_queue, receiver=post.receiver, keys=SigningKeys(())
        ) as keyless:
            with pytest.raises(OutboundNotConfigured):
                await keyless.endpoints.create(customer.principal, WantedEndpoint(URL), request_id=REQUEST_ID)

        assert await rows_of(post, customer) == []


class TestChanging:
    async def test_leaves_one_audit_entry_and_none_for_the_same_again(self, post: Post) -> None:
        ada = await post.subscriber()
        changed = wanted(ada.endpoint, url=URL, description="mine")

        for _ in range(2):
            await post.endpoints.change(ada.customer.principal, ada.endpoint.id, changed, request_id="req_2")

        (entry,) = await post.audit_of(ada.customer, "created")
        assert (await post.endpoint(ada)).description == "mine"
        assert entry["action"] == "webhook_endpoint.changed"
        assert (entry["before"]["url"], entry["after"]["url"]) == (ada.endpoint.url, URL)

    async def test_switching_off_empties_the_line(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.route()

        await post.endpoints.change(
            ada.customer.principal, ada.endpoint.id, wanted(ada.endpoint, is_enabled=False), request_id="req_2"
        )

        assert [one.status for one in await post.deliveries(ada)] == [DeliveryStatus.CANCELED]
        assert await post.due_at(ada) is None

    async def test_removing_forgets_it_with_its_line_and_the_second_time_there_is_none(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.route()

        await post.endpoints.delete(ada.customer.principal, ada.endpoint.id, request_id="req_2")

        with pytest.raises(WebhookEndpointNotFound):
            await post.endpoints.delete(ada.customer.principal, ada.endpoint.id, request_id="req_2")
        assert await rows_of(post, ada.customer) == []
        assert [entry["action"] for entry in await post.audit_of(ada.customer, "created")] == [
            "webhook_endpoint.deleted"
        ]

    async def test_removed_while_a_message_is_on_its_way_nothing_is_written(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.route()

        await asyncio.gather(
            post.dispatcher.deliver(ada.endpoint.id),
            post.endpoints.delete(ada.customer.principal, ada.endpoint.id, request_id="req_2"),
        )

        assert await rows_of(post, ada.customer) == []


class TestRotation:
    async def test_messages_carry_both_signatures_until_the_overlap_ends(self, post: Post, clock: StoppedClock) -> None:
        ada = await post.subscriber()
        new = await post.endpoints.rotate_secret(ada.customer.principal, ada.endpoint.id, request_id="req_2")
        await post.happens(ada.customer)
        await post.deliver(ada)
        clock.move(OVERLAP)
        await post.happens(ada.customer)

        await post.deliver(ada)

        during, after = post.received(ada)
        assert new.secret != ada.secret
        assert (len(signatures(during)), len(signatures(after))) == (2, 1)

    async def test_a_second_rotation_ends_the_first_secret_at_once(self, post: Post) -> None:
        ada = await post.subscriber()
        for _ in range(2):
            await post.endpoints.rotate_secret(ada.customer.principal, ada.endpoint.id, request_id="req_2")
        await post.happens(ada.customer)

        await post.deliver(ada)

        (row,) = await rows_of(post, ada.customer)
        (call,) = post.received(ada)
        assert [secret["expires_at"] for secret in row["secrets"]] == [
            NOON.isoformat(),
            (NOON + OVERLAP).isoformat(),
            None,
        ]
        assert len(signatures(call)) == 2

    async def test_leaves_one_audit_entry_without_the_secret(self, post: Post) -> None:
        ada = await post.subscriber()

        new = await post.endpoints.rotate_secret(ada.customer.principal, ada.endpoint.id, request_id="req_2")

        (entry,) = await post.audit_of(ada.customer, "created")
        assert (entry["action"], entry["before"], entry["after"]["generation"]) == (
            "webhook_endpoint.secret_rotated",
            {"generation": 1},
            2,
        )
        assert new.secret.removeprefix("whsec_") not in str(entry)

    async def test_two_at_once_give_two_secrets(self, post: Post) -> None:
        ada = await post.subscriber()

        first, second = await asyncio.gather(
            *(
                post.endpoints.rotate_secret(ada.customer.principal, ada.endpoint.id, request_id="req_2")
                for _ in range(2)
            )
        )

        assert len({ada.secret, first.secret, second.secret}) == 3


class TestATest:
    async def test_reaches_an_endpoint_that_is_subscribed_to_something_else(self, post: Post) -> None:
        ada = await post.subscriber("topup.credited")
        other = await post.subscriber(customer=ada.customer)

        message_id = await post.endpoints.send_test(ada.customer.principal, ada.endpoint.id, request_id="req_2")
        await post.deliver(ada)
        await post.deliver(other)

        (call,) = post.received(ada)
        assert (call["headers"]["webhook-id"], call["body"]["type"]) == (message_id, ENDPOINT_TEST)
        assert post.received(other) == []
        assert [entry["action"] for entry in await post.audit_of(ada.customer, "created")] == [
            "webhook_endpoint.tested"
        ]

    async def test_of_one_that_is_switched_off_is_refused(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.endpoints.change(
            ada.customer.principal, ada.endpoint.id, wanted(ada.endpoint, is_enabled=False), request_id="req_2"
        )

        with pytest.raises(WebhookEndpointDisabled):
            await post.endpoints.send_test(ada.customer.principal, ada.endpoint.id, request_id="req_2")


class TestWhoMay:
    @pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
    async def test_other_roles_read_and_change_nothing(self, post: Post, role: Role) -> None:
        ada = await post.subscriber()
        colleague = await post.town.colleague(ada.customer.account, role)
        before = await rows_of(post, ada.customer)

        for change in _changes(post, colleague, ada.endpoint.id):
            with pytest.raises(Forbidden):
                await change()

        assert len(await post.endpoints.endpoints(colleague.principal)) == 1
        assert await rows_of(post, ada.customer) == before

    async def test_a_key_reads_and_changes_nothing(self, post: Post) -> None:
        ada = await post.subscriber()
        key = await post.town.service.create_api_key(
            ada.customer.principal, "tests", scopes=list(Scope), request_id=REQUEST_ID
        )
        principal = await post.town.service.principal_of_api_key(key.secret)
        keyed = Customer(ada.customer.account, ada.customer.email, principal, ada.customer.session)
        before = await rows_of(post, ada.customer)

        for change in _changes(post, keyed, ada.endpoint.id):
            with pytest.raises(Forbidden):
                await change()

        assert len(await post.endpoints.endpoints(principal)) == 1
        assert await rows_of(post, ada.customer) == before

    async def test_somebody_elses_endpoint_is_not_there_and_stays_as_it_is(self, post: Post) -> None:
        ada = await post.subscriber()
        stranger = await post.town.customer()
        before = await rows_of(post, ada.customer)
        asked: list[Callable[[], Awaitable[object]]] = [
            lambda: post.endpoints.endpoint(stranger.principal, ada.endpoint.id),
            lambda: post.endpoints.deliveries(stranger.principal, ada.endpoint.id, status=None, cursor=None, limit=10),
            *_changes(post, stranger, ada.endpoint.id)[1:],
        ]

        for question in asked:
            with pytest.raises(WebhookEndpointNotFound):
                await question()

        assert (await post.endpoints.endpoints(stranger.principal), await post.audit_of(stranger)) == ([], [])
        assert await rows_of(post, ada.customer) == before


def _changes(post: Post, customer: Customer, endpoint_id: str) -> list[Callable[[], Awaitable[object]]]:
    """Every change that somebody could try; the first makes an endpoint, the others concern one."""
    who, service = customer.principal, post.endpoints
    return [
        lambda: service.create(who, WantedEndpoint(URL), request_id="req_2"),
        lambda: service.change(who, endpoint_id, WantedEndpoint(URL), request_id="req_2"),
        lambda: service.delete(who, endpoint_id, request_id="req_2"),
        lambda: service.rotate_secret(who, endpoint_id, request_id="req_2"),
        lambda: service.send_test(who, endpoint_id, request_id="req_2"),
        lambda: service.replay(who, endpoint_id, ReplayOrder(since=NOON), request_id="req_2"),
    ]


class TestDeliveries:
    async def test_come_in_pages_the_newest_first(self, post: Post) -> None:
        ada = await post.subscriber()
        ids = [await post.happens(ada.customer) for _ in range(5)]
        await post.route()

        found: list[str] = []
        cursor = None
        for _ in range(3):
            page = await post.endpoints.deliveries(
                ada.customer.principal, ada.endpoint.id, status=None, cursor=cursor, limit=2
            )
            found += [one.message_id for one in page.rows]
            cursor = page.next_cursor

        assert (found, cursor) == (list(reversed(ids)), None)

    async def test_can_be_those_that_wait(self, post: Post) -> None:
        ada = await post.subscriber()
        await post.happens(ada.customer)
        await post.deliver(ada)
        waiting = await post.happens(ada.customer)
        await post.route()

        page = await post.endpoints.deliveries(
            ada.customer.principal, ada.endpoint.id, status=DeliveryStatus.WAITING, cursor=None, limit=200
        )

        assert [one.message_id for one in page.rows] == [waiting]

    @pytest.mark.parametrize("cursor", ["nonsense", "WyJub25zZW5zZSJd", "WyItMSJd"])
    async def test_a_cursor_that_is_not_ours_is_refused(self, post: Post, cursor: str) -> None:
        ada = await post.subscriber()

        with pytest.raises(InvalidInput):
            await post.endpoints.deliveries(
                ada.customer.principal, ada.endpoint.id, status=None, cursor=cursor, limit=10
            )
