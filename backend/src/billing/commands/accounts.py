"""`billing accounts`: open an account with its first person, who may be an operator."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from billing.commands.running import with_services
from billing.customers.rules import AccountKind, OperatorRole
from billing.wiring.services import Services

accounts = typer.Typer(help="Accounts and their first people.", no_args_is_help=True)


@accounts.callback()
def _group() -> None:
    """Keeps `open` a word of its own, although it is the only command here."""


@accounts.command(name="open")
def open_account(
    email: Annotated[str, typer.Argument(help="With what the owner signs in.")],
    name: Annotated[str, typer.Option(help="The account's name.")],
    kind: Annotated[AccountKind, typer.Option(help="Whose account it is.")] = AccountKind.PERSONAL,
    time_zone: Annotated[str, typer.Option(help="In which caps count days and months.")] = "UTC",
    operator_role: Annotated[
        OperatorRole | None,
        typer.Option(help="What the owner may do at the operators' desks; super_admin and finance write."),
    ] = None,
) -> None:
    """Open an account; the owner's password is asked for, or is the first line of the standard input."""
    password = _password()

    async def run(built: Services) -> str:
        async with built.begin() as uow:
            account = await built.customers.open_account(
                uow,
                name=name,
                email=email,
                password=password,
                kind=kind,
                time_zone=time_zone,
                operator_role=operator_role,
            )
        return account.id

    typer.echo(f"{with_services(run)} is open.")


def _password() -> str:
    """Never an option: whoever lists processes, or a shell's history, could read it there."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
