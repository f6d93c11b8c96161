"""`billing outbound` on the command line: what operators read, and what they send again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.jobs import job_desk
from backend.tests.builders.outbound import Post, open_post, remote_receiver
from backend.tests.fakes.clock import StoppedClock
from billing.cli import app as commands
from billing.customers.errors import Forbidden
from billing.customers.rules import OperatorRole
from billing.kit.ids import Ids

pytestmark = [pytest.mark.trust, pytest.mark.slow]


@dataclass(frozen=True)
class Shell:
    """A terminal over the database of the services."""

    url: URL
    post: Post

    async def run(self, *words: str, operator: str) -> str:
        """What a command printed; whatever it is refused with is raised."""
        environ = {"DATABASE_URL": self.url.render_as_string(hide_password=False), "BILLING_LOG_LEVEL": "ERROR"}
        line = ["outbound", *words, "--operator", operator]
        # A command has an event loop of its own.
        result = await asyncio.to_thread(
            lambda: CliRunner().invoke(commands, line, env=environ, catch_exceptions=False)
        )
        return result.output


@pytest.fixture
async def shell(own_database: URL, clock: StoppedClock, ids: Ids) -> AsyncIterator[Shell]:
    """A terminal, a receiver, and nobody else in the database."""
    with remote_receiver() as receiver:
        async with (
            job_desk(own_database) as desk,
            open_post(begin=desk.begin, clock=clock, ids=ids, job_queue=desk.queue, receiver=receiver) as post,
        ):
            yield Shell(own_database, post)


class TestOutbound:
    async def test_operators_see_how_an_endpoint_fares_and_send_again(self, shell: Shell) -> None:
        post = shell.post
        finance = await post.town.customer(operator_role=OperatorRole.FINANCE)
        ada = await post.subscriber(url=f"{post.receiver.url}/hooks?token=secret")
        message_id = await post.happens(ada.customer)
        post.fail()
        await post.deliver(ada)

        endpoints = await shell.run("endpoints", operator=finance.email)
        deliveries = await shell.run("deliveries", ada.endpoint.id, operator=finance.email)
        replay = ("redeliver", ada.endpoint.id, "--since", "2026-03-02T12:00:00Z", "--reason", "they asked")
        sent = await shell.run(*replay, operator=finance.email)

        assert f"{ada.endpoint.id} {ada.customer.account.id} enabled failing since 2026-03-02T12:00:00" in endpoints
        assert "token" not in endpoints
        assert f"{message_id} wallet.low_balance waiting attempts 1 refused 500" in deliveries
        assert sent == "1 messages are sent again.\n"
        assert [one.is_replay for one in await post.deliveries(ada)] == [False, True]

    async def test_is_for_operators(self, shell: Shell) -> None:
        ada = await shell.post.town.customer()

        with pytest.raises(Forbidden):
            await shell.run("endpoints", operator=ada.email)
