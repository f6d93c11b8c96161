"""A burst of five hundred signed notifications, each of them sent twice, is absorbed."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.counter import open_counter
from backend.tests.builders.yookassa import simulated_yookassa
from billing.webhooks.signatures import sign

pytestmark = [pytest.mark.trust, pytest.mark.slow]

SECRET = "whsec_0123456789"
EVENTS = 500


async def test_five_hundred_signed_notifications_are_all_taken_and_stored_once(database_url: URL) -> None:
    burst = secrets.token_hex(8)
    bodies = [json.dumps({"event": "x", "object": {"id": f"{burst}-{number}"}}).encode() for number in range(EVENTS)]
    environ = {
        "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "false",
        "BILLING_WEBHOOK_YOOKASSA_SIGNATURE_CHECK": "true",
        "BILLING_WEBHOOK_YOOKASSA_SIGNING_SECRETS": SECRET,
    }
    async with simulated_yookassa() as yookassa, open_counter(database_url, yookassa, **environ) as counter:

        async def send(body: bytes) -> int:
            signature = sign(body, SECRET.encode(), at=datetime.now(UTC)).decode()
            headers = {"Content-Type": "application/json", "X-Webhook-Signature": signature}
            return (await provider.post("/webhooks/yookassa", content=body, headers=headers)).status_code

        async with counter.caller() as provider:
            statuses = await asyncio.gather(*(send(body) for body in [*bodies, *bodies]))

        async with counter.services.begin() as uow:
            found = await uow.connection.execute(
                text(
                    "SELECT count(DISTINCT message.id), count(job.id) FROM inbox_messages AS message"
                    " JOIN procrastinate_jobs AS job ON job.args ->> 'message_id' = message.id"
                    " WHERE message.body LIKE :burst"
                ),
                {"burst": f"%{burst}%"},
            )
            stored = tuple(found.one())

    assert set(statuses) == {200}
    assert stored == (EVENTS, EVENTS)
