"""`billing rates` on the command line: the same desk, in an operator's name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
from billing.pricing.adapters.xlsx_sheets import XlsxSheets

HEADER = ["model", "unit", "price", "currency", "provider"]
_ROUTES = """
[upstreams.one]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-nobody"
[models.m]
upstream = "one"
upstream_model = "x"
"""


@dataclass(frozen=True)
class Shell:
    """A database of its own, an operator, and a folder."""

    url: URL
    email: str
    folder: Path

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of one `billing rates` command of the operator."""
        routes = self.folder / "routes.toml"
        routes.write_text(_ROUTES)
        environ = {
            "DATABASE_URL": self.url.render_as_string(hide_password=False),
            "BILLING_LOG_LEVEL": "ERROR",
            "BILLING_MODEL_ROUTES_FILE": str(routes),
        }
        result = CliRunner().invoke(commands, ["rates", *words, "--operator", self.email], env=environ)
        return result.exit_code, result.output

    def sheet(self, *rows: list[str]) -> str:
        """A spreadsheet on the disk."""
        file = self.folder / "in.xlsx"
        file.write_bytes(XlsxSheets().write([HEADER, *rows]))
        return str(file)


@pytest.fixture
def shell(own_database: URL, tmp_path: Path) -> Iterator[Shell]:
    """Commands open a loop of their own, so this one has ended before they begin."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield Shell(own_database, runner.run(_operator(own_database)), tmp_path)


async def _operator(url: URL) -> str:
    engine = application_engine(url)
    begin, clock = units_of_work(engine), StoppedClock()
    town = Town(customers_service(begin, clock, Ids(clock)), begin)
    operator = await town.customer(operator_role=OperatorRole.FINANCE)
    await engine.dispose()
    return operator.email


class TestRatesOnTheCommandLine:
    def test_are_missed_previewed_imported_listed_and_exported(self, shell: Shell) -> None:
        missing = shell.run("missing")
        file = shell.sheet(["m", "input_tokens", "60", "RUB", "p"], ["m", "output_tokens", "0.5", "RUB", "p"])
        previewed = shell.run("import", file)
        (token,) = re.findall(r"--token (\w+)", previewed[1])
        unfounded = shell.run("import", file, "--token", token)
        imported = shell.run("import", file, "--token", token, "--reason", "new contract")
        listed = shell.run("list", "--model", "m")
        exported = shell.run("export", str(shell.folder / "out.xlsx"))
        complete = shell.run("missing", "--currency", "rub")
        again = shell.run("import", str(shell.folder / "out.xlsx"))

        assert missing == (1, "m RUB any: no rate at all\n1 missing.\n")
        assert "row 3: create m output_tokens 0.50 RUB" in previewed[1]
        assert unfounded[0] != 0
        assert imported == (0, "2 rates published, 0 unchanged.\n")
        assert "m text input_tokens 60.00 RUB per 1M tokens v1" in listed[1]
        assert exported[0] == 0
        assert len(XlsxSheets().read((shell.folder / "out.xlsx").read_bytes())) == 3
        assert complete == (0, "0 missing.\n")
        assert again == (0, "0 rates to publish, 2 unchanged, 0 errors.\nNothing was published.\n")

    def test_that_cannot_be_published_are_named_by_row_with_exit_code_1(self, shell: Shell) -> None:
        code, output = shell.run("import", shell.sheet(["m", "input_tokens", "0", "RUB", "p"]))

        assert code == 1
        assert "row 2: error:" in output
        assert output.endswith("0 rates to publish, 0 unchanged, 1 errors.\nNothing was published.\n")
