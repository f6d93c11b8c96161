"""Endpoints over HTTP: what is answered, what is refused, and that a secret is shown once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from backend.tests.builders.customers import Customer
from backend.tests.builders.outbound import Post, open_post, remote_receiver
from backend.tests.fakes.clock import StoppedClock
from billing.customers.access import CSRF_HEADER, SESSION_COOKIE
from billing.customers.rules import Scope
from billing.customers.service import CustomersService
from billing.http_errors import body_of, status_of
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.webhooks.outbound.endpoints import router
from billing.webhooks.outbound.event_types import CATALOGUE
from billing.webhooks.outbound.service import EndpointService
from testkit.simulators.remote import ReceiverRemote

pytestmark = [pytest.mark.trust, pytest.mark.slow]

ENDPOINTS = "/api/v1/billing/webhook-endpoints"
BODY: dict[str, Any] = {"url": "https://hooks.example/a?b=c", "description": "mine", "event_types": ["topup.credited"]}


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


@pytest.fixture
async def client(post: Post) -> AsyncIterator[httpx.AsyncClient]:
    """The endpoints alone, reached by nobody in particular."""
    app = FastAPI()
    app.state.services = {CustomersService: post.town.service, EndpointService: post.endpoints}
    app.include_router(router)

    @app.exception_handler(BillingError)
    async def refuse(request: Request, error: BillingError) -> JSONResponse:
        del request
        return JSONResponse(body_of(error), status_of(error))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://billing.test") as client:
        yield client


@pytest.fixture
async def ada(post: Post) -> Customer:
    """The owner of an account."""
    return await post.town.customer()


def signed_in(customer: Customer) -> dict[str, str]:
    """The headers of a page of ours in this person's browser."""
    return {"Cookie": f"{SESSION_COOKIE}={customer.session.token}", CSRF_HEADER: customer.session.csrf_token}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def made(client: httpx.AsyncClient, customer: Customer) -> dict[str, Any]:
    """A new endpoint of this customer, with its secret."""
    answer = await client.post(ENDPOINTS, json=BODY, headers=signed_in(customer))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestMaking:
    async def test_shows_the_endpoint_and_for_the_only_time_its_secret(
        self, client: httpx.AsyncClient, ada: Customer
    ) -> None:
        answer = await client.post(ENDPOINTS, json=BODY, headers=signed_in(ada))

        body = answer.json()
        listed = await client.get(ENDPOINTS, headers=signed_in(ada))
        shown = await client.get(f"{ENDPOINTS}/{body['endpoint']['id']}", headers=signed_in(ada))
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        assert body["secret"].startswith("whsec_")
        assert body["endpoint"] == {
            **BODY,
            "id": body["endpoint"]["id"],
            "status": "enabled",
            "disabled_reason": None,
            "disabled_at": None,
            "failing_since": None,
            "created_at": "2026-03-02T12:00:00Z",
        }
        assert listed.json() == {"items": [shown.json()]}
        assert shown.json() == body["endpoint"]

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ({"url": "http://hooks.example/"}, (400, "webhook_url_refused")),
            ({"url": "https://169.254.169.254/latest"}, (400, "webhook_url_refused")),
            ({"event_types": []}, (400, "invalid_request")),
            ({"event_types": ["no.such_type"]}, (400, "invalid_request")),
            ({"description": "x" * 201}, (400, "invalid_request")),
        ],
        ids=str,
    )
    async def test_what_cannot_be_is_refused(
        self, client: httpx.AsyncClient, ada: Customer, changes: dict[str, Any], refusal: tuple[int, str]
    ) -> None:
        answer = await client.post(ENDPOINTS, json=BODY | changes, headers=signed_in(ada))

        assert code_of(answer) == refusal

    @pytest.mark.parametrize(
        "changes", [{"url": 1}, {"url": "x" * 5000}, {"secret": "mine"}, {"event_types": "all"}], ids=str
    )
    async def test_a_body_of_another_shape_is_refused(
        self, client: httpx.AsyncClient, ada: Customer, changes: dict[str, Any]
    ) -> None:
        assert (await client.post(ENDPOINTS, json=BODY | changes, headers=signed_in(ada))).status_code == 422

    async def test_one_too_many_is_refused(self, client: httpx.AsyncClient, ada: Customer) -> None:
        for _ in range(3):
            await made(client, ada)

        answer = await client.post(ENDPOINTS, json=BODY, headers=signed_in(ada))

        assert code_of(answer) == (409, "webhook_endpoint_limit_reached")


class TestOneEndpoint:
    async def test_is_changed_switched_off_and_removed(self, client: httpx.AsyncClient, ada: Customer) -> None:
        address = f"{ENDPOINTS}/{(await made(client, ada))['endpoint']['id']}"

        changed = await client.put(address, json=BODY | {"enabled": False}, headers=signed_in(ada))
        tested = await client.post(f"{address}/test", headers=signed_in(ada))
        removed = await client.delete(address, headers=signed_in(ada))
        gone = await client.get(address, headers=signed_in(ada))

        assert (changed.json()["status"], changed.json()["disabled_reason"]) == ("disabled", "owner")
        assert code_of(tested) == (409, "webhook_endpoint_disabled")
        assert removed.status_code == 204
        assert code_of(gone) == (404, "webhook_endpoint_not_found")

    async def test_gets_another_secret(self, client: httpx.AsyncClient, ada: Customer) -> None:
        first = await made(client, ada)

        answer = await client.post(f"{ENDPOINTS}/{first['endpoint']['id']}/rotate-secret", headers=signed_in(ada))

        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json()["endpoint"] == first["endpoint"]
        assert answer.json()["secret"] != first["secret"]

    async def test_a_test_and_its_replay_stand_among_its_deliveries(
        self, client: httpx.AsyncClient, ada: Customer
    ) -> None:
        address = f"{ENDPOINTS}/{(await made(client, ada))['endpoint']['id']}"

        tested = await client.post(f"{address}/test", headers=signed_in(ada))
        replayed = await client.post(f"{address}/replay", json=tested.json(), headers=signed_in(ada))
        page = (await client.get(f"{address}/deliveries?limit=1", headers=signed_in(ada))).json()
        rest = (await client.get(f"{address}/deliveries?cursor={page['next_cursor']}", headers=signed_in(ada))).json()

        assert (tested.status_code, replayed.status_code, replayed.json()) == (202, 202, {"deliveries": 1})
        again, first = page["items"][0], rest["items"][0]
        assert (again["is_replay"], first["is_replay"], rest["next_cursor"]) == (True, False, None)
        assert first["message_id"] == again["message_id"] == tested.json()["message_id"]
        assert (first["type"], first["status"], first["attempts"]) == ("webhook_endpoint.test", "waiting", 0)

    async def test_a_replay_of_nothing_in_particular_is_refused(self, client: httpx.AsyncClient, ada: Customer) -> None:
        address = f"{ENDPOINTS}/{(await made(client, ada))['endpoint']['id']}"

        nothing = await client.post(f"{address}/replay", json={}, headers=signed_in(ada))
        unknown = await client.post(f"{address}/replay", json={"message_id": "msg_1"}, headers=signed_in(ada))

        assert code_of(nothing) == (400, "invalid_request")
        assert code_of(unknown) == (404, "webhook_message_not_found")


class TestWho:
    async def test_nobody_without_credentials(self, client: httpx.AsyncClient) -> None:
        answers = [await client.get(ENDPOINTS), await client.get("/api/v1/billing/webhook-event-types")]

        assert [code_of(answer) for answer in answers] == [(401, "not_signed_in")] * 2

    async def test_no_other_sites_form(self, client: httpx.AsyncClient, ada: Customer) -> None:
        cookie = {"Cookie": f"{SESSION_COOKIE}={ada.session.token}"}

        assert code_of(await client.post(ENDPOINTS, json=BODY, headers=cookie)) == (403, "csrf_failed")

    async def test_a_key_looks_and_changes_nothing(self, client: httpx.AsyncClient, post: Post, ada: Customer) -> None:
        key = await post.town.service.create_api_key(ada.principal, "tests", scopes=list(Scope), request_id="req_tests")
        bearer = {"Authorization": f"Bearer {key.secret}"}

        looked, changed = (
            await client.get(ENDPOINTS, headers=bearer),
            await client.post(ENDPOINTS, json=BODY, headers=bearer),
        )

        assert (looked.status_code, code_of(changed)) == (200, (403, "forbidden"))

    async def test_somebody_elses_is_not_there(self, client: httpx.AsyncClient, post: Post, ada: Customer) -> None:
        address = f"{ENDPOINTS}/{(await made(client, ada))['endpoint']['id']}"
        headers = signed_in(await post.town.customer())

        answers = [
            await client.get(address, headers=headers),
            await client.put(address, json=BODY, headers=headers),
            await client.delete(address, headers=headers),
            await client.post(f"{address}/rotate-secret", headers=headers),
            await client.post(f"{address}/test", headers=headers),
            await client.post(f"{address}/replay", json={"message_id": "msg_1"}, headers=headers),
            await client.get(f"{address}/deliveries", headers=headers),
        ]

        assert {code_of(answer) for answer in answers} == {(404, "webhook_endpoint_not_found")}
        assert (await client.get(ENDPOINTS, headers=headers)).json() == {"items": []}


class TestTheCatalogue:
    async def test_names_every_type_with_its_meaning(self, client: httpx.AsyncClient, ada: Customer) -> None:
        answer = await client.get("/api/v1/billing/webhook-event-types", headers=signed_in(ada))

        assert {one["type"]: one["meaning"] for one in answer.json()["items"]} == dict(CATALOGUE)
