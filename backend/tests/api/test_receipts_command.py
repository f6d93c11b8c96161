"""`billing payments receipts` on the command line: what the tax office does not have, and nobody's contact."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.customers import Town, customers_service
from backend.tests.fakes.clock import StoppedClock
from billing.cli import app as commands
from billing.customers.rules import OperatorRole
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, units_of_work

pytestmark = pytest.mark.slow

_PAYMENT = text(
    """
    INSERT INTO payments (id, account_id, purpose, amount_micros, currency, provider, shop_id, is_test, return_url,
                          is_own_return, state, provider_payment_id, created_at, updated_at, succeeded_at,
                          saves_method, contact_email, receipt_terms, receipt_status)
    VALUES (:id, :account_id, 'topup', 500000000, 'RUB', 'yookassa', '1', true, 'x', true, 'succeeded', :id, :at, :at,
            :at, false, 'ada@example.com', '{}', :status)
    """
)
_REFUND = text(
    """
    INSERT INTO refunds (id, payment_id, provider, amount_micros, currency, state, begun_by, is_overdraft, reason,
                         provider_refund_id, receipt_status, created_at, updated_at, succeeded_at)
    VALUES ('ref_1', 'pay_good', 'yookassa', 120000000, 'RUB', 'succeeded', 'operator', false, 'r', 'ref_1', 'failed',
            :at, :at, :at)
    """
)


async def furnished(begin: Begin, role: OperatorRole | None) -> str:
    """The e-mail of somebody with this role, in a database with four receipts of four kinds."""
    clock = StoppedClock()
    town = Town(customers_service(begin, clock, Ids(clock)), begin)
    somebody = await town.customer(operator_role=role)
    async with begin() as uow:
        for name, status in (("good", "succeeded"), ("bad", "failed"), ("slow", None)):
            values = {
                "id": f"pay_{name}",
                "account_id": somebody.account.id,
                "at": clock.now(),
                "status": status,
            }
            await uow.connection.execute(_PAYMENT, values)
        await uow.connection.execute(_REFUND, {"at": clock.now()})
    return somebody.email


def prepared(url: URL, role: OperatorRole | None) -> str:
    """The same; commands open a loop of their own, so this one has ended before they begin."""

    async def prepare() -> str:
        engine = application_engine(url, connections_max=1)
        email = await furnished(units_of_work(engine), role)
        await engine.dispose()
        return email

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(prepare())


def listed(url: URL, email: str, *words: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    environ = {"DATABASE_URL": url.render_as_string(hide_password=False), "BILLING_LOG_LEVEL": "ERROR"}
    result = CliRunner().invoke(commands, ["payments", "receipts", *words, "--operator", email], env=environ)
    return result.exit_code, result.output if result.exception is None else str(result.exception)


class TestListing:
    def test_shows_what_failed_and_what_waits(self, own_database: URL) -> None:
        code, output = listed(own_database, prepared(own_database, OperatorRole.AUDITOR))

        lines = output.splitlines()
        assert code == 0
        assert sorted(line.split()[0] for line in lines[:-1]) == ["failed", "failed", "pending"]
        assert lines[-1] == "3 receipts."
        assert "ada@example.com" not in output

    def test_shows_failures_alone_where_it_is_asked_for_them(self, own_database: URL) -> None:
        _, output = listed(own_database, prepared(own_database, OperatorRole.FINANCE), "--failed")

        assert output.splitlines()[-1] == "2 receipts."
        assert "pay_good refund ref_1" in output

    def test_is_for_operators(self, own_database: URL) -> None:
        code, _ = listed(own_database, prepared(own_database, None))

        assert code != 0
