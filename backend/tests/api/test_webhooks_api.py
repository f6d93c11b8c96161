"""`POST /webhooks/yookassa`: what is refused and leaves no trace, what is stored once, and what that leads to."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.counter import YOOKASSA_ADDRESS, Counter, open_counter
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from billing.webhooks.signatures import sign

pytestmark = pytest.mark.trust

DOOR = "/webhooks/yookassa"
TOKEN = "s\u00e9same-0123456789"
JSON = {"Content-Type": "application/json"}
ELSEWHERE = "203.0.113.9"
LIMIT = 256 * 1024


@pytest.fixture(scope="module")
async def yookassa() -> AsyncIterator[SimulatedYookassa]:
    """The provider."""
    async with simulated_yookassa() as yookassa:
        yield yookassa


@pytest.fixture(scope="module")
async def counter(database_url: URL, yookassa: SimulatedYookassa) -> AsyncIterator[Counter]:
    """The application; it checks where notifications come from."""
    async with open_counter(database_url, yookassa) as counter:
        yield counter


@pytest.fixture(scope="module")
async def guarded(database_url: URL, yookassa: SimulatedYookassa) -> AsyncIterator[Counter]:
    """The application; it checks the shared token and nothing else."""
    environ = {
        "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "false",
        "BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK": "true",
        "BILLING_WEBHOOK_YOOKASSA_TOKEN": TOKEN,
    }
    async with open_counter(database_url, yookassa, **environ) as counter:
        yield counter


@pytest.fixture
async def provider(counter: Counter) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody at YooKassa's address."""
    async with counter.caller(peer=YOOKASSA_ADDRESS) as client:
        yield client


def notification(**more: Any) -> dict[str, Any]:
    """A notification unlike any other, of a kind that leads to nothing."""
    return {"type": "notification", "event": "payout.succeeded", "object": {"id": secrets.token_hex(8)}, **more}


async def stored(counter: Counter, body: dict[str, Any]) -> list[dict[str, Any]]:
    """What the inbox has of this notification, with the jobs that wait to look into it."""
    async with counter.services.begin() as uow:
        rows = await uow.connection.execute(
            text(
                "SELECT message.id, message.status, count(job.id) AS jobs FROM inbox_messages AS message"
                " LEFT JOIN procrastinate_jobs AS job ON job.args ->> 'message_id' = message.id"
                " WHERE message.body::jsonb -> 'object' ->> 'id' = :id GROUP BY message.id"
            ),
            {"id": body["object"]["id"]},
        )
        return [dict(row) for row in rows.mappings()]


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestATrustedNotification:
    async def test_is_stored_with_its_job(self, counter: Counter, provider: httpx.AsyncClient) -> None:
        body = notification()

        answer = await provider.post(DOOR, json=body)

        (message,) = await stored(counter, body)
        assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
        assert (message["status"], message["jobs"]) == ("waiting", 1)

    async def test_that_comes_again_is_thanked_for_and_stored_once(
        self, counter: Counter, provider: httpx.AsyncClient
    ) -> None:
        body = notification()

        answers = await asyncio.gather(*(provider.post(DOOR, json=body) for _ in range(20)))

        (message,) = await stored(counter, body)
        assert {answer.status_code for answer in answers} == {200}
        assert message["jobs"] == 1

    async def test_may_be_as_large_as_the_limit(self, counter: Counter, provider: httpx.AsyncClient) -> None:
        body = notification()
        content = json.dumps(body).encode().ljust(LIMIT)

        answer = await provider.post(DOOR, content=content, headers=JSON)

        assert answer.status_code == 200
        assert len(await stored(counter, body)) == 1

    async def test_of_a_hundred_at_once_none_is_lost(self, counter: Counter, provider: httpx.AsyncClient) -> None:
        burst = secrets.token_hex(8)
        bodies = [notification(object={"id": f"{burst}-{number}"}) for number in range(100)]

        answers = await asyncio.gather(*(provider.post(DOOR, json=body) for body in bodies))

        async with counter.services.begin() as uow:
            count = await uow.connection.scalar(
                text("SELECT count(*) FROM inbox_messages WHERE body LIKE :burst"), {"burst": f"%{burst}%"}
            )
        assert {answer.status_code for answer in answers} == {200}
        assert count == 100


class TestTheDoor:
    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
    async def test_takes_only_json(self, counter: Counter, provider: httpx.AsyncClient, content_type: str) -> None:
        body = notification()

        answer = await provider.post(DOOR, content=json.dumps(body), headers={"Content-Type": content_type})

        assert code_of(answer) == (415, "webhook_content_type_wrong")
        assert await stored(counter, body) == []

    async def test_takes_json_with_a_character_set(self, provider: httpx.AsyncClient) -> None:
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}

        answer = await provider.post(DOOR, content=json.dumps(notification()), headers=headers)

        assert answer.status_code == 200

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
    async def test_takes_only_post(self, provider: httpx.AsyncClient, method: str) -> None:
        answer = await provider.request(method, DOOR)

        assert code_of(answer) == (405, "method_not_allowed")

    @pytest.mark.parametrize("announced", [True, False])
    async def test_stops_reading_at_the_limit(
        self,
        counter: Counter,
        provider: httpx.AsyncClient,
        announced: bool,  # noqa: FBT001 - parametrised
    ) -> None:
        body = notification()
        content = json.dumps(body).encode().ljust(LIMIT + 1)
        served = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal served
            for _ in range(100):
                served += 1
                yield content

        answer = await provider.post(DOOR, content=content if announced else endless(), headers=JSON)

        assert code_of(answer) == (413, "webhook_too_large")
        assert served <= 1
        assert await stored(counter, body) == []

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
    async def test_takes_only_what_can_be_a_notification(self, provider: httpx.AsyncClient, content: bytes) -> None:
        answer = await provider.post(DOOR, content=content, headers=JSON)

        assert code_of(answer) == (400, "webhook_malformed")


class TestTrust:
    async def test_an_address_that_is_not_the_providers_is_refused_and_leaves_no_trace(self, counter: Counter) -> None:
        body = notification()

        async with counter.caller(peer=ELSEWHERE) as forger:
            answer = await forger.post(DOOR, json=body, headers={"X-Forwarded-For": YOOKASSA_ADDRESS})

        assert code_of(answer) == (401, "webhook_source_refused")
        assert await stored(counter, body) == []

    async def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(
        self, counter: Counter, database_url: URL, yookassa: SimulatedYookassa
    ) -> None:
        true, forged = notification(), notification()

        async with (
            open_counter(database_url, yookassa, BILLING_TRUSTED_PROXY_HOPS="1") as proxied,
            proxied.caller(peer="10.0.0.2") as proxy,
        ):
            accepted = await proxy.post(DOOR, json=true, headers={"X-Forwarded-For": f"1.2.3.4, {YOOKASSA_ADDRESS}"})
            refused = await proxy.post(DOOR, json=forged, headers={"X-Forwarded-For": f"{YOOKASSA_ADDRESS}, 1.2.3.4"})

        assert accepted.status_code == 200
        assert code_of(refused) == (401, "webhook_source_refused")
        assert await stored(counter, forged) == []

    @pytest.mark.parametrize(
        ("headers", "query", "is_admitted"),
        [
            ([(b"X-Webhook-Token", TOKEN.encode())], "", True),
            ([], "?token=s%C3%A9same-0123456789", True),
            ([(b"X-Webhook-Token", TOKEN.encode())], "?token=wrong", True),
            ([(b"X-Webhook-Token", b"wrong")], "?token=s%C3%A9same-0123456789", False),
            ([(b"X-Webhook-Token", b"")], "", False),
            ([(b"X-Webhook-Token", TOKEN.encode("latin-1"))], "", False),
            ([], "?token=", False),
            ([], "?token=%ff", False),
            ([], "", False),
        ],
    )
    async def test_the_token_opens_the_door_where_it_is_checked(
        self,
        guarded: Counter,
        headers: list[tuple[bytes, bytes]],
        query: str,
        is_admitted: bool,  # noqa: FBT001 - parametrised
    ) -> None:
        body = notification()

        async with guarded.caller() as caller:
            answer = await caller.post(DOOR + query, json=body, headers=headers)

        if is_admitted:
            assert answer.status_code == 200
        else:
            assert code_of(answer) == (401, "webhook_token_invalid")
        assert len(await stored(guarded, body)) == int(is_admitted)

    async def test_a_check_without_its_secret_refuses_every_call_and_readiness_says_so(
        self, database_url: URL, yookassa: SimulatedYookassa
    ) -> None:
        environ = {"BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK": "true"}

        async with (
            open_counter(database_url, yookassa, **environ) as unset,
            unset.caller(peer=YOOKASSA_ADDRESS) as caller,
        ):
            answer = await caller.post(DOOR, json=notification(), headers={"X-Webhook-Token": ""})
            ready = await caller.get("/readyz")

        assert code_of(answer) == (503, "webhook_not_configured")
        assert ready.status_code == 503
        assert "BILLING_WEBHOOK_YOOKASSA_TOKEN" in ready.json()["checks"]["webhooks"]["message"]

    async def test_without_a_provider_nothing_is_taken(self, database_url: URL, yookassa: SimulatedYookassa) -> None:
        async with (
            open_counter(database_url, yookassa, IDENTITY_PAYMENT_PROVIDER="none") as closed,
            closed.caller(peer=YOOKASSA_ADDRESS) as caller,
        ):
            answer = await caller.post(DOOR, json=notification())

        assert code_of(answer) == (503, "webhook_not_configured")


class TestTheDoorOfAProviderThatDoesNotCollectHere:
    async def test_takes_nothing_while_its_signing_secret_is_not_set_and_readiness_does_not_mind(
        self, counter: Counter, provider: httpx.AsyncClient
    ) -> None:
        answer = await provider.post("/webhooks/stripe", json=notification())
        ready = await provider.get("/readyz")

        assert code_of(answer) == (503, "webhook_not_configured")
        assert ready.json()["checks"]["webhooks"]["ok"]
        assert counter.services.settings.webhooks.is_stripe_signature_checked

    async def test_takes_nothing_even_when_it_is_signed(self, database_url: URL, yookassa: SimulatedYookassa) -> None:
        content = json.dumps(notification(id="evt_1")).encode()
        signature = sign(content, b"whsec_0123456789", at=datetime.now(UTC)).decode()

        async with (
            open_counter(database_url, yookassa, BILLING_WEBHOOK_STRIPE_SIGNING_SECRETS="whsec_0123456789") as open_,
            open_.caller() as caller,
        ):
            answer = await caller.post(
                "/webhooks/stripe", content=content, headers={**JSON, "Stripe-Signature": signature}
            )

        assert code_of(answer) == (503, "webhook_not_configured")


class TestADatabaseThatIsDown:
    async def test_is_never_hidden_from_the_provider(self, database_url: URL, yookassa: SimulatedYookassa) -> None:
        async with (
            open_counter(database_url.set(database="not_there"), yookassa) as broken,
            broken.caller(peer=YOOKASSA_ADDRESS) as caller,
        ):
            answer = await caller.post(DOOR, json=notification())

        assert answer.status_code >= 500
