"""The operators' desk from outside: over HTTP behind its flag, and on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import StoppedClock
from billing.cli import app as commands
from billing.customers.access import SESSION_COOKIE
from billing.customers.rules import OperatorRole
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.unit_of_work import units_of_work
from billing.main import create_app
from billing.wallets.rules import WalletId
from billing.wiring.services import services
from billing.wiring.settings import read_settings

pytestmark = [pytest.mark.money, pytest.mark.slow]


@asynccontextmanager
async def opened(url: URL, **environ: str) -> AsyncIterator[tuple[httpx.AsyncClient, Town, Wallets]]:
    """The whole application, and where customers and wallets come from."""
    settings = read_settings({"BILLING_PUBLIC_BASE_URL": "http://billing.test/", **environ})
    async with services(settings, url) as built:
        wallets = Wallets(built.wallets, built.begin, built.ids, StoppedClock(built.clock.now()))
        town = Town(customers_service(built.begin, built.clock, built.ids), built.begin)
        transport = httpx.ASGITransport(create_app(built))
        async with httpx.AsyncClient(transport=transport, base_url="http://billing.test") as client:
            yield client, town, wallets


def as_(customer: Customer) -> dict[str, str]:
    """The headers of somebody's own session."""
    return {"Cookie": f"{SESSION_COOKIE}={customer.session.token}", "X-CSRF-Token": customer.session.csrf_token}


async def held(wallets: Wallets) -> tuple[WalletId, str]:
    """A wallet with ten, of which four are held; and the hold's id."""
    wallet = await wallets.with_paid("10")
    operation = await wallets.hold(wallet, "4")
    async with wallets.begin() as uow:
        return wallet, (await wallets.service.hold(uow, wallet, rub("4"), operation)).hold_id


class TestOverHttp:
    async def test_an_operator_settles_and_releases_with_a_reason(self, database_url: URL) -> None:
        async with opened(database_url, ADMIN_BILLING_ENABLED="true") as (client, town, wallets):
            operator = as_(await town.customer(operator_role=OperatorRole.FINANCE))
            (wallet, settled), (other, released) = await held(wallets), await held(wallets)

            charge = await client.post(
                f"/admin/billing/holds/{settled}/settle",
                json={"amount": "3", "currency": "RUB", "reason": "seen in the log"},
                headers=operator,
            )
            gone = await client.post(
                f"/admin/billing/holds/{released}/release", json={"reason": "nothing came"}, headers=operator
            )

            assert (charge.status_code, gone.status_code) == (200, 204)
            assert charge.json()["charged"] == {"amount": "3.00", "currency": "RUB"}
            assert (await wallets.balance(wallet)).available == rub("7")
            assert (await wallets.balance(other)).available == rub("10")

    async def test_odd_holds_are_listed(self, database_url: URL) -> None:
        async with opened(database_url, ADMIN_BILLING_ENABLED="true") as (client, town, wallets):
            operator = as_(await town.customer(operator_role=OperatorRole.AUDITOR))
            wallet = await wallets.with_paid("1")
            operation = await wallets.hold(wallet, "1")
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, wallet, operation, rub("5"))

            answer = await client.get("/admin/billing/holds", params={"oddity": "made_debt"}, headers=operator)

            assert operation in {hold["operation_id"] for hold in answer.json()["items"]}

    async def test_the_books_answer_for_a_past_moment(self, database_url: URL) -> None:
        async with opened(database_url, ADMIN_BILLING_ENABLED="true") as (client, town, wallets):
            operator = as_(await town.customer(operator_role=OperatorRole.AUDITOR))
            wallet = await wallets.with_paid("10")
            later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

            stood = await client.get(f"/admin/billing/wallets/{wallet}/balance", params={"at": later}, headers=operator)
            revenue = await client.get(
                "/admin/billing/accounts/revenue/balance", params={"at": later}, headers=operator
            )
            unknown = await client.get("/admin/billing/accounts/pocket/balance", params={"at": later}, headers=operator)

            assert stood.json()["accounts"] == {"wallet.paid": {"amount": "10.00", "currency": "RUB"}}
            assert (revenue.status_code, unknown.status_code) == (200, 404)

    @pytest.mark.parametrize("path", ["holds", "wallets/wal_1/balance?at=2026-07-06T12:00:00Z"])
    async def test_a_customer_is_refused_and_without_the_flag_there_is_no_door(
        self, database_url: URL, path: str
    ) -> None:
        async with opened(database_url, ADMIN_BILLING_ENABLED="true") as (client, town, _):
            refused = await client.get(f"/admin/billing/{path}", headers=as_(await town.customer()))
        async with opened(database_url) as (client, town, _):
            closed = await client.get(f"/admin/billing/{path}")

        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert (closed.status_code, closed.json()["error"]["code"]) == (404, "billing_disabled")


@dataclass(frozen=True)
class Till:
    """A database of its own with an operator and a wallet, and the commands over it."""

    url: URL
    email: str
    account_id: str
    wallet_id: WalletId
    hold_id: str

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of one command."""
        environ = {"DATABASE_URL": self.url.render_as_string(hide_password=False), "BILLING_LOG_LEVEL": "ERROR"}
        result = CliRunner().invoke(commands, words, env=environ)
        return result.exit_code, result.output

    def act(self, *words: str) -> tuple[int, str]:
        """The same in the operator's name, with a reason."""
        return self.run(*words, "--operator", self.email, "--reason", "a test")


@pytest.fixture
def till(own_database: URL) -> Iterator[Till]:
    """Commands open a loop of their own, so this one has ended before they begin."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner.run(_filled(own_database))


async def _filled(url: URL) -> Till:
    engine = application_engine(url)
    begin, clock = units_of_work(engine), StoppedClock()
    ids = Ids(clock)
    wallets, town = build_wallets(begin, clock, ids), Town(customers_service(begin, clock, ids), begin)
    operator = await town.customer(operator_role=OperatorRole.FINANCE)
    wallet, hold = await held(wallets)
    async with begin() as uow:
        query = text("SELECT account_id FROM wallets WHERE id = :id")
        account_id = str(await uow.connection.scalar(query, {"id": wallet}))
    await engine.dispose()
    return Till(url, operator.email, account_id, wallet, hold)


class TestOnTheCommandLine:
    def test_a_whole_day_of_an_operator(self, till: Till) -> None:
        settled = till.act("holds", "settle", till.hold_id, "--amount", "14", "--currency", RUB)
        listed = till.run("holds", "list", "--operator", till.email, "--oddity", "made_debt")
        money = ("--amount", "1.50", "--currency", RUB)
        written = till.act("wallets", "write-off", till.account_id, *money)
        granted = [till.act("wallets", "grant", till.account_id, *money, "--key", "spring") for _ in range(2)]
        stood = till.run("ledger", "balance", till.wallet_id)
        revenue = till.run("ledger", "balance", "--account", "revenue")
        verified = till.run("ledger", "verify", "--wallet", till.wallet_id, "--since", "2026-01-01T00:00:00Z")

        assert settled[0] == 0
        assert "is charged 14.00 RUB late" in settled[1] or "is charged 14.00 RUB." in settled[1]
        assert till.hold_id in listed[1]
        assert "1.50 RUB written off" in written[1]
        assert ["before" in output for _, output in granted] == [False, True]
        assert "wallet.debt -1.00 RUB" in stood[1]
        assert "revenue 14.00 RUB" in revenue[1]
        assert verified == (0, "The books agree: no drift.\n")

    def test_a_drift_is_a_line_and_exit_code_1(self, till: Till) -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(_tamper(till, by=1))
            one = till.run("ledger", "verify", "--wallet", till.wallet_id)
            everything = till.run("ledger", "verify")
            another = till.run("ledger", "verify", "--wallet", "wal_other")
            runner.run(_tamper(till, by=-1))  # every test here ends with the checker

        assert (one[0], everything[0], another[0]) == (1, 1, 0)
        assert f"G1 {till.wallet_id}: the wallet says paid " in one[1]

    @pytest.mark.parametrize(
        "words",
        [
            ("ledger", "balance"),
            ("ledger", "balance", "wal_1", "--account", "revenue"),
            ("ledger", "balance", "wal_1", "--at", "yesterday"),
            ("ledger", "verify", "--since", "2026-07-06T12:00:00"),
        ],
    )
    def test_a_question_that_can_be_read_in_two_ways_is_refused(self, till: Till, words: tuple[str, ...]) -> None:
        assert till.run(*words)[0] == 2


async def _tamper(till: Till, *, by: int) -> None:
    engine = application_engine(till.url)
    change = text("UPDATE wallets SET paid_micros = paid_micros + :by WHERE id = :id")
    async with units_of_work(engine)() as uow:
        await uow.connection.execute(change, {"id": till.wallet_id, "by": by})
    await engine.dispose()
