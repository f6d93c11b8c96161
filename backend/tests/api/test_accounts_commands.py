"""`billing accounts open` on the command line: where a new installation's first people come from."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from billing.cli import app as commands
from billing.customers.errors import EmailTaken, Forbidden
from billing.kit.errors import InvalidInput

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Shell:
    """A terminal with a database of its own."""

    url: URL

    def run(self, *words: str, typed: str = PASSWORD) -> str:
        """What a command printed; whatever it is refused with is raised."""
        environ = {
            "DATABASE_URL": self.url.render_as_string(hide_password=False),
            "BILLING_LOG_LEVEL": "ERROR",
        }
        result = CliRunner().invoke(commands, [*words], env=environ, input=f"{typed}\n", catch_exceptions=False)
        return result.output

    def open(self, email: str, *words: str, typed: str = PASSWORD) -> str:
        """Opens an account and says what was printed."""
        return self.run("accounts", "open", email, "--name", "Ada & Co", *words, typed=typed)


@pytest.fixture
def shell(own_database: URL) -> Shell:
    return Shell(own_database)


class TestOpeningAnAccount:
    def test_with_a_role_makes_somebody_in_whose_name_the_desks_are_used(self, shell: Shell) -> None:
        opened = shell.open("ada@example.com", "--operator-role", "finance")
        listed = shell.run("rates", "list", "--operator", "ada@example.com")

        assert opened.startswith("acc_")
        assert opened.endswith(" is open.\n")
        assert listed == "0 rates.\n"

    def test_without_a_role_makes_a_customer_to_whom_the_desks_stay_closed(self, shell: Shell) -> None:
        shell.open("ada@example.com", "--kind", "organisation", "--time-zone", "Europe/Berlin")

        with pytest.raises(Forbidden):
            shell.run("rates", "list", "--operator", "ada@example.com")

    def test_with_the_same_email_again_is_refused(self, shell: Shell) -> None:
        shell.open("ada@example.com")

        with pytest.raises(EmailTaken):
            shell.open("ADA@example.com", "--operator-role", "super_admin")

    def test_without_a_password_on_the_standard_input_is_refused(self, shell: Shell) -> None:
        with pytest.raises(InvalidInput, match="8 to 200"):
            shell.open("ada@example.com", typed="")
