"""`billing plans` on the command line, in an operator's name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.customers import Town, customers_service
from backend.tests.fakes.clock import StoppedClock
from billing.cli import app as commands
from billing.customers.rules import OperatorRole
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.unit_of_work import units_of_work

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Shell:
    """A database of its own, and an operator."""

    url: URL
    email: str

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of one `billing plans` command of the operator."""
        environ = {"DATABASE_URL": self.url.render_as_string(hide_password=False), "BILLING_LOG_LEVEL": "ERROR"}
        result = CliRunner().invoke(commands, ["plans", *words, "--operator", self.email], env=environ)
        return result.exit_code, result.output


@pytest.fixture
def shell(own_database: URL) -> Iterator[Shell]:
    """Commands open a loop of their own, so this one has ended before they begin."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield Shell(own_database, runner.run(_operator(own_database)))


async def _operator(url: URL) -> str:
    engine = application_engine(url)
    begin, clock = units_of_work(engine), StoppedClock()
    town = Town(customers_service(begin, clock, Ids(clock)), begin)
    operator = await town.customer(operator_role=OperatorRole.FINANCE)
    await engine.dispose()
    return operator.email


class TestPlansOnTheCommandLine:
    def test_are_created_listed_and_retired(self, shell: Shell) -> None:
        created = shell.run(
            *("create", "plus", "--name", "Plus", "--price", "300", "--included-credit", "100"),
            *("--discount-percent", "10", "--daily-cap", "50", "--images", "20", "--reason", "spring"),
        )
        again = shell.run("create", "plus", "--name", "Plus", "--price", "300", "--reason", "spring")
        retired = shell.run("retire", "plus", "--reason", "autumn")
        listed = shell.run("list")

        made = json.loads(created[1])
        (shown,) = json.loads(listed[1])["items"]
        assert created[0] == retired[0] == listed[0] == 0
        assert made["price"] == {"amount": "300.00", "currency": "RUB"}
        assert (made["daily_cap"], made["quotas"]) == ({"amount": "50.00", "currency": "RUB"}, {"images": 20})
        assert again[0] != 0
        assert retired[1] == f"plus ({made['id']}) is not on offer any more.\n"
        assert {**shown, "retired_at": None} == made
        assert shown["retired_at"] is not None

    def test_that_cannot_be_meant_are_refused(self, shell: Shell) -> None:
        code, _ = shell.run("create", "plus", "--name", "Plus", "--price", "0", "--reason", "spring")

        assert code != 0
        assert json.loads(shell.run("list")[1]) == {"items": []}
