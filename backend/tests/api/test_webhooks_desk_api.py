"""The operators' inbox from outside: over HTTP behind its flag, and on the command line."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.counter import YOOKASSA_ADDRESS, Counter, open_counter
from backend.tests.builders.yookassa import simulated_yookassa
from billing.cli import app as commands
from billing.customers.access import SESSION_COOKIE
from billing.customers.rules import OperatorRole
from billing.webhooks.errors import MessageStatusWrong

pytestmark = [pytest.mark.trust, pytest.mark.slow]

INBOX = "/admin/billing/webhooks"


async def stored(counter: Counter) -> str:
    """The id of a notification that was ignored."""
    marker = counter.services.ids.new("obj")
    body = {"type": "notification", "event": "payout.succeeded", "object": {"id": marker, "email": "ada@example.com"}}
    async with counter.caller(peer=YOOKASSA_ADDRESS) as provider:
        assert (await provider.post("/webhooks/yookassa", json=body)).status_code == 200
    async with counter.services.begin() as uow:
        message_id = await uow.connection.scalar(
            text("SELECT id FROM inbox_messages WHERE body LIKE :marker"), {"marker": f"%{marker}%"}
        )
    assert isinstance(message_id, str)
    await counter.services.inbox.hand_over(message_id)
    return message_id


class TestOverHttp:
    async def test_an_operator_finds_reads_and_replays_one(self, database_url: URL) -> None:
        async with (
            simulated_yookassa() as yookassa,
            open_counter(database_url, yookassa, ADMIN_BILLING_ENABLED="true") as counter,
        ):
            message_id = await stored(counter)
            session = (await counter.town.customer(operator_role=OperatorRole.FINANCE)).session
            headers = {"Cookie": f"{SESSION_COOKIE}={session.token}", "X-CSRF-Token": session.csrf_token}

            async with counter.caller(**headers) as operator:
                listed = await operator.get(f"{INBOX}/messages", params={"provider": "yookassa", "status": "ignored"})
                shown = await operator.get(f"{INBOX}/messages/{message_id}")
                replayed = await operator.post(f"{INBOX}/messages/{message_id}/replay", json={"reason": "try again"})
                refused = await operator.post(f"{INBOX}/messages/{message_id}/release", json={"reason": "try again"})
                unknown = await operator.get(f"{INBOX}/messages/msg_unknown")

        assert message_id in [item["message_id"] for item in listed.json()["items"]]
        assert (shown.json()["status"], shown.json()["body"]["object"]["email"]) == ("ignored", "[hidden]")
        assert (replayed.status_code, replayed.json()) == (202, {"status": "waiting"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "inbox_message_status_wrong")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "inbox_message_not_found")

    async def test_an_operator_sees_how_many_were_turned_away(self, database_url: URL) -> None:
        async with (
            simulated_yookassa() as yookassa,
            open_counter(database_url, yookassa, ADMIN_BILLING_ENABLED="true") as counter,
        ):
            session = (await counter.town.customer(operator_role=OperatorRole.SUPPORT)).session
            async with counter.caller(Cookie=f"{SESSION_COOKIE}={session.token}") as operator:
                before = await operator.get(f"{INBOX}/refusals")
                await operator.post("/webhooks/yookassa", json={"type": "notification"})
                await counter.services.doorkeeper.close()

                after = await operator.get(f"{INBOX}/refusals")

        def count(answer: dict[str, list[dict[str, int | str]]]) -> int:
            return sum(int(item["count"]) for item in answer["items"] if item["reason"] == "webhook_source_refused")

        assert count(after.json()) == count(before.json()) + 1


class TestOnTheCommandLine:
    def run(self, url: URL, *words: str) -> str:
        """What a command printed; whatever it is refused with is raised."""
        environ = {"DATABASE_URL": url.render_as_string(hide_password=False), "BILLING_LOG_LEVEL": "ERROR"}
        result = CliRunner().invoke(
            commands, [*words], env=environ, input="correct horse battery staple\n", catch_exceptions=False
        )
        return result.output

    async def test_an_operator_lists_shows_and_replays(self, own_database: URL) -> None:
        operator = ("--operator", "ada@example.com")
        async with simulated_yookassa() as yookassa, open_counter(own_database, yookassa) as counter:
            message_id = await stored(counter)

        printed = await asyncio.to_thread(self.walk, own_database, message_id, operator)

        listed, shown, replayed, refusals = printed
        assert listed.startswith(f"{message_id} yookassa - ignored (no use for this kind of event) attempts 1")
        assert listed.endswith("1 notifications.\n")
        assert json.loads(shown.split("\n", 1)[1])["object"]["email"] == "[hidden]"
        assert replayed == f"{message_id} waits to be handled again.\n"
        assert refusals == "0 notifications were turned away.\n"

    def walk(self, url: URL, message_id: str, operator: tuple[str, ...]) -> tuple[str, ...]:
        """One command after the other, each in a loop of its own."""
        self.run(url, "accounts", "open", "ada@example.com", "--name", "Ada", "--operator-role", "finance")
        why = (*operator, "--reason", "try again")
        printed = (
            self.run(url, "webhooks", "list", *operator),
            self.run(url, "webhooks", "show", message_id, *operator),
            self.run(url, "webhooks", "replay", message_id, *why),
            self.run(url, "webhooks", "refusals", *operator),
        )
        with pytest.raises(MessageStatusWrong):
            self.run(url, "webhooks", "release", message_id, *why)
        return printed
