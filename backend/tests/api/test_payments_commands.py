"""`billing payments` on the command line: compare, look, and decide in an operator's name."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.upkeep import Caretaker, lost, open_own_caretaker
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import (
    SECRET_KEY,
    SHOP_ID,
    YookassaBackstage,
)
from billing.cli import app as commands

pytestmark = [pytest.mark.money, pytest.mark.slow]

FIVE_HUNDRED = rub("500")


@dataclass(frozen=True)
class Desk:
    """A database and a shop of their own, and what an operator types."""

    runner: asyncio.Runner
    caretaker: Caretaker
    operator: str

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of one `billing payments` command."""
        environ = {
            "DATABASE_URL": self.caretaker.url.render_as_string(hide_password=False),
            "BILLING_LOG_LEVEL": "ERROR",
            "IDENTITY_PAYMENT_PROVIDER": "simulator",
            "YOOKASSA_SHOP_ID": SHOP_ID,
            "YOOKASSA_SECRET_KEY": SECRET_KEY,
            "YOOKASSA_API_URL": self.caretaker.till.yookassa.api_url,
        }
        result = CliRunner().invoke(commands, ["payments", *words], env=environ)
        return result.exit_code, result.stdout

    def as_operator(self, *words: str) -> tuple[int, str]:
        """The same in the operator's name."""
        return self.run(*words, "--operator", self.operator)


@pytest.fixture
def desk(own_database: URL) -> Iterator[Desk]:
    """Commands open a loop of their own, so this one rests while they run."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opening = open_own_caretaker(own_database)
        caretaker = runner.run(opening.__aenter__())
        operator = runner.run(caretaker.operator())
        yield Desk(runner, caretaker, operator.email)
        runner.run(opening.__aexit__(None, None, None))


async def lost_payment(caretaker: Caretaker) -> str:
    """A paid top-up whose row a restored backup does not have; the id that it had."""
    return await lost(caretaker, await caretaker.till.town.customer())


async def foreign_payment(caretaker: Caretaker) -> str:
    """A payment of the same shop that is none of ours; what the provider calls it."""
    return await YookassaBackstage(caretaker.till.yookassa).reserved(FIVE_HUNDRED)


async def stuck_payment(caretaker: Caretaker) -> str:
    """A top-up of which nothing was heard for a week."""
    customer = await caretaker.till.town.customer()
    topup = await caretaker.till.started(customer)
    await caretaker.after(timedelta(days=7))
    return topup.payment_id


class TestPaymentsOnTheCommandLine:
    def test_are_compared_listed_and_decided(self, desk: Desk) -> None:
        ours = desk.runner.run(lost_payment(desk.caretaker))
        foreign = desk.runner.run(foreign_payment(desk.caretaker))

        code, compared = desk.run("reconcile", "--json")
        _, listed = desk.as_operator("differences")
        ids = {kind: found for found, kind in re.findall(r"^(rcd_\w+) (\w+)", listed, re.MULTILINE)}
        adopted = desk.as_operator("resolve", ids["missing_here"], "adopt", "--reason", "restored")
        ignored = desk.as_operator("resolve", ids["foreign"], "ignore", "--reason", "the other shop's")
        again = desk.run("reconcile")
        decided = desk.as_operator("differences", "--resolved")

        assert (code, json.loads(compared)["differences"]) == (1, 2)
        assert ours in listed
        assert foreign in listed
        assert adopted[0] == ignored[0] == again[0] == 0
        assert f"{ours} of acc_" in adopted[1]
        assert "1 payments" not in again[1]
        assert "0 differences." in again[1]
        assert "2 differences." in decided[1]

    def test_can_be_accepted_as_they_are(self, desk: Desk) -> None:
        desk.runner.run(foreign_payment(desk.caretaker))
        desk.run("reconcile")
        _, listed = desk.as_operator("differences", "--kind", "foreign")

        accepted = desk.as_operator("resolve", listed.split()[0], "accept", "--reason", "known")

        assert accepted == (0, f"{listed.split()[0]} stands as it is.\n")
        assert desk.run("reconcile")[0] == 0
        assert "0 differences." in desk.as_operator("differences")[1]

    def test_that_nothing_finishes_are_listed(self, desk: Desk) -> None:
        payment_id = desk.runner.run(stuck_payment(desk.caretaker))

        code, listed = desk.as_operator("list", "--stuck")

        assert code == 0
        assert payment_id in listed
        assert "1 stuck." in listed
